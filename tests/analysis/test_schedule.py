from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from analysis import schedule
from analysis.alerts.addresses import BadNetwork
from analysis.alerts.signature import BadSecret
from analysis.schedule import LEASE, Job, NotMyTurn, Turn, Work, run_job, run_once, serve
from tests.alert_world import OTHER_SECRET, SECRET, a_receiver, an_alert, fires
from tests.world import a_call
from tidegauge import clock
from tidegauge.alert import State
from tidegauge.call import Evidence
from tidegauge.policy import Policy
from tidegauge.settings import Settings
from tidegauge.source import Source
from tidegauge.store import alerts, jobs, ledger, spans
from tidegauge.store.engine import Engine, StoreBusy, read, write
from tidegauge.store.jobs import LeaseLost

EVERY_JOB = ["deliver", "detect", "expire", "learn", "prompts", "roll", "tidy"]


def settings(url: str = "sqlite:///unused.db", **fields: Any) -> Settings:
    return Settings(database_url=url, **fields)


def webhook(address: str) -> dict[str, Any]:
    return {
        "webhook_url": address,
        "webhook_secret": SecretStr(SECRET),
        "webhook_allow_networks": ("127.0.0.0/8",),
    }


def work(engine: Engine, now: datetime) -> Work:
    return Work(
        engine=engine,
        policy=Policy(),
        base_url="http://tidegauge.test",
        places={},
        now=now,
        clock=lambda: now,
    )


def test_from_spans_to_a_signed_webhook(engine: Engine) -> None:
    now = clock.now()
    policy = Policy(windows_min=(5,), confirm_windows=1, min_calls=20)
    history = [
        a_call((hour, i), started_at=now - timedelta(hours=hour, seconds=i), max_tokens=1024)
        for hour in range(1, 49)
        for i in range(25)
    ]
    cut = [
        a_call(
            ("cut", i),
            started_at=now - timedelta(seconds=90 + i),
            output_tokens=256,
            max_tokens=256,
            finish_reasons=("length",),
            truncated=True,
            truncation_evidence=Evidence.FINISH_REASON,
        )
        for i in range(60)
    ]
    with write(engine) as db:
        spans.insert(db, [*history, *cut], received_at=now)

    with a_receiver() as receiver:
        done = run_once(engine, settings(**webhook(receiver.url)), policy, now)

    assert [one.error for one in done] == [None] * 7
    headers, body = receiver.seen[0]
    event = Webhook(SECRET).verify(body, headers)
    assert event["type"] == "alert.firing"
    assert event["data"]["rule"] == "truncation"
    assert "max_tokens fell 1024 to 256" in event["data"]["title"]
    with read(engine) as db:
        assert [one.state for one in alerts.list_alerts(db)] == [State.FIRING]


def test_an_alert_of_a_past_moment_is_sent_all_the_same(
    sqlite_engine: Engine, now: datetime
) -> None:
    with a_receiver() as receiver:
        given = settings(**webhook(receiver.url))
        run_once(sqlite_engine, given, Policy(), now)
        with write(sqlite_engine) as db:
            alerts.open_alert(db, fires(an_alert(now), now))
        run_once(sqlite_engine, given, Policy(), now)

    assert len(receiver.seen) == 1


def test_every_run_is_kept_with_how_much_it_looked_at(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, [a_call(i, started_at=now) for i in range(3)], received_at=now)

    done = {one.job: one.looked_at for one in run_once(engine, settings(), Policy(), now)}

    with read(engine) as db:
        kept = {run.job: (run.outcome, run.looked_at) for run in jobs.last_runs(db)}
        mark = jobs.mark(db, "detect")
    assert sorted(kept) == EVERY_JOB
    assert kept == {job: ("ok", count) for job, count in done.items()}
    assert done["roll"] == 3
    assert mark == now.replace(second=0) - timedelta(minutes=1)


