"""A running collector, and what it counted and stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from bench.servers import Collector
from tidegauge.call import Call
from tidegauge.store import spans
from tidegauge.store.engine import open_engine, read

Metric = Callable[[str], float]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of the SQLite file that the collector of this module writes."""
    folder: Path = tmp_path_factory.mktemp("collector")
    return f"sqlite:///{folder / 'tidegauge.db'}"


@pytest.fixture(scope="module")
def collector(database: str) -> Iterator[Collector]:
    """Return a collector, one for all tests of a module: no bad input may end it."""
    with Collector(database) as running:
        yield running
        assert running.process.poll() is None


@pytest.fixture
def client(collector: Collector) -> Iterator[httpx.Client]:
    """Return an HTTP client of the collector."""
    with httpx.Client(base_url=f"http://{collector.http}", timeout=20) as client:
        yield client


@pytest.fixture
def metric(client: httpx.Client) -> Metric:
    """Return what reads one counter: ``metric('tidegauge_refusals_total{reason="bad_otlp"}')``."""

    def value(name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    return value


@pytest.fixture
def stored(database: str) -> Callable[[bytes], Sequence[Call]]:
    """Return what reads all stored spans of a trace, with a connection of its own."""

    def trace(trace_id: bytes) -> Sequence[Call]:
        engine = open_engine(database)
        with read(engine) as db:
            found = spans.trace(db, "default", trace_id.hex())
        engine.dispose()
        return found

    return trace
