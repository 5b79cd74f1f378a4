"""One batch, start to finish: bound, decode, normalise, redact, price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from collector import dialects, limits, otlp
from collector.json_budget import JsonBudget
from collector.raw import ATTRIBUTES, EVENTS, RawSpan, Rejected
from collector.redact import Rules, redact
from tidegauge.call import Call
from tidegauge.pricing import price

AHEAD = timedelta(hours=1)  # a sender's clock may be so far ahead of ours
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
JSON_TOKEN_BYTES = 48  # what a list, an object or an item of one takes in memory

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one span is not kept: ``kind`` for our counters, ``reason`` for its sender."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request holds, ready to be stored."""

    calls: Sequence[Call]
    rejected: Sequence[Rejection]
    size: int  # of it in memory, bytes: the body, and what the JSON inside its texts becomes
    noted: Mapping[str, int] = field(default_factory=dict)  # spans stored, not as they were sent
    warnings: Sequence[str] = ()  # for its sender


def take_in(
    body: bytes,
    *,
    json: bool,
    encoding: str | None,
    project: str,
    rules: Rules,
    received_at: datetime,
    bounds: limits.Limits = limits.DEFAULT,
) -> Batch:
    """Return the calls of one request. Raises TooLarge, BadEncoding, BadOtlp.

    A span that cannot be read is rejected alone: its neighbours are kept.
    """
    body = limits.inflate(body, encoding, bounds.body_bytes)
    (limits.walk_json if json else limits.walk)(body, bounds)
    decoded = otlp.read_spans(body, json=json)
    budget = JsonBudget(bounds.fields)

    def finish(raw: RawSpan) -> Call:
        call = dialects.normalise(budget.checked(raw), project)
        return dated(price(redact(call, rules)), received_at)

    calls, unreadable = each(decoded.spans, finish)
    invalid = [Rejection(_kind(span), span.reason) for span in decoded.rejected]
    cut = sum(raw.cut for raw in decoded.spans)
    noted = {
        "attributes_cut": cut,
        "clock_invalid": sum(call.clock_invalid for call in calls),
        "json_not_read": budget.refused,
    }
    return Batch(
        calls,
        invalid + unreadable,
        len(body) + JSON_TOKEN_BYTES * budget.spent,
        {kind: number for kind, number in noted.items() if number},
        _warnings(cut, budget.refused),
    )


def dated(call: Call, received_at: datetime) -> Call:
    """Return the call, marked where it says a time at which it cannot have been.

    One such start would be the newest of all for years, one such end a latency of centuries.
    """
    latest = received_at + AHEAD
    possible = EARLIEST <= call.started_at <= latest
    # As seconds: the end may lie beyond what a datetime holds.
    ended = call.duration_s <= (latest - call.started_at).total_seconds()
    if call.clock_invalid or (possible and ended):
        return call
    return replace(call, clock_invalid=True)


def _warnings(cut: int, unread: int) -> list[str]:
    """Return what the sender should know of spans that were stored, but not whole."""
    said = []
    if cut:
        said.append(
            f"{cut} spans had more than {ATTRIBUTES} attributes or {EVENTS} events, "
            "or values that are too long: what is above the limits was cut"
        )
    if unread:
        said.append(f"{unread} spans hold too much JSON in their texts: it was kept as text")
    return said


def each(spans: Sequence[A], finish: Callable[[A], B]) -> tuple[list[B], list[Rejection]]:
    """Return ``finish`` of every span, and a rejection for each on which it raises."""
    calls: list[B] = []
    rejected: list[Rejection] = []
    for raw in spans:
        try:
            calls.append(finish(raw))
        except Exception as error:  # noqa: BLE001
            # One attribute that a dialect did not expect must not cost the sender the whole batch.
            # The message of the error may hold content, so only its type is told.
            reason = f"Tidegauge could not read this span ({type(error).__name__})"
            rejected.append(Rejection("unreadable", reason))
    return calls, rejected


#: By the first word of a reason, which is the field as the sender's encoding writes it.
_KINDS = {
    "trace_id": "bad_trace_id",
    "traceId": "bad_trace_id",
    "span_id": "bad_span_id",
    "spanId": "bad_span_id",
}


def _kind(span: Rejected) -> str:
    """Return the counter of an invalid span: one of a fixed few."""
    return _KINDS.get(span.reason.split(maxsplit=1)[0], "bad_span")
