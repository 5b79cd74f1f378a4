from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import pytest
from pysqlite3 import dbapi2 as sqlite

from collector.inflight import Held, InFlight, Overloaded
from collector.intake import Batch, Rejection
from collector.metrics import Metrics
from collector.writer import GROUP_SPANS, Receipt, Writer
from tidegauge.call import Call
from tidegauge.clock import HOUR, floor
from tidegauge.store import ledger, spans
from tidegauge.store.engine import Engine, StoreBusy, read

WITHIN_S = 20
ALL = Receipt()  # nothing rejected, nothing to warn of


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def writer(engine: Engine, now: datetime, metrics: Metrics) -> Iterator[Writer]:
    writer = Writer(engine, "p", clock=lambda: now, metrics=metrics)
    yield writer
    writer.close(WITHIN_S)
    assert not writer.alive


@pytest.fixture
def held() -> Held:
    return InFlight(1000).open()


def calls(now: datetime, *numbers: int, tokens: int | None = None) -> list[Call]:
    return [
        Call(
            project="p",
            trace_id=f"{number + 1:032x}",
            span_id=f"{number + 1:016x}",
            started_at=now,
            duration_s=1.0,
            input_tokens=tokens,
        )
        for number in numbers
    ]


def reading(found: Sequence[Call], *rejected: Rejection) -> Callable[[], Batch]:
    return lambda: Batch(found, rejected, 100)


def stored(engine: Engine) -> int:
    with read(engine) as db:
        return spans.count(db, "p")


def counted(engine: Engine, now: datetime) -> dict[str, int]:
    hour = floor(now, HOUR)
    with read(engine) as db:
        return ledger.read_counts(db, "p", hour, hour + HOUR)


class Gate:
    """A request whose reading waits: what is queued meanwhile joins its group."""

    def __init__(self, found: Sequence[Call]) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self._found = found

    def read(self) -> Batch:
        self.entered.set()
        assert self.opened.wait(WITHIN_S)
        return Batch(self._found, (), 100)


