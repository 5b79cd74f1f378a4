"""One batch, start to finish: bound, decode, normalise, redact, price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from collector import dialects, limits, otlp
from collector.raw import RawSpan, Rejected
from collector.redact import Rules, redact
from tidegauge.call import Call
from tidegauge.pricing import price

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
    size: int  # bytes after decompression


def take_in(
    body: bytes,
    *,
    json: bool,
    encoding: str | None,
    project: str,
    rules: Rules,
    bounds: limits.Limits = limits.DEFAULT,
) -> Batch:
    """Return the calls of one request. Raises TooLarge, BadEncoding, BadOtlp.

    A span that cannot be read is rejected alone: its neighbours are kept.
    """
    body = limits.inflate(body, encoding, bounds.body_bytes)
    (limits.walk_json if json else limits.walk)(body, bounds)
    decoded = otlp.read_spans(body, json=json)

    def finish(raw: RawSpan) -> Call:
        return price(redact(dialects.normalise(raw, project), rules))

    calls, unreadable = each(decoded.spans, finish)
    invalid = [Rejection(_kind(span), span.reason) for span in decoded.rejected]
    return Batch(calls, invalid + unreadable, len(body))


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
