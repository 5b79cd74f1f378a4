"""A collector that all conformance tests send to, over each transport."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bench.servers import Collector
from tests.conformance.wire import TRANSPORTS, Send, over
from tidegauge.call import Call
from tidegauge.store import spans
from tidegauge.store.engine import open_engine, read

Stored = Callable[[bytes], list[Call]]


@pytest.fixture(scope="package")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('conformance') / 'tidegauge.db'}"


@pytest.fixture(scope="package")
def collector(database: str) -> Iterator[Collector]:
    """Return a collector, one for all tests here: nothing that is sent may end it."""
    with Collector(database) as running:
        yield running
        assert running.process.poll() is None


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Return the name of a transport; the test runs once for each."""
    name: str = request.param
    return name


@pytest.fixture
def send(transport: str, collector: Collector) -> Send:
    return over(transport, collector)


@pytest.fixture
def send_json(collector: Collector) -> Send:
    return over("json", collector)


@pytest.fixture
def stored(database: str) -> Stored:
    """Return what reads all stored spans of a trace, with a connection of its own."""

    def trace(trace_id: bytes) -> list[Call]:
        engine = open_engine(database)
        with read(engine) as db:
            found = list(spans.trace(db, "default", trace_id.hex()))
        engine.dispose()
        return found

    return trace
