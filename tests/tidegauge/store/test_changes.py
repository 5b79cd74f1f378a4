"""Changes and watched hours come back as they were kept."""

from __future__ import annotations

from dataclasses import replace

from tests.world import NOON
from tidegauge.clock import HOUR
from tidegauge.finding import Change, Series
from tidegauge.store import changes as store
from tidegauge.store import rollups
from tidegauge.store.changes import Found, WatchedHour
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
        assert store.read_hours(db, "default", NOON - HOUR, NOON + HOUR) == {}


def test_watched_hours_are_kept_and_replaced(engine: Engine) -> None:
    with write(engine) as db:
        rollups.register(db, [SERIES], NOON)
        hours = [WatchedHour(SERIES, NOON + n * HOUR, {"n": n}) for n in range(3)]
        store.write_hours(db, hours)
        store.write_hours(db, [replace(hours[1], body={"n": 9})])
    with read(engine) as db:
        found = store.read_hours(db, "default", NOON, NOON + 2 * HOUR)
        assert [one.body for one in found.values()] == [{"n": 0}, {"n": 9}]
        before = store.hour_before(db, SERIES, NOON + 2 * HOUR, NOON)
        assert before == WatchedHour(SERIES, NOON + HOUR, {"n": 9})
        assert store.hour_before(db, SERIES, NOON, NOON - HOUR) is None
        assert store.hours_after(db, SERIES, NOON + HOUR) == [hours[2]]
        assert store.series_after(db, "default", NOON + HOUR) == {SERIES}
        assert store.series_after(db, "default", NOON + 2 * HOUR) == set()
    with write(engine) as db:
        assert store.forget_hours(db, NOON + 2 * HOUR) == 2


def test_the_changes_of_an_hour_are_replaced_as_a_whole(engine: Engine) -> None:
    one = Change(
        series=SERIES, kind="deploy", at=NOON, field="service_version", before="1", after="2"
    )
    moved = replace(one, at=NOON - HOUR / 60)
    with write(engine) as db:
        rollups.register(db, [SERIES], NOON)
        store.replace_changes(db, SERIES, NOON, [Found(one, NOON)])
        store.replace_changes(db, SERIES, NOON + HOUR, [])
        assert store.read_changes(db, "default", NOON - HOUR) == [one]
        store.replace_changes(db, SERIES, NOON, [Found(moved, NOON)])
        assert store.read_changes(db, "default", NOON - HOUR) == [moved]
        store.replace_changes(db, SERIES, NOON, [])
        assert store.read_changes(db, "default", NOON - HOUR) == []
