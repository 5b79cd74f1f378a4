from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta

from sqlalchemy import text

from analysis import retention
from analysis.retention import Pace, expire
from tests.world import a_call
from tidegauge.policy import Policy, Project
from tidegauge.store import spans
from tidegauge.store.engine import Engine, read, write

DAY = timedelta(days=1)


class Clock:
    """Time that passes only while somebody rests, and a little with each look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests: list[float] = []

    def __call__(self) -> float:
        self.now += 0.001
        return self.now

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds


def pace() -> Pace:
    clock = Clock()
    return Pace(clock, clock.rest)


def stored(engine: Engine, now: datetime, project: str, ages: range) -> None:
    for age in ages:
        call = a_call((project, age), project=project, started_at=now - age * DAY, input=["said"])
        with write(engine) as db:
            spans.insert(db, [call], received_at=now - age * DAY)


def left(engine: Engine, project: str) -> tuple[int, int]:
    """Return how many calls there are, and how many of them with content."""
    with read(engine) as db:
        calls = spans.calls(db, project)
    return len(calls), sum(call.input is not None for call in calls)


def test_each_project_keeps_what_its_policy_says(engine: Engine, now: datetime) -> None:
    for project in ("shop", "other"):
        stored(engine, now, project, range(0, 40, 2))
    policy = Policy(
        projects={
            "*": Project(content_days=5),
            "shop": Project(content_days=3, numbers_days=21),
        }
    )

    gone = expire(engine, policy, now, pace())

    assert left(engine, "shop") == (11, 2)
    assert left(engine, "other") == (20, 3)
    assert gone == (18 + 9) + 17
    assert expire(engine, policy, now, pace()) == 0


def test_by_default_content_is_kept_a_month_and_numbers_a_year(
    engine: Engine, now: datetime
) -> None:
    stored(engine, now, "default", range(0, 500, 25))

    expire(engine, Policy(), now, pace())

    assert left(engine, "default") == (17, 2)


def test_a_run_ends_in_time_and_the_next_goes_on(sqlite_engine: Engine, now: datetime) -> None:
    calls = [a_call(i, started_at=now - 500 * DAY) for i in range(500)]
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=now - 500 * DAY)

    class Slow(Clock):
        def __call__(self) -> float:
            self.now += 1.0
            return self.now

    slow = Slow()
    first = expire(sqlite_engine, Policy(), now, Pace(slow, slow.rest))
    assert 0 < first < 500
    runs = 1
    while expire(sqlite_engine, Policy(), now, Pace(slow, slow.rest)):
        runs += 1
        assert runs < 1000
    assert left(sqlite_engine, "default") == (0, 0)


def test_it_rests_longer_than_it_works() -> None:
    clock = Clock()
    clock.now = 10.0
    retention._rest(Pace(clock, clock.rest), began=9.9)

    assert clock.rests[0] >= retention.REST * 0.1


def test_a_store_without_old_rows_is_not_locked(sqlite_engine: Engine, now: datetime) -> None:
    stored(sqlite_engine, now, "default", range(3))

    with write(sqlite_engine):  # SQLite's one write lock is taken
        assert expire(sqlite_engine, Policy(), now, pace()) == 0


def test_r26_ingest_goes_on_while_old_rows_are_deleted(engine: Engine, now: datetime) -> None:
    old = [a_call(i, started_at=now - 500 * DAY, input=["x" * 500]) for i in range(2000)]
    with write(engine) as db:
        spans.insert(db, old, received_at=now - 500 * DAY)

    waits: list[float] = []
    stop = threading.Event()

    def send() -> None:
        for batch in range(10_000):
            if stop.is_set():
                return
            began = time.perf_counter()
            with write(engine) as db:
                spans.insert(db, [a_call(("new", batch), started_at=now)], received_at=now)
            waits.append(time.perf_counter() - began)
            stop.wait(0.005)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        deadline = time.monotonic() + 60
        while expire(engine, Policy(), now, Pace(time.monotonic, time.sleep)):
            assert time.monotonic() < deadline
    finally:
        stop.set()
        sender.join()

    with read(engine) as db:
        assert spans.count(db, "default") == len(waits)
        assert db.execute(text("SELECT count(*) FROM content_block")).scalar_one() == len(waits)
    assert max(waits) < 2.0  # DELETE at once held it up for 2.4 s
