from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tidegauge.store import jobs
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.jobs import LeaseLost

SECOND = timedelta(seconds=1)


def take(engine: Engine, holder: str, now: datetime) -> int | None:
    with write(engine) as db:
        return jobs.take_lease(db, "analyst", holder, now, 15)


def test_one_analyst_works_and_the_other_stands_by(engine: Engine, now: datetime) -> None:
    assert take(engine, "a", now) == 1
    assert take(engine, "b", now + 14 * SECOND) is None
    assert take(engine, "a", now + 14 * SECOND) == 1  # prolonged: the token stays
    assert take(engine, "b", now + 28 * SECOND) is None


def test_a_lapsed_lease_goes_to_the_next_with_a_higher_token(engine: Engine, now: datetime) -> None:
    take(engine, "a", now)

    assert take(engine, "b", now + 15 * SECOND) == 2
    assert take(engine, "a", now + 16 * SECOND) is None
    with read(engine) as db:
        holder = jobs.lease_holder(db, "analyst")
    assert holder is not None
    assert (holder.name, holder.token) == ("b", 2)


def test_a_lease_handed_back_is_free_at_once(engine: Engine, now: datetime) -> None:
    take(engine, "a", now)
    with write(engine) as db:
        jobs.release_lease(db, "analyst", "a")

    assert take(engine, "b", now) == 2


def test_the_writes_of_an_analyst_that_lost_the_lease_are_refused(
    engine: Engine, now: datetime
) -> None:
    token = take(engine, "a", now)
    assert token is not None
    mine = jobs.fenced(engine, "analyst", token)
    with write(mine) as db:
        jobs.start(db, "roll", now)
    take(engine, "b", now + 20 * SECOND)

    with pytest.raises(LeaseLost), write(mine) as db:
        jobs.start(db, "detect", now)

    with read(mine) as db:  # it may look, and sees that nothing was kept
        assert [run.job for run in jobs.last_runs(db)] == ["roll"]
    with write(engine) as db:  # the fence is around its own writes only
        jobs.start(db, "detect", now)


def test_the_databases_clock_is_the_present(engine: Engine) -> None:
    from tidegauge import clock

    with read(engine) as db:
        assert abs(jobs.database_time(db) - clock.now()) < timedelta(minutes=1)


def test_a_run_is_kept_with_its_outcome(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        jobs.start(db, "roll", now)
        running = jobs.last_runs(db)[0]
        jobs.finish(db, "roll", now, now + 2 * SECOND, looked_at=7)
        jobs.start(db, "detect", now)
        jobs.finish(db, "detect", now, now + SECOND, error="ZeroDivisionError")
        detect, roll = jobs.last_runs(db)
        assert jobs.last_ok(db, "roll", now) == now
        assert jobs.last_ok(db, "detect", now) is None

    assert (running.finished_at, running.outcome) == (None, None)
    assert (roll.outcome, roll.looked_at, roll.error) == ("ok", 7, None)
    assert (detect.outcome, detect.looked_at, detect.error) == ("failed", None, "ZeroDivisionError")


def test_only_the_newest_run_of_a_job_is_its_last(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        for seconds in (0, 60, 30):
            jobs.start(db, "roll", now + seconds * SECOND)
        assert [run.started_at for run in jobs.last_runs(db)] == [now + 60 * SECOND]
        assert len(jobs.runs(db, "roll")) == 3


def test_a_run_of_a_clock_that_was_ahead_says_nothing(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        for at in (now, now + timedelta(days=365)):
            jobs.start(db, "detect", at)
            jobs.finish(db, "detect", at, at)
        assert jobs.last_ok(db, "detect", now) == now
        assert jobs.last_ok(db, "detect", now - timedelta(seconds=59)) == now  # clocks differ
        assert jobs.last_ok(db, "detect", now - timedelta(hours=1)) is None
        assert [run.started_at for run in jobs.last_runs(db, now)] == [now]


def test_a_lease_taken_by_a_clock_that_was_ahead_is_lapsed(engine: Engine, now: datetime) -> None:
    take(engine, "a", now + timedelta(days=365))

    assert take(engine, "b", now) == 2
    assert take(engine, "c", now) is None


def test_old_runs_are_forgotten(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        jobs.start(db, "roll", now)
        jobs.start(db, "roll", now + SECOND)
        assert jobs.forget_runs(db, now + SECOND) == 1
        assert len(jobs.runs(db, "roll")) == 1


def test_a_mark_is_moved(engine: Engine, now: datetime) -> None:
    at = now.replace(microsecond=0)
    with write(engine) as db:
        assert jobs.mark(db, "detect") is None
        jobs.set_mark(db, "detect", at - SECOND)
        jobs.set_mark(db, "detect", at)
        assert jobs.mark(db, "detect") == at
