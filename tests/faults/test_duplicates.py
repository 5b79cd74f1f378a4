"""Everything is sent three times, and some acknowledgements never arrive: nothing counts twice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from analysis.rollup import roll
from bench.bodies import Body
from bench.insist import Insisting
from bench.kill import stored_and_counted
from bench.servers import Collector
from tests.faults.conftest import Bodies
from tests.faults.databases import fresh_database
from tidegauge import clock
from tidegauge.store.engine import open_engine, read
from tidegauge.store.schema import rollup


def deliver(url: str, bodies: Sequence[Body]) -> list[tuple[Any, ...]]:
    """Send bodies to a collector on ``url``, count them up, and return every rollup."""
    with Collector(url) as collector:
        Insisting(collector.http, bodies).join()
    engine = open_engine(url)
    roll(engine, clock.now() + timedelta(minutes=1), max_series=1000, limit=10_000)
    columns = [c for c in rollup.c if c.name not in ("series_id", "project")]
    with read(engine) as db:
        rows = db.execute(rollup.select().with_only_columns(*columns)).all()
    engine.dispose()
    return sorted((tuple(row) for row in rows), key=repr)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_r09_three_times_and_with_lost_answers_is_the_same_as_once(
    kind: str, tmp_path_factory: pytest.TempPathFactory, postgres_server: str, bodies: Bodies
) -> None:
    rng = random.Random(7)
    once = bodies(12, 20)
    unanswered = [body for body in once for _ in range(3) if rng.random() < 0.05]
    often = [*itertools.chain(once, once, once), *unanswered]
    rng.shuffle(often)
    folder = tmp_path_factory.mktemp("r09")
    with fresh_database(postgres_server) as first, fresh_database(postgres_server) as second:
        urls = {
            "sqlite": [f"sqlite:///{folder / 'once.db'}", f"sqlite:///{folder / 'often.db'}"],
            "postgresql": [first, second],
        }[kind]
        single, multiple = (deliver(u, b) for u, b in zip(urls, (once, often), strict=True))
        stored, counted = stored_and_counted(urls[1])
    assert len(stored) == counted == 12 * 20
    assert single
    assert multiple == single
