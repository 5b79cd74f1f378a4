"""Logs and metrics: one request, start to finish: bound, decode, redact, store.

On a thread and in a transaction of their own, not in the writer's group: they are few beside the
spans (a metrics exporter sends once a minute), a group with three kinds of rows would have to tell
whose failure is whose, and a span must not wait until a log record is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from collector import limits, otlp_logs, otlp_metrics, wire_walk
from collector.answers import Signal
from collector.capture import Plan
from collector.event_capture import captured
from collector.inflight import Held, Overloaded
from collector.intake import AHEAD, EARLIEST, Rejection
from collector.metrics import Metrics
from collector.redact import redacted_label
from collector.sender import Sender
from collector.sources import source_of
from collector.wire import Group
from collector.wire_walk import Shape
from collector.writer import Receipt
from tidegauge.log_event import LogEvent
from tidegauge.source import Source
from tidegauge.store import events, ledger, token_metrics
from tidegauge.store.engine import Connection, Engine, write
from tidegauge.store.rows import to_ns
from tidegauge.token_count import TokenCount

STORED, DUPLICATE, NOT_KEPT, REJECTED = "stored", "duplicate", "not_kept", "rejected"

_NAMES = ("service", "request_model", "response_model", "metric")

T = TypeVar("T")
Store = Callable[[Connection, list[T]], int]  # returns how many were new
Counted = Counter[tuple[Source, str]]  # by source and outcome
Note = Callable[[str, int, Source | None], None]  # Writer.note: needs no transaction of its own


class Signals:
    """Takes requests of logs and metrics, one after the other: only one is in memory as objects."""

    def __init__(
        self,
        engine: Engine,
        *,
        plan_of: Callable[[str], Plan],
        bounds: limits.Limits,
        clock: Callable[[], datetime],
        note: Note,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._plan_of = plan_of
        self._bounds = bounds
        self._clock = clock
        self._note = note
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "signals")

    def put(
        self,
        signal: Signal,
        body: bytes,
        held: Held,
        sender: Sender,
        *,
        json: bool,
        encoding: str | None,
    ) -> Future[Receipt]:
        """Queue a request. The receipt is there once it is committed, or the error that came.

        ``held`` is released then. Raises Overloaded after close().
        """
        take = partial(self._take, signal, body, sender, json=json, encoding=encoding)
        try:
            receipt = self._thread.submit(take)
        except RuntimeError:
            held.release()
            raise Overloaded("the collector is stopping") from None
        # Also where its sender has given up before it was begun.
        receipt.add_done_callback(lambda _: held.release())
        return receipt

    def close(self) -> None:
        """Take nothing more, and store what is queued."""
        self._thread.shutdown()

    def _take(
        self, signal: Signal, body: bytes, sender: Sender, *, json: bool, encoding: str | None
    ) -> Receipt:
        body = limits.inflate(body, encoding, self._bounds.body_bytes)
        shape = wire_walk.LOGS if signal is Signal.LOGS else wire_walk.METRICS
        _bound(body, shape, self._bounds, json=json)
        now, most = self._clock(), self._bounds.spans
        if signal is Signal.LOGS:
            logs = otlp_logs.read(body, sender.project, json=json, most=most)
            for group in logs:
                _capture(group, self._plan_of(sender.project))
            return self._keep(signal, logs, sender, now, partial(_insert_events, now=now))
        metrics = otlp_metrics.read(body, sender.project, json=json, most=most)
        for counts in metrics:
            _reject_impossible(counts, now)
            counts.kept = [_scrubbed(one, self._plan_of(sender.project)) for one in counts.kept]
        return self._keep(signal, metrics, sender, now, _record_counts)

    def _keep(
        self, signal: Signal, groups: list[Group[T]], sender: Sender, now: datetime, store: Store[T]
    ) -> Receipt:
        """Commit what is kept with what the ledger says of it; what is not is only noted."""
        counted: Counted = Counter()
        plan = self._plan_of(sender.project)
        if any(group.kept for group in groups):
            with write(self._engine) as db:
                for group in groups:
                    new = store(db, group.kept) if group.kept else 0
                    _count(counted, group, new, signal, source_of(group.resource, sender, plan))
                ledger.record(db, now, counted)
        else:
            known = Source(sender.project, sender.key_id)
            for group in groups:
                _count(counted, group, 0, signal, known)
            for (source, outcome), number in counted.items():
                self._note(outcome, number, source if source.key_id else None)
        for (_, outcome), number in counted.items():
            self._metrics.count_outcome(outcome, number)
        return Receipt([Rejection("invalid", why) for group in groups for why in group.rejected])


def _bound(body: bytes, shape: Shape, bounds: limits.Limits, *, json: bool) -> None:
    if json:
        limits.walk_json(body, bounds)
    else:
        wire_walk.walk(body, shape, bounds)


def _insert_events(db: Connection, kept: list[LogEvent], *, now: datetime) -> int:
    return events.insert(db, kept, received_at=now)


def _record_counts(db: Connection, kept: list[TokenCount]) -> int:
    return token_metrics.record(db, kept)


def _count(into: Counted, group: Group[Any], new: int, signal: Signal, source: Source) -> None:
    """Add how many records of a group came to what; zeros are left out."""
    found = Counter({STORED: new, NOT_KEPT: group.not_kept, REJECTED: len(group.rejected)})
    # A point tells all that those of its stream before it did: one that is not new had no room.
    found[DUPLICATE if signal is Signal.LOGS else NOT_KEPT] += len(group.kept) - new
    for outcome, number in found.items():
        if number:
            into[source, f"{signal}:{outcome}"] += number


def _capture(group: Group[LogEvent], plan: Plan) -> None:
    """Take out of the events what is not to be stored."""
    less = [captured(event, plan) for event in group.kept]
    group.kept = [event for event in less if event is not None]
    group.not_kept += len(less) - len(group.kept)


def _reject_impossible(group: Group[TokenCount], now: datetime) -> None:
    """Reject points of a time at which they cannot have been: their hour would be the newest."""
    earliest, latest = to_ns(EARLIEST), to_ns(now + AHEAD)
    possible = [count for count in group.kept if earliest <= count.until_ns <= latest]
    impossible = len(group.kept) - len(possible)
    group.kept = possible
    group.rejected += ["timeUnixNano is in the future, or before 2000"] * impossible


def _scrubbed(count: TokenCount, plan: Plan) -> TokenCount:
    """Return a count whose names hold no secret: a span's are cleaned alike, so they still meet."""
    names: dict[str, Any] = {
        name: text and redacted_label(text, plan.rules)
        for name in _NAMES
        for text in [getattr(count, name)]
    }
    return replace(count, **names)
