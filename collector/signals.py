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

from collector import dialects, limits, otlp_logs, otlp_metrics, scores, wire_walk
from collector.answers import Signal
from collector.capture import Plan, kept
from collector.event_capture import captured
from collector.inflight import Held, Overloaded
from collector.intake import AHEAD, EARLIEST, Rejection, dated, each
from collector.json_budget import JsonBudget
from collector.metrics import Metrics
from collector.raw import RawSpan
from collector.redact import redacted_label
from collector.sender import Sender
from collector.sources import source_of
from collector.wire import Group
from collector.wire_walk import Shape
from collector.writer import Receipt
from tidegauge.call import Call
from tidegauge.log_event import LogEvent
from tidegauge.source import Source
from tidegauge.store import events, ledger, spans, token_metrics
from tidegauge.store import scores as kept_scores
from tidegauge.store.contents import to_json
from tidegauge.store.engine import Connection, Engine, write
from tidegauge.store.rows import to_ns, values_of
from tidegauge.token_count import TokenCount

STORED, DUPLICATE, NOT_KEPT, REJECTED = "stored", "duplicate", "not_kept", "rejected"

_NAMES = ("service", "request_model", "response_model", "metric")

T = TypeVar("T")
Store = Callable[[Connection, Group[T]], tuple[int, int]]  # how many records and calls are new
Row = tuple[Call, bytes]  # and its content
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
            plan = self._plan_of(sender.project)
            for group in logs:
                _capture(group, plan)
            finish = partial(_row, plan=plan, bounds=self._bounds, project=sender.project, now=now)
            store = partial(_insert_events, finish=finish, plan=plan, now=now)
            return self._keep(signal, logs, sender, now, store)
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
        if any(group.kept or group.calls for group in groups):
            with write(self._engine) as db:
                for group in groups:
                    new, calls = store(db, group) if group.kept or group.calls else (0, 0)
                    source = source_of(group.resource, sender, plan)
                    _count(counted, group, new, signal, source)
                    _count_calls(counted, group, calls, source)
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


def _insert_events(
    db: Connection,
    group: Group[LogEvent],
    *,
    finish: Callable[[RawSpan], Row],
    plan: Plan,
    now: datetime,
) -> tuple[int, int]:
    judged = [one for event in group.kept if (one := scores.of_log(event, plan, now))]
    kept_scores.insert(db, map(kept_scores.values_of, judged), received_at=now)
    rows, unreadable = each(group.calls, finish)
    group.rejected += [one.reason for one in unreadable]
    group.calls = group.calls[: len(rows)]  # those that are left: only their number matters now
    values = [values_of(call) for call, _ in rows]
    new = spans.insert_each(db, values, [content for _, content in rows], received_at=now)
    return events.insert(db, group.kept, received_at=now), sum(new)


def _row(raw: RawSpan, *, plan: Plan, bounds: limits.Limits, project: str, now: datetime) -> Row:
    """Return the call of a record, as the one of a span is made."""
    read = JsonBudget(bounds.fields).checked(raw)
    call = dialects.normalise(read, project, plan.prices.cost_usd)
    return kept(dated(call, now), plan, to_json)


def _record_counts(db: Connection, group: Group[TokenCount]) -> tuple[int, int]:
    return token_metrics.record(db, group.kept), 0


def _count(into: Counted, group: Group[Any], new: int, signal: Signal, source: Source) -> None:
    """Add how many records of a group came to what; zeros are left out."""
    found = Counter({STORED: new, NOT_KEPT: group.not_kept, REJECTED: len(group.rejected)})
    # A point tells all that those of its stream before it did: one that is not new had no room.
    found[DUPLICATE if signal is Signal.LOGS else NOT_KEPT] += len(group.kept) - new
    for outcome, number in found.items():
        if number:
            into[source, f"{signal}:{outcome}"] += number


def _count_calls(into: Counted, group: Group[Any], new: int, source: Source) -> None:
    """Add the calls that records told of: they are rows of spans, and counted as such."""
    for outcome, number in ((ledger.ACCEPTED, new), (ledger.DUPLICATE, len(group.calls) - new)):
        if number:
            into[source, outcome] += number


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
