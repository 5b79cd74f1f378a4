"""Changes and field values come back as they were kept."""

from __future__ import annotations

from tests.world import NOON
from tidegauge.clock import HOUR
from tidegauge.finding import Change, Series
from tidegauge.store import changes as store
from tidegauge.store import rollups
from tidegauge.store.changes import FieldValue
from tidegauge.store.engine import Engine, read, write

SERIES = Series("default", "checkout-bot", "prod", "answer", "gpt-4o-mini")


def test_changes_are_read_by_time(engine: Engine) -> None:
    with write(engine) as db:
        rollups.register(db, [SERIES], NOON)
    one, two = (
        Change(series=SERIES, kind="deploy", at=at, field="service_version", before=b, after=a)
        for at, b, a in ((NOON, None, "1"), (NOON + HOUR, "1", "2"))
    )
    with write(engine) as db:
        store.write_changes(db, [two, one])
        store.write_changes(db, [one])
    with read(engine) as db:
        assert store.read_changes(db, "default", NOON) == [one, two]
        assert store.read_changes(db, "default", NOON, NOON + HOUR) == [one]
        assert store.read_values(db, "default", since=NOON) == []


def test_values_are_kept_and_replaced(engine: Engine) -> None:
    with write(engine) as db:
        rollups.register(db, [SERIES], NOON)
    value = FieldValue(
        series=SERIES, field="provider", value="x", first_seen_s=5, last_seen_s=2**31, calls=1
    )
    newer = FieldValue(
        series=SERIES, field="provider", value="x", first_seen_s=4, last_seen_s=2**31, calls=9
    )
    with write(engine) as db:
        store.write_values(db, [value])
        store.write_values(db, [newer])
    with read(engine) as db:
        assert store.read_values(db, "default", since=NOON) == [newer]
