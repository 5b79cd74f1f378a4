"""Each answer of ``tidegauge check``, and the exit code they make together."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.alert_world import an_alert, fires
from tests.world import a_call
from tidegauge.commands import check
from tidegauge.commands.check import (
    Answer,
    Health,
    disk,
    exit_code,
    job_runs,
    last_span,
    messages,
    size,
    stale,
)
from tidegauge.store import alerts, jobs, outbox, spans
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.sizes import GIB, Disk

EVERY = timedelta(minutes=1)
REFUSED = outbox.Attempt(status=400, error="HTTP 400", answer="no", answered=True)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ((Health.WELL, Health.WELL), 0),
        ((Health.WELL, Health.BAD), 1),
        ((Health.WELL, Health.UNKNOWN), 2),
        ((Health.UNKNOWN, Health.BAD), 1),
    ],
)
def test_what_is_bad_outweighs_what_is_unknown(seen: tuple[Health, ...], code: int) -> None:
    assert exit_code([Answer("one", health, "") for health in seen]) == code


def test_a_span_that_came_too_long_ago_is_bad_and_none_at_all_is_unknown(
    sqlite_engine: Engine, now: datetime
) -> None:
    with read(sqlite_engine) as db:
        assert last_span(db, "default", now, HOUR).health is Health.UNKNOWN
    with write(sqlite_engine) as db:
        spans.insert(db, [a_call()], received_at=now)
    with read(sqlite_engine) as db:
        assert last_span(db, "default", now + HOUR, HOUR).health is Health.WELL
        late = last_span(db, "default", now + 2 * HOUR, HOUR)
    assert (late.health, late.text) == (Health.BAD, "2.0 h ago")


def a_run(engine: Engine, at: datetime, error: str | None = None) -> None:
    with write(engine) as db:
        jobs.start(db, "detect", at)
        jobs.finish(db, "detect", at, at, looked_at=3, error=error)


def test_a_job_that_failed_or_stopped_is_bad_and_none_at_all_is_unknown(
    sqlite_engine: Engine, now: datetime
) -> None:
    with read(sqlite_engine) as db:
        assert [one.health for one in job_runs(db, now, EVERY)] == [Health.UNKNOWN]

    a_run(sqlite_engine, now)
    with read(sqlite_engine) as db:
        (fresh,) = job_runs(db, now, EVERY)
        (old,) = job_runs(db, now + timedelta(days=2), EVERY)
    assert (fresh.health, old.health) == (Health.WELL, Health.BAD)
    assert "is 'tidegauge analyse' running?" in old.text

    a_run(sqlite_engine, now + EVERY, "KeyError")
    with read(sqlite_engine) as db:
        (failed,) = job_runs(db, now + EVERY, EVERY)
    assert (failed.name, failed.health) == ("job detect", Health.BAD)
    assert "KeyError" in failed.text


@pytest.mark.parametrize(
    ("job", "well", "stopped"),
    [
        ("roll", 10 * EVERY, 11 * EVERY),
        ("learn", 10 * EVERY, 11 * EVERY),
        ("detect", 10 * EVERY, 11 * EVERY),
        ("deliver", 5 * EVERY, 6 * EVERY),
        ("tidy", 3 * HOUR, 3 * HOUR + EVERY),
    ],
)
def test_a_job_has_stopped_after_some_of_its_own_rounds(
    sqlite_engine: Engine, now: datetime, job: str, well: timedelta, stopped: timedelta
) -> None:
    with write(sqlite_engine) as db:
        jobs.start(db, job, now)
        jobs.finish(db, job, now, now)
        jobs.start(db, job, now + timedelta(days=365))  # by a clock that was wrong
    with read(sqlite_engine) as db:
        assert job_runs(db, now + well, EVERY)[0].health is Health.WELL
        assert job_runs(db, now + stopped, EVERY)[0].health is Health.BAD


def test_minutes_that_wait_are_counted(sqlite_engine: Engine, now: datetime) -> None:
    with write(sqlite_engine) as db:
        spans.insert(db, [a_call()], received_at=now)
        assert stale(db) == Answer("stale minutes", Health.WELL, "1 wait to be counted")
        minutes = [a_call(n, started_at=now - n * EVERY) for n in range(2, 1102)]
        spans.insert(db, minutes, received_at=now)
        assert stale(db).health is Health.BAD


def test_a_message_that_was_given_up_is_bad(sqlite_engine: Engine, now: datetime) -> None:
    with write(sqlite_engine) as db:
        assert messages(db, now).text == "nobody is told: no webhook is set"
        outbox.register(db, {"webhook": "hash"})
        alerts.open_alert(db, fires(an_alert(now), now))
        assert messages(db, now) == Answer("messages", Health.WELL, "1 waiting, 0 given up")

    with write(sqlite_engine) as db:
        message = outbox.claim(db, now)
        assert message is not None
        outbox.dead(db, message, now, REFUSED, "attention")
    with read(sqlite_engine) as db:
        given_up = messages(db, now)
    assert given_up.health is Health.BAD
    assert given_up.text.startswith("0 waiting, 1 given up")


@pytest.mark.parametrize(
    ("used", "free", "health"),
    [
        (0.5, 100 * GIB, Health.WELL),
        (0.97, 300 * GIB, Health.WELL),  # a large one
        (0.97, GIB // 2, Health.BAD),
        (1.0, 0, Health.BAD),
    ],
)
def test_a_full_disk_is_bad(used: float, free: int, health: Health) -> None:
    assert [one.health for one in disk(Disk(free, used))] == [health]


def test_large_sizes_are_told_in_gib() -> None:
    (answer,) = disk(Disk(73_414 * 2**20, 0.1))
    assert answer.text == "10% used, 71.7 GiB free"
    assert size(GIB - 2**20) == "1023.0 MiB"


def test_of_a_server_the_disk_is_not_judged() -> None:
    assert disk(None) == []


def test_traces_that_wait_are_counted(
    sqlite_engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_MANY_TRACES", 2)
    with write(sqlite_engine) as db:
        spans.insert(db, [a_call()], received_at=now)
        assert check.unsettled(db) == Answer("traces", Health.WELL, "1 wait to be put together")
        spans.insert(db, [a_call(2)], received_at=now)
        assert check.unsettled(db).health is Health.BAD
