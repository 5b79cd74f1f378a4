from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite

from collector.inflight import Held, InFlight, Overloaded
from collector.intake import Batch, Rejection
from collector.metrics import Metrics
from collector.parcel import parcel_of
from collector.readers import Here
from collector.writer import GROUP_SPANS, MOST_NOTED, Receipt, Writer
from tests.processes import until
from tidegauge.call import Call
from tidegauge.clock import HOUR, floor
from tidegauge.source import Source
from tidegauge.store import ledger, spans
from tidegauge.store.contents import to_json
from tidegauge.store.engine import BadValue, Engine, StoreBusy, open_engine, read, write
from tidegauge.store.ledger import Claim

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


def put(writer: Writer, read: Callable[[], Batch], held: Held) -> Future[Receipt]:
    return writer.put(Here(lambda: parcel_of(read())), held)


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


def batch_of(found: Sequence[Call], rejected: Sequence[Rejection] = (), **more: Any) -> Batch:
    return Batch(found, rejected, 100, contents=[to_json(call) for call in found], **more)


def reading(found: Sequence[Call], *rejected: Rejection) -> Callable[[], Batch]:
    return lambda: batch_of(found, rejected)


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
        return batch_of(self._found)


def test_concurrent_requests_share_one_transaction(
    writer: Writer, engine: Engine, metrics: Metrics, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    receipts = [put(writer, gate.read, held)]
    assert gate.entered.wait(WITHIN_S)
    receipts += [put(writer, reading(calls(now, n)), held) for n in range(1, 6)]
    assert not any(receipt.done() for receipt in receipts)
    gate.opened.set()
    assert [receipt.result(WITHIN_S) for receipt in receipts] == [ALL] * 6
    assert stored(engine) == 6
    assert metrics.value("tidegauge_commit_seconds_count") == 1
    assert metrics.value("tidegauge_group_requests_sum") == 6
    assert metrics.value("tidegauge_group_spans_sum") == 6


def test_a_group_is_closed_before_its_first_request_waits_too_long(
    writer: Writer, metrics: Metrics, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    receipts = [put(writer, gate.read, held)]
    assert gate.entered.wait(WITHIN_S)
    many = calls(now, *range(GROUP_SPANS))
    receipts += [put(writer, reading(many), held), put(writer, reading(calls(now, 1)), held)]
    gate.opened.set()
    assert [receipt.result(WITHIN_S) for receipt in receipts] == [ALL] * 3
    assert metrics.value("tidegauge_commit_seconds_count") == 2


def test_a_receipt_comes_after_the_commit(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    seen: list[int] = []
    receipt = put(writer, reading(calls(now, 1, 2)), held)
    receipt.add_done_callback(lambda _: seen.append(stored(engine)))
    receipt.result(WITHIN_S)
    writer.close(WITHIN_S)
    assert seen == [2]


def test_the_same_spans_again_change_nothing(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    for _ in range(3):
        assert put(writer, reading(calls(now, 1, 2)), held).result(WITHIN_S) == ALL
    assert stored(engine) == 2
    assert counted(engine, now) == {"accepted": 2, "duplicate": 4}


def test_a_value_that_the_database_refuses_costs_only_its_span(
    writer: Writer, engine: Engine, metrics: Metrics, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    first = put(writer, gate.read, held)
    assert gate.entered.wait(WITHIN_S)
    bad = [*calls(now, 10, 11), *calls(now, 12, tokens=2**63), *calls(now, 13, 14)]
    poisoned = put(writer, reading(bad, Rejection("bad_trace_id", "zeros")), held)
    last = put(writer, reading(calls(now, 1)), held)
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

    bad = put(writer, fail, held)
    assert put(writer, reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    with pytest.raises(KeyError):
        bad.result(WITHIN_S)
    assert stored(engine) == 1


def test_a_request_that_nobody_waits_for_is_not_read(
    writer: Writer, engine: Engine, now: datetime, held: Held
) -> None:
    gate = Gate(calls(now, 0))
    first = put(writer, gate.read, held)
    assert gate.entered.wait(WITHIN_S)
    assert put(writer, reading(calls(now, 1)), held).cancel()
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
        put(writer, reading((), Rejection("bad_span_id", "zeros")), held).result(WITHIN_S).rejected
    )
    writer.close(WITHIN_S)
    assert counted(engine, now) == {"refused:bad_otlp": 2, "rejected:bad_span_id": 1}


def test_a_closed_writer_stores_what_it_has_and_takes_no_more(
    writer: Writer, engine: Engine, now: datetime
) -> None:
    in_flight = InFlight(1000)
    receipts = [put(writer, reading(calls(now, n)), in_flight.open()) for n in range(20)]
    writer.close(WITHIN_S)
    assert all(receipt.result(0) == ALL for receipt in receipts)
    assert stored(engine) == 20
    late = in_flight.open()
    late.add(10)
    with pytest.raises(Overloaded):
        put(writer, reading(calls(now, 30)), late)
    assert in_flight.bytes == 0


def test_a_locked_database_fails_the_group_and_the_next_one_is_stored(
    sqlite_engine: Engine, sqlite_url: str, now: datetime, metrics: Metrics, held: Held
) -> None:
    writer = Writer(sqlite_engine, "p", clock=lambda: now, metrics=metrics)
    writer.note("refused:bad_otlp")
    lock = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    receipt = put(writer, reading(calls(now, 1)), held)
    with pytest.raises(StoreBusy):
        receipt.result(WITHIN_S)
    assert writer.trouble
    lock.close()
    assert put(writer, reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    assert writer.trouble is None
    writer.close(WITHIN_S)
    assert counted(sqlite_engine, now) == {"accepted": 1, "refused:bad_otlp": 1}


def test_a_line_of_the_ledger_is_of_one_source_and_exact_under_duplicates(
    writer: Writer, engine: Engine, metrics: Metrics, now: datetime, held: Held
) -> None:
    bot, digest = Source("p", "k", "bot"), Source("p", "k", "digest")

    def batch(*numbers: int) -> Callable[[], Batch]:
        return lambda: batch_of(
            calls(now, *numbers),
            [Rejection("bad_span_id", "zeros", digest)],
            sources=[bot if number < 10 else digest for number in numbers],
            notes=[(("late", 1), ("sdk_dropped:events", 7)) if n % 2 else () for n in numbers],
        )

    gate = Gate([])  # all in one transaction, where a few were there before
    put(writer, batch(1, 2), held).result(WITHIN_S)
    waiting = [put(writer, gate.read, held)]
    assert gate.entered.wait(WITHIN_S)
    waiting += [put(writer, batch(1, 3, 10, 11, 11), held), put(writer, batch(3, 2, 4), held)]
    gate.opened.set()
    for receipt in waiting:
        receipt.result(WITHIN_S)

    with read(engine) as db:
        lines = {line.source.service: line for line in ledger.lines(db, "p", now)}
        assert ledger.claim(db, "p", now) == Claim(6, 6)
    assert lines["bot"].counts == {
        "accepted": 4,
        "duplicate": 3,
        "late": 2,
        "sdk_dropped:events": 14,
    }
    assert lines["digest"].counts == {
        "accepted": 2,
        "duplicate": 1,
        "late": 1,
        "sdk_dropped:events": 7,
        "rejected:bad_span_id": 3,
    }
    assert metrics.value("tidegauge_spans_total", outcome="duplicate") == 4
    assert metrics.value("tidegauge_noted_total", kind="late") == 3


def test_several_writers_of_the_same_spans_count_each_of_them_once(
    engine: Engine, url: str, now: datetime, held: Held
) -> None:
    engines = [open_engine(url) for _ in range(3)]
    writers = [Writer(one, "p", clock=lambda: now, metrics=Metrics()) for one in engines]
    bodies = [range(start, start + 40) for start in range(0, 200, 20)]  # each span in two of them
    receipts = [
        put(writer, reading(calls(now, *body)), held) for body in bodies for writer in writers
    ]
    assert [receipt.result(WITHIN_S) for receipt in receipts] == [ALL] * len(receipts)
    for writer, one in zip(writers, engines, strict=True):
        writer.close(WITHIN_S)
        one.dispose()
    total = sum(map(len, bodies)) * len(writers)
    assert stored(engine) == 220
    assert counted(engine, now) == {"accepted": 220, "duplicate": total - 220}


def test_a_transaction_that_is_rolled_back_counts_nothing(
    sqlite_engine: Engine, sqlite_url: str, now: datetime, metrics: Metrics, held: Held
) -> None:
    with write(sqlite_engine) as db:  # fails where the ledger is written, after the spans
        db.exec_driver_sql(
            "CREATE TRIGGER broken BEFORE INSERT ON ingest_count BEGIN "
            "SELECT RAISE(ABORT, 'no'); END"
        )
    writer = Writer(sqlite_engine, "p", clock=lambda: now, metrics=metrics)
    with pytest.raises(BadValue):
        put(writer, reading(calls(now, 1)), held).result(WITHIN_S)
    assert stored(sqlite_engine) == 0
    assert metrics.value("tidegauge_spans_total", outcome="accepted") == 0
    assert metrics.value("tidegauge_failed_commits_total", reason="bad_value") > 0
    with write(sqlite_engine) as db:
        db.exec_driver_sql("DROP TRIGGER broken")
    assert put(writer, reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    writer.close(WITHIN_S)
    assert counted(sqlite_engine, now)["accepted"] == 1


def test_refusals_of_ever_new_sources_do_not_fill_the_memory(
    sqlite_engine: Engine, sqlite_url: str, now: datetime, metrics: Metrics, held: Held
) -> None:
    writer = Writer(sqlite_engine, "p", clock=lambda: now, metrics=metrics)
    lock = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for number in range(MOST_NOTED + 500):
        writer.note("refused:bad_otlp", source=Source("p", user_agent=str(number)))
    assert len(writer._noted) <= MOST_NOTED + 1
    lock.close()
    writer.close(WITHIN_S)
    assert counted(sqlite_engine, now) == {"refused:bad_otlp": MOST_NOTED + 500}


def test_a_writer_finds_out_by_itself_that_it_can_store_again(
    sqlite_engine: Engine,
    sqlite_url: str,
    now: datetime,
    metrics: Metrics,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("collector.writer.FLUSH_S", 0.05)
    writer = Writer(sqlite_engine, "p", clock=lambda: now, metrics=metrics)
    with write(sqlite_engine) as db:
        db.exec_driver_sql("ALTER TABLE ingest_count RENAME TO gone")
    with pytest.raises(StoreBusy):
        put(writer, reading(calls(now, 1)), held).result(WITHIN_S)
    failed = metrics.value("tidegauge_failed_commits_total", reason="store_busy")
    assert until(
        lambda: metrics.value("tidegauge_failed_commits_total", reason="store_busy") > failed
    )
    assert writer.trouble
    with write(sqlite_engine) as db:
        db.exec_driver_sql("ALTER TABLE gone RENAME TO ingest_count")
    assert until(lambda: writer.trouble is None)
    writer.close(WITHIN_S)
    assert counted(sqlite_engine, now) == {}


def test_the_writer_says_what_waits_and_for_how_long(
    writer: Writer, metrics: Metrics, now: datetime, held: Held
) -> None:
    assert (writer.oldest_s(), writer.busy_s()) == (0.0, 0.0)
    gate = Gate(calls(now, 0))
    receipts = [put(writer, gate.read, held)]
    assert gate.entered.wait(WITHIN_S)
    receipts += [put(writer, reading(calls(now, n)), held) for n in (1, 2)]
    assert metrics.value("tidegauge_requests_in_flight") == 3
    assert metrics.value("tidegauge_requests_waiting") == 2
    assert metrics.value("tidegauge_oldest_request_seconds") > 0
    assert writer.busy_s() > 0
    gate.opened.set()
    for receipt in receipts:
        receipt.result(WITHIN_S)
    assert until(lambda: writer.busy_s() == 0)
    assert (writer.oldest_s(), metrics.value("tidegauge_requests_in_flight")) == (0.0, 0)


def test_a_clock_that_is_ahead_shows_in_the_numbers(
    writer: Writer, metrics: Metrics, now: datetime, held: Held
) -> None:
    for ahead in (timedelta(minutes=30), timedelta(seconds=-2)):
        put(writer, reading(calls(now + ahead, ahead.seconds)), held).result(WITHIN_S)
    assert metrics.value("tidegauge_clock_lead_seconds_bucket", le="0.0") == 1
    assert metrics.value("tidegauge_clock_lead_seconds_bucket", le="600.0") == 1
    assert metrics.value("tidegauge_clock_lead_seconds_bucket", le="3600.0") == 2


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
        put(writer, reading(calls(now, 1)), held).result(WITHIN_S)
    broken = put(writer, lambda: Batch((), (), None), held)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        broken.result(WITHIN_S)
    assert writer.alive
    with pytest.raises(RuntimeError):
        put(writer, reading(calls(now, 1)), held).result(WITHIN_S)
    assert put(writer, reading(calls(now, 1)), held).result(WITHIN_S) == ALL
    writer.close(WITHIN_S)
