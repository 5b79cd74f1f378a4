"""Group commit: many requests, one transaction; each is acknowledged after the commit.

Requests are stored in the order in which they came. They are read by other processes, or on the
thread that writes: with threads of their own for decoding, the two would fight for the interpreter.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

from collector.inflight import Held, Overloaded
from collector.intake import Rejection
from collector.metrics import Metrics
from collector.parcel import Parcel
from collector.readers import Reading
from tidegauge import log
from tidegauge.source import Source
from tidegauge.store import ledger, scores, spans
from tidegauge.store.engine import BadValue, Engine, StoreBusy, write
from tidegauge.store.rows import NS, started_ns

GROUP_BYTES = 8 * 2**20  # a group is closed at one of these: its first request waits for its last,
GROUP_SPANS = 4_000  # and all of it is in memory
FLUSH_S = 5.0  # counts that came without a span to store are written after this time
MOST_NOTED = 10_000  # counts that wait; while nothing can be stored, new sources are one

_Counts = Counter[tuple[Source, str]]  # by source and outcome of the ledger


@dataclass(frozen=True, slots=True)
class Receipt:
    """A request is stored, but for the spans in ``rejected``; ``warnings`` are for its sender."""

    rejected: Sequence[Rejection] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    reading: Reading
    held: Held
    receipt: Future[Receipt]


@dataclass(frozen=True, slots=True)
class _Ready:
    parcel: Parcel
    receipt: Future[Receipt]


class Writer:
    """The one thread that writes. ``trouble`` says why the last group was not stored, if so."""

    def __init__(
        self, engine: Engine, project: str, *, clock: Callable[[], datetime], metrics: Metrics
    ) -> None:
        self.trouble: str | None = None
        self._engine = engine
        self._unnamed = Source(project)
        self._clock = clock
        self._metrics = metrics
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._put_back: _Waiting | None = None  # its turn has come, but it is not read yet
        self._ended = False
        self._closed = False
        self._open: dict[Future[Receipt], float] = {}  # the oldest first, with when it came
        self._began: float | None = None  # its present group
        self._noted: _Counts = Counter()
        self._lock = threading.Lock()  # of _noted and _open
        metrics.watch("tidegauge_requests_in_flight", lambda: len(self._open))
        metrics.watch("tidegauge_requests_waiting", self._queue.qsize)
        metrics.watch("tidegauge_oldest_request_seconds", self.oldest_s)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, reading: Reading, held: Held) -> Future[Receipt]:
        """Queue a request. The receipt is there once it is committed, or the error that came.

        ``reading`` is taken on the writer's thread, and ``held`` is released after it: what is read
        is bounded by the size of a group, and by how far readers may be ahead. Raises Overloaded
        after close().
        """
        if self._closed:
            reading.drop()
            held.release()
            raise Overloaded("the collector is stopping")
        receipt: Future[Receipt] = Future()
        with self._lock:
            self._open[receipt] = time.monotonic()
        receipt.add_done_callback(self._forget)
        self._queue.put(_Waiting(reading, held, receipt))
        return receipt

    def note(self, outcome: str, number: int = 1, source: Source | None = None) -> None:
        """Count an outcome in the ledger with the next commit, or a few seconds later.

        ``source`` is known only where its key is: what anyone may claim to be must not fill the
        table of sources.
        """
        with self._lock:
            key = (source or self._unnamed, outcome)
            if len(self._noted) >= MOST_NOTED and key not in self._noted:
                key = (Source(key[0].project, service=ledger.OTHER), outcome)
            self._noted[key] += number

    @property
    def alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def oldest_s(self) -> float:
        """Return the age of the oldest request without an answer, seconds; 0: there is none."""
        with self._lock:
            came = next(iter(self._open.values()), None)
        return 0.0 if came is None else time.monotonic() - came

    def busy_s(self) -> float:
        """Return for how long the writer has worked on its present group, seconds."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def close(self, timeout_s: float | None = None) -> None:
        """Take nothing more, store what is queued, and end."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _forget(self, receipt: Future[Receipt]) -> None:
        with self._lock:
            self._open.pop(receipt, None)

    def _run(self) -> None:
        flushed_at = time.monotonic()
        while not self._ended:
            taken: list[_Ready] = []
            try:
                self._take(taken)
                self._commit(taken)
                if self._ended or time.monotonic() - flushed_at >= FLUSH_S:
                    flushed_at = time.monotonic()
                    self._flush()
            except Exception as error:  # noqa: BLE001
                # A writer that ends would answer nobody ever again.
                _fail(taken, error)
                log.get(__name__).error("group failed", error=type(error).__name__)
            self._began = None

    def _take(self, ready: list[_Ready]) -> None:
        """Wait for a request, and add it and all that wait behind it, until the group is full."""
        size = spans_taken = 0
        while size < GROUP_BYTES and spans_taken < GROUP_SPANS:
            waiting = self._next(first=not ready)
            if waiting is None:
                break
            if self._began is None:
                self._began = time.monotonic()
            if (one := self._read(waiting)) is not None:
                ready.append(one)
                size += one.parcel.size
                spans_taken += len(one.parcel.rows)

    def _next(self, *, first: bool) -> _Waiting | None:
        """Return the next request, None if there is none now; ``_ended``: nor will there be.

        Only the ``first`` of a group is waited for: the others that are there are stored meanwhile.
        """
        waiting, self._put_back = self._put_back, None
        if waiting is None:
            try:
                waiting = self._queue.get(block=first, timeout=FLUSH_S if first else None)
            except queue.Empty:
                return None
            self._ended = waiting is None
        if waiting is not None and not first and not waiting.reading.is_ready():
            waiting, self._put_back = None, waiting
        return waiting

    def _read(self, waiting: _Waiting) -> _Ready | None:
        """Return the request decoded; None if it is refused, or nobody waits for it any more."""
        try:
            if not waiting.receipt.set_running_or_notify_cancel():
                waiting.reading.drop()
                return None
            parcel = waiting.reading.take()
        except Exception as error:  # noqa: BLE001
            waiting.receipt.set_exception(_light(error))  # the edge that waits knows what to answer
            return None
        finally:
            waiting.held.release()
        return _Ready(parcel, waiting.receipt)

    def _commit(self, group: Sequence[_Ready]) -> None:
        """Store a group in one transaction; where that fails for its content, one by one."""
        parcels = [one.parcel for one in group]
        try:
            if any(parcel.rows or parcel.rejected for parcel in parcels):
                self._store(parcels)
        except StoreBusy as error:
            _fail(group, error)
        except Exception as error:  # noqa: BLE001
            if len(group) > 1:
                for one in group:
                    self._commit([one])
            elif isinstance(error, BadValue):
                self._salvage(group[0])
            else:
                _fail(group, error)
        else:
            for one in group:
                one.receipt.set_result(Receipt(one.parcel.rejected, one.parcel.warnings))

    def _salvage(self, one: _Ready) -> None:
        """Store every span of a request but those that the database refuses."""
        refused: list[Rejection] = []
        whole = one.parcel
        try:
            self._store_most(whole, range(len(whole.rows)), refused)
            self._store([replace(whole.part(()), rejected=[*whole.rejected, *refused])])
        except Exception as error:  # noqa: BLE001
            _fail([one], error)
            return
        one.receipt.set_result(Receipt([*whole.rejected, *refused], whole.warnings))

    def _store_most(self, parcel: Parcel, places: Sequence[int], refused: list[Rejection]) -> None:
        """Store the calls at ``places``, halved until those with a bad value stand alone."""
        try:
            self._store([parcel.part(places)])
        except BadValue:
            if len(places) == 1:
                why = "the database cannot keep a value of it"
                refused.append(Rejection("bad_value", why, parcel.sources[places[0]]))
                return
            middle = len(places) // 2
            self._store_most(parcel, places[:middle], refused)
            self._store_most(parcel, places[middle:], refused)

    def _store(self, group: Sequence[Parcel]) -> None:
        """Write the spans of ``group`` and what the ledger says of them, in one transaction.

        Both or neither: after a crash the ledger claims no span that is not there.
        """
        began = time.monotonic()
        received_at = self._clock()
        rows = [row for parcel in group for row in parcel.rows]
        contents = [content for parcel in group for content in parcel.contents]
        judged = [one for parcel in group for some in parcel.scores for one in some]
        noted = self._take_noted()
        try:
            with write(self._engine) as db:
                new = spans.insert_each(db, rows, contents, received_at=received_at)
                scores.insert(db, judged, received_at=received_at)
                counts = self._counts(group, new)
                ledger.record(db, received_at, counts + noted)
        except Exception as error:
            self._give_back(noted)
            self._failed(error)
            raise
        self._change_state(None)
        self._measure(group, counts, received_at, time.monotonic() - began)

    def _counts(self, group: Sequence[Parcel], new: Sequence[bool]) -> _Counts:
        """Return what the ledger is told of a group, ``new`` says for each span whether it was."""
        counts: _Counts = Counter()
        at = 0
        for parcel in group:
            ours = new[at : at + len(parcel.rows)]
            at += len(parcel.rows)
            counts += _counts_of(parcel, ours)
            for one in parcel.rejected:
                counts[one.source or self._unnamed, f"{ledger.REJECTED}{one.kind}"] += 1
        return counts

    def _measure(
        self, group: Sequence[Parcel], counts: _Counts, received_at: datetime, took_s: float
    ) -> None:
        self._metrics.observe("tidegauge_commit_seconds", took_s)
        self._metrics.observe("tidegauge_group_requests", len(group))
        self._metrics.observe("tidegauge_group_spans", sum(len(one.rows) for one in group))
        for parcel in group:
            if parcel.rows:
                newest_s = max(map(started_ns, parcel.rows)) / NS
                lead_s = newest_s - received_at.timestamp()
                self._metrics.observe("tidegauge_clock_lead_seconds", lead_s)
        for outcome, number in _by_outcome(counts).items():
            self._metrics.count_outcome(outcome, number)

    def _flush(self) -> None:
        """Write the counts that wait; at the end, and when no span came to take them along.

        After trouble also where there are none: no span would come while we say that we cannot
        store any, and so nobody would ever find out that we can.
        """
        noted = self._take_noted()
        if not noted and not self.trouble:
            return
        try:
            with write(self._engine) as db:
                ledger.record(db, self._clock(), noted)
                ledger.try_to_write(db)
        except Exception as error:  # noqa: BLE001  (they stay noted)
            self._give_back(noted)
            self._failed(error)
            if not isinstance(error, StoreBusy):
                log.get(__name__).warning("counts not stored", error=type(error).__name__)
        else:
            self._change_state(None)

    def _take_noted(self) -> _Counts:
        with self._lock:
            noted, self._noted = self._noted, Counter()
        return noted

    def _give_back(self, noted: _Counts) -> None:
        with self._lock:
            self._noted.update(noted)

    def _failed(self, error: Exception) -> None:
        kinds = {StoreBusy: "store_busy", BadValue: "bad_value"}
        reason = kinds.get(type(error), "unexpected")
        self._metrics.add("tidegauge_failed_commits_total", reason=reason)
        if isinstance(error, BadValue):
            self._change_state(None)
        else:  # of an error that nobody thought of only the kind: its words may hold content
            self._change_state(str(error) if reason == "store_busy" else type(error).__name__)

    def _change_state(self, trouble: str | None) -> None:
        """Say once that the store does not answer, and once that it does again."""
        before, self.trouble = self.trouble, trouble
        if trouble and not before:
            log.get(__name__).warning("store does not answer", why=trouble)
        elif before and not trouble:
            log.get(__name__).info("store answers again")


def _counts_of(parcel: Parcel, new: Sequence[bool]) -> _Counts:
    """Return how many spans of each source are stored or were before, and what is to be said."""
    counts: _Counts = Counter()
    words = {True: ledger.ACCEPTED, False: ledger.DUPLICATE}
    for (source, is_new), number in Counter(zip(parcel.sources, new, strict=True)).items():
        counts[source, words[is_new]] += number
    for source, notes, is_new in zip(parcel.sources, parcel.notes, new, strict=True):
        # Of what came before, it was said before.
        for outcome, number in notes if is_new else ():
            counts[source, outcome] += number
    return counts


def _by_outcome(counts: _Counts) -> dict[str, int]:
    """Return the sums over all sources: no client may choose a label."""
    sums: Counter[str] = Counter()
    for (_, outcome), number in counts.items():
        sums[outcome] += number
    return sums


def _light(error: Exception) -> Exception:
    """Return the error without what its frames hold: the body, and all that was inflated of it.

    Twenty refused bombs that wait for their answers would keep 400 MB.
    """
    within: BaseException | None = error
    while within is not None:
        traceback.clear_frames(within.__traceback__)
        within = within.__context__
    return error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)


def _fail(group: Sequence[_Ready], error: Exception) -> None:
    for one in group:
        if not one.receipt.done():
            one.receipt.set_exception(error)
