"""Rollups tell the truth after every kind of disorder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from analysis.rollup import Groups, hours_of, roll
from tests.world import NOON, a_call
from tidegauge import log
from tidegauge.bucket import Bucket, Measure
from tidegauge.call import Call, NotCounted
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import OTHER, Series
from tidegauge.store import jobs, rollups, spans
from tidegauge.store.engine import Connection, Engine, read, write
from tidegauge.store.rollups import HOUR_S, MINUTE_S
from tidegauge.store.schema import stale_minute


def store(engine: Engine, calls: Sequence[Call]) -> None:
    with write(engine) as db:
        spans.insert(db, calls, received_at=NOON)


def roll_all(engine: Engine, limit: int = 10_000) -> int:
    return roll(engine, NOON, max_series=100, limit=limit)


def buckets(engine: Engine, step_s: int) -> list[Bucket]:
    with read(engine) as db:
        found = rollups.read_buckets(db, "default", step_s, NOON - 30 * DAY, NOON + 30 * DAY)
    return sorted(found, key=lambda b: (b.start, b.series))


def some_calls(rng: random.Random, count: int) -> list[Call]:
    return [
        a_call(
            (count, i),
            started_at=NOON + timedelta(seconds=rng.uniform(0, 4 * 3600)),
            duration_s=rng.lognormvariate(0, 1),
            output_tokens=rng.choice([None, 0, rng.randrange(1, 5000)]),
            service=rng.choice(["a", "b"]),
            truncated=rng.choice([None, True, False, False]),
            error_type=rng.choice([None, None, None, "timeout"]),
            time_to_first_token_s=rng.choice([None, rng.random()]),
            clock_invalid=rng.random() < 0.05,
            not_counted=NotCounted.WRAPPER if rng.random() < 0.1 else None,
        )
        for i in range(count)
    ]


def test_any_disorder_ends_in_the_same_buckets_as_one_count(engine: Engine) -> None:
    rng = random.Random(4)
    calls = some_calls(rng, 300)
    shuffled = rng.sample(calls, len(calls))
    for i in range(0, len(shuffled), 37):
        store(engine, shuffled[i : i + 37])
        store(engine, rng.sample(shuffled[: i + 37], 5))  # sent again
        roll_all(engine, limit=rng.choice([3, 50, 10_000]))  # also half-done
    while roll_all(engine):
        pass
    after_disorder = buckets(engine, MINUTE_S), buckets(engine, HOUR_S)

    with write(engine) as db:  # every minute once more, from nothing but the rows
        minutes = {b.start for b in after_disorder[0]}
        rollups.replace(db, "default", MINUTE_S, sorted(minutes), [])
        rollups.replace(db, "default", HOUR_S, sorted({b.start for b in after_disorder[1]}), [])
    _mark(engine, calls)
    roll_all(engine)

    assert (buckets(engine, MINUTE_S), buckets(engine, HOUR_S)) == after_disorder


def _mark(engine: Engine, calls: Sequence[Call]) -> None:
    """Make every minute of ``calls`` stale."""
    minutes = sorted({int(c.started_at.timestamp()) // 60 * 60 for c in calls})
    with write(engine) as db:
        rows = [{"project": "default", "minute_s": m, "mark": "again"} for m in minutes]
        db.execute(stale_minute.insert(), rows)


def test_the_buckets_hold_what_the_calls_hold(engine: Engine) -> None:
    calls = some_calls(random.Random(5), 200)
    store(engine, calls)
    counted = roll_all(engine)
    good = [c for c in calls if not c.clock_invalid and c.not_counted is None]
    minutes = buckets(engine, MINUTE_S)

    assert counted == len(good) == sum(b.calls for b in minutes)
    assert sum(b.errors for b in minutes) == sum(c.failed for c in good)
    assert sum(b.truncated for b in minutes) == sum(bool(c.truncated) for c in good)
    assert sum(b.truncation_known for b in minutes) == sum(c.truncated is not None for c in good)
    latency = [c.duration_s for c in good if not c.failed]
    assert sum(b.measured(Measure.LATENCY).n for b in minutes) == len(latency)
    assert abs(sum(b.measured(Measure.LATENCY).total for b in minutes) - sum(latency)) < 1e-9
    lengths = [row for b in minutes for row in b.lengths.values()]
    assert sum(row.n for row in lengths) == len(latency)


def test_hours_are_their_minutes_taken_together(engine: Engine) -> None:
    store(engine, some_calls(random.Random(6), 200))
    roll_all(engine)

    merged = sorted(hours_of(buckets(engine, MINUTE_S)), key=lambda b: (b.start, b.series))
    assert buckets(engine, HOUR_S) == merged


def test_buckets_can_be_read_without_their_histograms(sqlite_engine: Engine) -> None:
    store(sqlite_engine, [a_call(i) for i in range(5)])
    roll_all(sqlite_engine)
    with read(sqlite_engine) as db:
        until = NOON + HOUR
        whole, bare = (
            rollups.read_buckets(db, "default", MINUTE_S, NOON, until, shapes=shapes)[0]
            for shapes in (True, False)
        )
    with_shape, without = (b.measured(Measure.LATENCY) for b in (whole, bare))

    assert (with_shape.histogram.n, without.histogram.n) == (5, 0)
    assert without.log_sum == with_shape.log_sum
    assert bare.lengths == whole.lengths


def test_a_late_call_reopens_its_minute_and_its_hour_only(sqlite_engine: Engine) -> None:
    store(sqlite_engine, [a_call(i, started_at=NOON + i * HOUR) for i in range(3)])
    roll_all(sqlite_engine)
    before = buckets(sqlite_engine, MINUTE_S)
    store(sqlite_engine, [a_call("late", started_at=NOON + timedelta(seconds=30))])

    assert roll_all(sqlite_engine) == 2
    assert [b.calls for b in buckets(sqlite_engine, MINUTE_S)] == [2, 1, 1]
    assert buckets(sqlite_engine, MINUTE_S)[1:] == before[1:]
    assert [b.calls for b in buckets(sqlite_engine, HOUR_S)] == [2, 1, 1]


def test_nothing_stale_is_nothing_to_do(sqlite_engine: Engine) -> None:
    store(sqlite_engine, [a_call()])

    assert [roll_all(sqlite_engine), roll_all(sqlite_engine)] == [1, 0]


def test_a_call_that_arrives_while_a_minute_is_counted_is_counted_next(
    engine: Engine,
) -> None:
    store(engine, [a_call(1)])
    with read(engine) as db:
        stale = rollups.stale_minutes(db, 10)
    store(engine, [a_call(2)])  # its mark is not among those read above
    with write(engine) as db:
        rollups.clear_marks(db, stale)

    assert roll_all(engine) == 2


def test_series_beyond_the_limit_are_counted_together(engine: Engine) -> None:
    calls = [a_call(i, use_case=f"case-{i}", started_at=NOON + i * MINUTE) for i in range(6)]
    store(engine, calls)
    for _ in range(2):  # the second time from the registered series
        roll(engine, NOON, max_series=4, limit=100)
        _mark(engine, calls)
    found = {b.series: b for b in buckets(engine, HOUR_S)}

    assert len(found) == 5
    assert found[Series("default", OTHER, OTHER, OTHER, OTHER)].calls == 2


def test_a_watcher_that_fails_stops_no_counting_and_leaves_nothing(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def breaks(db: Connection, project: str, calls: Groups, now: datetime) -> None:
        jobs.set_mark(db, "half done", now)
        rollups.register(db, [replace(next(iter(calls)), model=None)], now)  # type: ignore[arg-type]

    def looks(db: Connection, project: str, calls: Groups, now: datetime) -> None:
        seen.append(project)

    log.configure(process="test")
    store(engine, [a_call(i, prompt_name="secret") for i in range(3)])
    counted = roll(engine, NOON, max_series=9, limit=9, watchers=[breaks, looks])

    assert (counted, roll_all(engine)) == (3, 0)
    assert [b.calls for b in buckets(engine, MINUTE_S)] == [3]
    assert seen == ["default"]
    with read(engine) as db:
        assert jobs.mark(db, "half done") is None
    shown = capsys.readouterr().err
    assert "watcher failed" in shown
    assert "BadValue" in shown
    assert "checkout" not in shown


def test_a_project_that_fails_harms_no_neighbour(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(sqlite_engine, [a_call(name, project=name) for name in ("a", "b", "default")])
    whole = spans.numbers

    def numbers(db: Connection, project: str, since: datetime, until: datetime) -> Sequence[Any]:
        if project == "b":
            raise ValueError("a row that cannot be read")
        return whole(db, project, since, until)

    monkeypatch.setattr(spans, "numbers", numbers)
    with pytest.raises(ValueError, match="cannot be read"):
        roll_all(sqlite_engine)
    monkeypatch.undo()
    with read(sqlite_engine) as db:
        assert [one.project for one in rollups.stale_minutes(db, 9)] == ["b"]
    assert [b.calls for b in buckets(sqlite_engine, MINUTE_S)] == [1]


def test_a_watcher_sees_each_recounted_call_with_its_series_in_order(
    sqlite_engine: Engine,
) -> None:
    seen: list[tuple[str, int]] = []

    def watch(db: Connection, project: str, calls: Groups, now: datetime) -> None:
        seen.extend((s.service, r.started_ns) for s, rows in calls.items() for r in rows)

    at = [NOON + timedelta(seconds=s) for s in (70, 5, 3)]
    store(sqlite_engine, [a_call(i, started_at=t) for i, t in enumerate(at)])
    roll(sqlite_engine, NOON, max_series=9, limit=9, watchers=[watch])

    assert seen == [("checkout-bot", spans.to_ns(t)) for t in sorted(at)]
