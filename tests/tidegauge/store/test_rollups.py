"""Buckets: what is written is read back, and a step is replaced whole."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.world import NOON
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.finding import Series
from tidegauge.store import rollups
from tidegauge.store.engine import Engine, read, write

SERIES = Series("default", "checkout-bot", "prod", "answer", "gpt-4o-mini")
BUCKET = Bucket(
    series=SERIES,
    start=NOON,
    calls=3,
    errors=1,
    truncated=1,
    truncation_known=2,
    cost_usd=0.25,
    cost_known=2,
    measures={Measure.LATENCY: Measured.of([0.5, 1.5]), Measure.INPUT_TOKENS: Measured.of([0, 9])},
    lengths={13: LengthClass(2, 0.1, 0.2, 200.0), -1: LengthClass(1, 0.3, 0.4, 0.0)},
)


def test_a_bucket_comes_back_as_it_was(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        rollups.register(db, [SERIES, SERIES], now)
        rollups.replace(db, "default", 60, [NOON], [BUCKET])
    with read(engine) as db:
        assert rollups.read_buckets(db, "default", 60, NOON, NOON + timedelta(minutes=1)) == [
            BUCKET
        ]
        assert rollups.read_buckets(db, "default", 3600, NOON, NOON + timedelta(hours=1)) == []
        assert rollups.projects(db) == ["default"]


def test_a_replaced_minute_keeps_nothing_of_before(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        rollups.register(db, [SERIES], now)
        rollups.replace(db, "default", 60, [NOON], [BUCKET])
        rollups.replace(db, "default", 60, [NOON], [])
    with read(engine) as db:
        assert rollups.read_buckets(db, "default", 60, NOON, NOON + timedelta(hours=1)) == []