def test_a_broken_job_does_not_stop_the_others_and_only_its_class_is_kept(
    sqlite_engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Work) -> int:
        raise ValueError("the prompt said: hunter2")

    look = (Job("roll", broken), *schedule.LOOK[1:])
    monkeypatch.setattr(schedule, "LOOK", look)
    done = run_once(sqlite_engine, settings(), Policy(), now)

    assert [one.job for one in done] == [
        "roll",
        "prompts",
        "learn",
        "detect",
        "deliver",
        "tidy",
        "expire",
    ]
    with read(sqlite_engine) as db:
        runs = {run.job: run for run in jobs.last_runs(db)}
    assert (runs["roll"].outcome, runs["roll"].error) == ("failed", "ValueError")
    assert runs["detect"].outcome == "ok"


def test_a_failed_job_says_where_it_failed_and_not_what_it_held(
    sqlite_engine: Engine, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Work) -> int:
        raise ValueError("the prompt said: hunter2")

    run_job(Job("roll", broken), work(sqlite_engine, now), lambda: now)

    shown = capsys.readouterr()
    assert "ValueError" in shown.out + shown.err
    assert "test_schedule" in shown.out + shown.err
    assert "hunter2" not in shown.out + shown.err


def test_counts_of_the_ledger_are_kept_for_ninety_days(
    sqlite_engine: Engine, now: datetime
) -> None:
    ages = {timedelta(days=89): "young", timedelta(days=91): "old"}
    with write(sqlite_engine) as db:
        for age, service in ages.items():
            ledger.record(db, now - age, {(Source("p", service=service), "accepted"): 1})
    run_once(sqlite_engine, settings(), Policy(), now)
    with read(sqlite_engine) as db:
        left = ledger.lines(db, "p", now - timedelta(days=100))
    assert [line.source.service for line in left] == ["young"]


def test_while_one_analyst_works_another_does_not(engine: Engine, now: datetime) -> None:
    first, second = Turn(engine, {}), Turn(engine, {})

    assert first.take()
    assert not second.take()
    assert second.engine is None
    with pytest.raises(NotMyTurn):
        run_once(engine, settings(), Policy(), now)

    first.release()
    assert second.take()


def test_an_analyst_that_was_stopped_cannot_write_over_its_successors_work(
    engine: Engine, now: datetime
) -> None:
    stopped, successor = Turn(engine, {}), Turn(engine, {})
    stopped.take()
    with write(engine) as db:  # its lease lapses while it stands still
        jobs.release_lease(db, LEASE, stopped._holder)
    successor.take()

    assert stopped.engine is not None
    with pytest.raises(LeaseLost):
        run_job(schedule.LOOK[0], work(stopped.engine, now), lambda: now)
    assert successor.engine is not None
    run_job(schedule.LOOK[0], work(successor.engine, now), lambda: now)
    with read(engine) as db:
        assert [run.job for run in jobs.last_runs(db)] == ["roll"]


def test_running_twice_at_the_same_moment_changes_nothing(engine: Engine, now: datetime) -> None:
    for _ in range(2):
        assert all(one.error is None for one in run_once(engine, settings(), Policy(), now))


def test_a_job_that_runs_every_few_seconds_leaves_a_row_a_minute_when_idle(
    sqlite_engine: Engine, now: datetime
) -> None:
    idle = Job("deliver", lambda _: 0, often=True)
    for seconds in (0, 2, 58, 60):
        at = now + timedelta(seconds=seconds)
        run_job(idle, work(sqlite_engine, at), lambda at=at: at)  # type: ignore[misc]

    with read(sqlite_engine) as db:
        assert len(jobs.runs(db, "deliver")) == 2


def test_a_job_that_runs_every_few_seconds_leaves_a_row_when_it_did_something(
    sqlite_engine: Engine, now: datetime
) -> None:
    for count in (0, 3):
        at = now + timedelta(seconds=count)
        busy = Job("deliver", lambda _, count=count: count, often=True)  # type: ignore[misc]
        run_job(busy, work(sqlite_engine, at), lambda at=at: at)  # type: ignore[misc]

    with read(sqlite_engine) as db:
        assert [run.looked_at for run in jobs.runs(db, "deliver")] == [3, 0]


