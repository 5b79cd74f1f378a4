"""One batch, start to finish: bound, decode, normalise, redact, price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from collector import dialects, limits, otlp, otlp_json, scores
from collector.capture import Plan, kept
from collector.json_budget import JsonBudget
from collector.limits import TooLarge
from collector.notes import FUTURE, Notes, notes_of
from collector.raw import ATTRIBUTES, EVENTS, RawSpan, Rejected
from collector.sender import Sender
from collector.sources import source_of, unnamed
from tidegauge.call import Call
from tidegauge.score import Score
from tidegauge.source import Source
from tidegauge.store.contents import to_json

AHEAD = FUTURE  # a sender's clock may be so far ahead of ours
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
TOGETHER = 32  # spans that are normalised at once: of more, the parsed messages need memory
CONTENT = 3  # times the limit of a body: what stands beside all spans is in the content of each

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one span is not kept: ``kind`` for our counters, ``reason`` for its sender."""

    kind: str
    reason: str
    source: Source | None = None  # None: only the project is known


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request holds, ready to be stored."""

    calls: Sequence[Call]
    rejected: Sequence[Rejection]
    size: int  # of its content, bytes: most of what it takes in memory
    warnings: Sequence[str] = ()  # for its sender
    sources: Sequence[Source] = ()  # of each call
    notes: Sequence[Notes] = ()  # of each call, for the ledger once it is stored
    contents: Sequence[bytes] = ()  # of each call: what stands beside its columns, as JSON
    scores: Sequence[Sequence[Score]] = ()  # of each call: what its span says of its quality


class Checked(NamedTuple):
    """One span, with no more JSON in its texts than there is room for."""

    raw: RawSpan
    ready: RawSpan
    unread: bool  # some of its JSON is left as text


class Finished(NamedTuple):
    """One span, ready to be stored."""

    call: Call
    content: bytes
    source: Source
    notes: Notes
    scores: Sequence[Score]


def take_in(
    body: bytes,
    *,
    json: bool,
    encoding: str | None,
    sender: Sender,
    plan: Plan,
    received_at: datetime,
    bounds: limits.Limits = limits.DEFAULT,
) -> Batch:
    """Return the calls of one request. Raises TooLarge, BadEncoding, BadOtlp.

    A span that cannot be read is rejected alone: its neighbours are kept.
    """
    body = limits.inflate(body, encoding, bounds.body_bytes)
    if json:
        limits.walk_json(body, bounds)
    decoded = otlp.read_spans(body, json=json, limits=bounds)
    budget = JsonBudget(bounds.fields)
    room = CONTENT * bounds.body_bytes
    sources: dict[int, Source] = {}  # by their resource, which all spans of a group share

    def sent_by(resource: Mapping[str, Any]) -> Source:
        source = sources.get(id(resource))
        if source is None:
            source = sources[id(resource)] = source_of(resource, sender, plan)
        return source

    def check(raw: RawSpan) -> Checked:
        before = budget.refused
        return Checked(raw, budget.checked(raw), budget.refused > before)

    def finish(one: tuple[Checked, Call]) -> Finished:
        raw, call = one[0].raw, one[1]
        call, content = kept(dated(call, received_at), plan, to_json)
        nonlocal room
        room -= len(content)
        if room < 0:
            raise TooLarge(f"times its own {bounds.body_bytes:,} bytes of content", CONTENT)
        notes = notes_of(raw, call, received_at, json_unread=one[0].unread)
        judged = scores.of_span(raw, call, plan)
        return Finished(call, content, sent_by(raw.resource), notes, judged)

    finished: list[Finished] = []
    unreadable: list[Rejection] = []
    for at in range(0, len(decoded.spans), TOGETHER):
        checked, failed = each(decoded.spans[at : at + TOGETHER], check)
        ready = [one.ready for one in checked]
        calls = dialects.normalise_all(ready, sender.project, plan.prices.cost_usd)
        some, failed_too = each(list(zip(checked, calls, strict=True)), finish)
        finished += some
        unreadable += failed + failed_too
    invalid = [
        Rejection(_kind(span), span.reason, sent_by(span.resource)) for span in decoded.rejected
    ]
    return Batch(
        [one.call for one in finished],
        invalid + [replace(one, source=unnamed(sender, plan)) for one in unreadable],
        sum(len(one.content) for one in finished),
        _warnings(decoded.spans, budget.refused),
        [one.source for one in finished],
        [one.notes for one in finished],
        [one.content for one in finished],
        [one.scores for one in finished],
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


def _warnings(spans: Sequence[RawSpan], unread: int) -> list[str]:
    """Return what the sender should know of spans that were stored, but not whole."""
    said = []
    cut = sum(raw.cut for raw in spans)
    lenient = Counter(kind for raw in spans for kind in raw.lenient)
    if cut:
        said.append(
            f"{cut} spans had more than {ATTRIBUTES} attributes or {EVENTS} events, "
            "or values that are too long: what is above the limits was cut"
        )
    if unread:
        said.append(f"{unread} spans hold too much JSON in their texts: it was kept as text")
    said += [f"{number} spans: {otlp_json.ADVICE[kind]}" for kind, number in lenient.items()]
    return said


def each(spans: Sequence[A], finish: Callable[[A], B]) -> tuple[list[B], list[Rejection]]:
    """Return ``finish`` of every span, and a rejection for each on which it raises."""
    calls: list[B] = []
    rejected: list[Rejection] = []
    for raw in spans:
        try:
            calls.append(finish(raw))
        except TooLarge:
            raise
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
