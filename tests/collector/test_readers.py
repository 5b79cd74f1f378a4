from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psutil
import pytest

from bench.bodies import build
from collector.inflight import Overloaded
from collector.limits import BadEncoding, BadOtlp, Limits, TooLarge
from collector.parcel import Parcel
from collector.readers import AHEAD, Job, Readers, Reading, Rulebook
from collector.sender import Sender
from tests.processes import until
from tidegauge.policy import Policy

BOOK = Rulebook(Policy(), "", Limits(spans=20))
SENDER = Sender("p")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def job(body: bytes, encoding: str | None = None) -> Job:
    return Job(body, False, encoding, SENDER, NOW)


def plainly(read: Callable[[], Parcel]) -> Parcel:
    return read()


def begin(readers: Readers, one: Job) -> Reading:
    return readers.begin(one, plainly)


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    two = Readers(2, BOOK)
    yield two
    two.close()


@pytest.fixture(scope="module")
def inline() -> Readers:
    return Readers(0, BOOK)


def test_a_process_reads_what_the_collector_itself_would_read(
    readers: Readers, inline: Readers
) -> None:
    bodies = [job(build(8, seed).packed, "gzip") for seed in range(6)]
    there = [begin(readers, one) for one in bodies]

    for one, reading in zip(bodies, there, strict=True):
        here = begin(inline, one)
        assert here.is_ready()
        assert reading.take() == here.take()


@pytest.mark.parametrize(
    ("body", "encoding", "error", "says"),
    [
        (build(21, 1).raw, None, TooLarge, "20 spans"),
        (b"\xff" * 20, None, BadOtlp, "not protobuf"),
        (b"this is no gzip at all", "gzip", BadEncoding, "Content-Encoding"),
    ],
)
def test_an_error_is_the_same_on_this_side(
    readers: Readers,
    inline: Readers,
    body: bytes,
    encoding: str | None,
    error: type[Exception],
    says: str,
) -> None:
    for some in (readers, inline):
        with pytest.raises(error, match=says):
            begin(some, job(body, encoding)).take()


def test_an_unknown_encoding_stays_one_on_this_side(readers: Readers) -> None:
    with pytest.raises(BadEncoding) as refused:
        begin(readers, job(b"", "br")).take()

    assert refused.value.unknown


def test_r01_a_reader_that_is_killed_is_replaced_and_its_request_is_put_off() -> None:
    one = Readers(1, BOOK)
    try:
        begin(one, job(build(4, 1).raw)).take()
        (before,) = one.pids()
        os.kill(before, signal.SIGKILL)

        with pytest.raises(Overloaded, match="has ended"):
            begin(one, job(build(4, 2).raw)).take()

        assert len(begin(one, job(build(4, 3).raw)).take().rows) == 4
        assert list(one.pids()) != [before]
    finally:
        one.close()


def test_only_so_much_is_read_ahead_of_the_writer() -> None:
    one = Readers(1, BOOK)
    try:
        many = [begin(one, job(build(4, seed).raw)) for seed in range(AHEAD + 5)]
        assert until(lambda: sum(reading.is_ready() for reading in many) == AHEAD + 1)
        many[0].take()
        assert until(lambda: sum(reading.is_ready() for reading in many) == AHEAD + 2)

        many[1].drop()
        many[-1].drop()
        assert all(len(reading.take().rows) == 4 for reading in many[2:-1])
        assert len(begin(one, job(build(4, 99).raw)).take().rows) == 4
    finally:
        one.close()


def test_the_processes_end_with_the_readers() -> None:
    one = Readers(2, BOOK)
    processes = [psutil.Process(pid) for pid in one.pids()]
    one.close()

    assert not any(process.is_running() for process in processes)


_KILLED = """
import sys, time
from collector.readers import Readers
from tests.collector.test_readers import BOOK
print(*Readers(2, BOOK).pids(), flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_no_process_outlives_a_collector_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE) as collector:
        assert collector.stdout is not None
        pids = [int(word) for word in collector.stdout.readline().split()]
        assert len(pids) == 2
        collector.kill()

    assert until(lambda: not any(_lives(pid) for pid in pids))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_rule_that_cannot_be_used_stops_the_start() -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="redact_patterns"):
        Readers(1, Rulebook(_with_pattern("("), "", Limits()))
    assert time.monotonic() - began < 5


def _with_pattern(pattern: str) -> Policy:
    from tidegauge.policy import Project

    return Policy(projects={"*": Project(redact_patterns=(pattern,))})


def test_requests_taken_in_order_never_wait_for_room_that_later_ones_hold() -> None:
    four = Readers(4, BOOK)
    try:
        body = job(build(1, 1).raw)
        for _ in range(20):
            in_order = [begin(four, body) for _ in range(100)]
            assert until(in_order[0].is_ready)
            assert sum(len(reading.take().rows) for reading in in_order) == 100
    finally:
        four.close()


def test_a_reader_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.readers.READ_WITHIN_S", 0.5)
    one = Readers(1, BOOK)
    try:
        begin(one, job(build(4, 1).raw)).take()
        os.kill(one.pids()[0], signal.SIGSTOP)

        with pytest.raises(Overloaded, match="has ended"):
            begin(one, job(build(4, 2).raw)).take()

        assert len(begin(one, job(build(4, 3).raw)).take().rows) == 4
    finally:
        one.close()


def test_r19_readers_that_hang_do_not_hold_up_the_end() -> None:
    two = Readers(2, BOOK)
    for pid in two.pids():
        os.kill(pid, signal.SIGSTOP)
    waiting = [begin(two, job(build(4, seed).raw)) for seed in range(6)]

    began = time.monotonic()
    two.close()

    assert time.monotonic() - began < 2
    for reading in waiting[:2]:
        with pytest.raises(Overloaded):
            reading.take()