def test_concurrent_requests_share_one_transaction(
    writer: Writer, engine: Engine, metrics: Metrics, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    receipts = [writer.put(gate.read, held)]
    assert gate.entered.wait(WITHIN_S)
    receipts += [writer.put(reading(calls(now, n)), held) for n in range(1, 6)]
    assert not any(receipt.done() for receipt in receipts)
    gate.opened.set()
    assert [receipt.result(WITHIN_S) for receipt in receipts] == [ALL] * 6
    assert stored(engine) == 6
    assert metrics.value("tidegauge_commits_total") == 1
    assert metrics.value("tidegauge_committed_requests_total") == 6


def test_a_group_is_closed_before_its_first_request_waits_too_long(
    writer: Writer, metrics: Metrics, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    receipts = [writer.put(gate.read, held)]
    assert gate.entered.wait(WITHIN_S)
    many = calls(now, *range(GROUP_SPANS))
    receipts += [writer.put(reading(many), held), writer.put(reading(calls(now, 1)), held)]
    gate.opened.set()
    assert [receipt.result(WITHIN_S) for receipt in receipts] == [ALL] * 3
    assert metrics.value("tidegauge_commits_total") == 2


def test_a_receipt_comes_after_the_commit(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    seen: list[int] = []
    receipt = writer.put(reading(calls(now, 1, 2)), held)
    receipt.add_done_callback(lambda _: seen.append(stored(engine)))
    receipt.result(WITHIN_S)
    writer.close(WITHIN_S)
    assert seen == [2]


def test_the_same_spans_again_change_nothing(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    for _ in range(3):
        assert writer.put(reading(calls(now, 1, 2)), held).result(WITHIN_S) == ALL
    assert stored(engine) == 2
    assert counted(engine, now) == {"accepted": 2, "duplicate": 4}


def test_a_value_that_the_database_refuses_costs_only_its_span(
    writer: Writer, engine: Engine, metrics: Metrics, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    first = writer.put(gate.read, held)
    assert gate.entered.wait(WITHIN_S)
    bad = [*calls(now, 10, 11), *calls(now, 12, tokens=2**63), *calls(now, 13, 14)]
    poisoned = writer.put(reading(bad, Rejection("bad_trace_id", "zeros")), held)
    last = writer.put(reading(calls(now, 1)), held)
    gate.opened.set()

    assert (first.result(WITHIN_S), last.result(WITHIN_S)) == (ALL, ALL)
    assert [one.kind for one in poisoned.result(WITHIN_S).rejected] == ["bad_trace_id", "bad_value"]
    assert stored(engine) == 6
    assert metrics.value("tidegauge_rejected_spans_total", reason="bad_value") == 1
    writer.close(WITHIN_S)
    assert counted(engine, now) == {
        "accepted": 6,
        "rejected:bad_trace_id": 1,
        "rejected:bad_value": 1,
    }


def test_an_error_of_one_request_is_its_own(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    def fail() -> Batch:
        raise KeyError("bug")

    bad = writer.put(fail, held)
    assert writer.put(reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    with pytest.raises(KeyError):
        bad.result(WITHIN_S)
    assert stored(engine) == 1


def test_a_request_that_nobody_waits_for_is_not_read(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    first = writer.put(gate.read, held)
    assert gate.entered.wait(WITHIN_S)
    assert writer.put(reading(calls(now, 1)), held).cancel()
    gate.opened.set()
    first.result(WITHIN_S)
    writer.close(WITHIN_S)
    assert stored(engine) == 1


def test_counts_without_spans_are_written_when_the_writer_is_idle_or_ends(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    writer.note("refused:bad_otlp")
    writer.note("refused:bad_otlp")
    assert (
        writer.put(reading((), Rejection("bad_span_id", "zeros")), held).result(WITHIN_S).rejected
    )
    writer.close(WITHIN_S)
    assert counted(engine, now) == {"refused:bad_otlp": 2, "rejected:bad_span_id": 1}


def test_a_closed_writer_stores_what_it_has_and_takes_no_more(
    writer: Writer, engine: Engine, now: datetime
) -> None:
    in_flight = InFlight(1000)
    receipts = [writer.put(reading(calls(now, n)), in_flight.open()) for n in range(20)]
    writer.close(WITHIN_S)
    assert all(receipt.result(0) == ALL for receipt in receipts)
    assert stored(engine) == 20
    late = in_flight.open()
    late.add(10)
    with pytest.raises(Overloaded):
        writer.put(reading(calls(now, 30)), late)
    assert in_flight.bytes == 0


def test_a_locked_database_fails_the_group_and_the_next_one_is_stored(
    sqlite_engine: Engine, sqlite_url: str, now: datetime, metrics: Metrics, held: Held
) -> None:
    writer = Writer(sqlite_engine, "p", clock=lambda: now, metrics=metrics)
    writer.note("refused:bad_otlp")
    lock = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    receipt = writer.put(reading(calls(now, 1)), held)
    with pytest.raises(StoreBusy):
        receipt.result(WITHIN_S)
    assert writer.trouble
    lock.close()
    assert writer.put(reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    assert writer.trouble is None
    writer.close(WITHIN_S)
    assert counted(sqlite_engine, now) == {"accepted": 1, "refused:bad_otlp": 1}


def test_what_was_stored_otherwise_than_sent_is_counted(
    writer: Writer, engine: Engine, metrics: Metrics, now: datetime, held: Held
) -> None:
    batch = Batch(calls(now, 1), (), 100, {"clock_invalid": 1}, ["one clock is wrong"])
    receipt = writer.put(lambda: batch, held).result(WITHIN_S)
    assert receipt.warnings == ["one clock is wrong"]
    assert metrics.value("tidegauge_noted_spans_total", kind="clock_invalid") == 1
    assert counted(engine, now) == {"accepted": 1, "noted:clock_invalid": 1}


def test_the_writer_outlives_every_error_of_its_own(
    sqlite_engine: Engine, now: datetime, metrics: Metrics, held: Held
) -> None:
    times: Iterator[datetime | Exception] = iter(
        [RuntimeError("no clock"), RuntimeError("no clock")]
    )

    def clock() -> datetime:
        at = next(times, now)
        if isinstance(at, Exception):
            raise at
        return at

    writer = Writer(sqlite_engine, "p", clock=clock, metrics=metrics)
    with pytest.raises(RuntimeError):
        writer.put(reading(calls(now, 1)), held).result(WITHIN_S)
    broken = writer.put(lambda: Batch((), (), None), held)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        broken.result(WITHIN_S)
    assert writer.alive
    with pytest.raises(RuntimeError):
        writer.put(reading(calls(now, 1)), held).result(WITHIN_S)
    assert writer.put(reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    writer.close(WITHIN_S)