def test_old_runs_are_forgotten(sqlite_engine: Engine, now: datetime) -> None:
    run_once(sqlite_engine, settings(), Policy(), now - timedelta(days=8))
    run_once(sqlite_engine, settings(), Policy(), now)

    with read(sqlite_engine) as db:
        assert len(jobs.runs(db, "roll")) == 1


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"webhook_url": "https://a.test"}, BadSecret),
        ({**webhook("https://a.test"), "webhook_secret": SecretStr("abc")}, BadSecret),
        ({**webhook("https://a.test"), "webhook_allow_networks": ("home",)}, BadNetwork),
    ],
)
def test_a_webhook_that_cannot_be_used_is_refused_at_the_start(
    sqlite_engine: Engine, now: datetime, fields: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        run_once(sqlite_engine, settings(**fields), Policy(), now)


def test_two_secrets_sign_while_one_takes_the_others_place() -> None:
    both = {"webhook_secret": SecretStr(f"{SECRET} {OTHER_SECRET}")}
    place = schedule.places_of(settings(**webhook("https://a.test") | both))["webhook"]

    assert len(place.keys) == 2


def test_without_an_address_nobody_is_told() -> None:
    assert schedule.places_of(settings()) == {}


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until ``condition`` holds; fail if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def looked(engine: Engine) -> bool:
    with read(engine) as db:
        runs = [run.job for run in jobs.last_runs(db) if run.outcome == "ok"]
    return sorted(runs) == EVERY_JOB


def test_the_analyst_looks_at_once_and_hands_the_lease_back_when_it_is_stopped(
    url: str, engine: Engine
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(settings(url, analyse_every_s=1), stop))
    thread.start()
    try:
        until(lambda: looked(engine))
    finally:
        stop.set()
        thread.join(20)

    assert not thread.is_alive()
    assert Turn(engine, {}).take()  # at once: nobody has to wait for the lease to lapse


def test_of_two_analysts_the_second_takes_over_when_the_first_leaves(
    url: str, engine: Engine
) -> None:
    stops = [threading.Event(), threading.Event()]
    threads = [threading.Thread(target=serve, args=(settings(url), stop)) for stop in stops]

    def token() -> int:
        with read(engine) as db:
            holder = jobs.lease_holder(db, LEASE)
        return holder.token if holder is not None and holder.name else 0

    try:
        threads[0].start()
        until(lambda: token() == 1)
        threads[1].start()
        stops[0].set()
        threads[0].join(20)
        until(lambda: token() == 2)
    finally:
        for stop, thread in zip(stops, threads, strict=True):
            stop.set()
            if thread.ident is not None:
                thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_a_database_that_does_not_answer_is_waited_for_and_then_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule, "_WAIT_FOR_STORE_S", 0.0)

    with pytest.raises(StoreBusy):
        serve(settings("postgresql://nobody@127.0.0.1:1/none"), threading.Event())


def start(**environment: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "analysis"],
        env=env | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_sigterm_ends_the_process_cleanly(sqlite_engine: Engine, sqlite_url: str) -> None:
    process = start(TIDEGAUGE_DATABASE_URL=sqlite_url)
    try:
        until(lambda: looked(sqlite_engine), 60)
        process.send_signal(signal.SIGTERM)
        _, shown = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0
    assert "Traceback" not in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TIDEGAUGE_HOSTT": "x"}, "TIDEGAUGE_HOSTT: no such setting"),
        ({"TIDEGAUGE_ANALYSE_EVERY_S": "often"}, "TIDEGAUGE_ANALYSE_EVERY_S"),
        ({"TIDEGAUGE_DATABASE_URL": "sqlite:////proc/none/x.db"}, "cannot be written"),
        ({"TIDEGAUGE_WEBHOOK_URL": "https://a.test"}, "TIDEGAUGE_WEBHOOK_SECRET"),
        ({"TIDEGAUGE_POLICY_FILE": "/none.toml"}, "/none.toml"),
    ],
)
def test_a_start_that_cannot_work_says_why_in_one_line(
    environment: dict[str, str], reason: str, tmp_path: Path
) -> None:
    process = start(**{"XDG_DATA_HOME": str(tmp_path)} | environment)
    _, shown = process.communicate(timeout=60)

    assert process.returncode == 2
    assert len(shown.splitlines()) == 1
    assert shown.startswith("tidegauge analyse: ")
    assert reason in shown
