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
from collector.sender import Sender
from tidegauge.call import Call
from tidegauge.pricing import price
from tidegauge.source import Source

AHEAD = timedelta(hours=1)  # a sender's clock may be so far ahead of ours
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
SOURCE_CHARS = 200
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
    sources: Sequence[Source] = ()  # of each call


def take_in(
    body: bytes,
    *,
    json: bool,
    encoding: str | None,
    sender: Sender,
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

    def finish(raw: RawSpan) -> tuple[Call, Source]:
        call = dialects.normalise(budget.checked(raw), sender.project)
        return dated(price(redact(call, rules)), received_at), source_of(raw, sender)

    finished, unreadable = each(decoded.spans, finish)
    calls = [call for call, _ in finished]
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
        [source for _, source in finished],
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


def source_of(raw: RawSpan, sender: Sender) -> Source:
    """Return who sent a span; text that a sender chose is cut, so that rows stay small."""
    told = raw.resource.get
    sdk = f"{told('telemetry.sdk.language', '?')}/{told('telemetry.sdk.name', '?')}"
    version = told("telemetry.sdk.version", "?")
    return Source(
        project=sender.project,
        key_id=sender.key_id,
        service=str(told("service.name", "unknown_service"))[:SOURCE_CHARS],
        sdk=f"{sdk} {version}"[:SOURCE_CHARS],
        user_agent=sender.user_agent[:SOURCE_CHARS],
    )


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
