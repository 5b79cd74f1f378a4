"""A span as it came over the wire, in plain Python values that any database can keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)
ATTRIBUTES = 128  # kept per span or event, OpenTelemetry's own default
INDEXED_ATTRIBUTES = 2_000  # kept of ``llm.input_messages.7.message.role`` and the like, beside
# What we read stands under these names: it is kept before what an application adds.
_FIRST = (
    "gen_ai. llm. openinference. traceloop. error. session. user. tidegauge. input. output. ai. "
    "http. embedding. anthropic. langfuse. langsmith. mlflow. enduser. agent."
)
FIRST = tuple(_FIRST.split())
EVENTS = 128
VALUE_BYTES = 64 * 1024
JSON_BYTES = 1024 * 1024  # JSON in a string: messages that are cut can no longer be read
SPAN_BYTES = 1024 * 1024  # of one span: the texts in its attributes and events
# These stand in the content of every span: 1,500 spans of 400 kB of resource became 2 GB.
RESOURCE_BYTES = 16 * 1024
NAME_BYTES = 1024  # of a span, a scope, an event
DEPTH = 32

T = TypeVar("T")
Value = Any  # None, bool, int, float, str, list or dict of these


class Unread(str):
    """Text that may be JSON and is not to be parsed: it stands for too many objects."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSpan:
    """One span: text without NUL and surrogates, finite floats, ints of 64 bits, 32 levels deep."""

    trace_id: str
    span_id: str
    parent: str | None
    name: str
    kind: int
    start_ns: int
    end_ns: int
    clock_clamped: bool = False  # a time was outside of what 64 signed bits hold
    attributes: dict[str, Value] = field(default_factory=dict)
    events: tuple[RawEvent, ...] = ()
    links: int = 0
    status: int = 0  # 0 unset, 1 ok, 2 error
    status_message: str = ""
    resource: Mapping[str, Value] = field(default_factory=dict)
    scope_name: str = ""
    scope_version: str = ""
    dropped_attributes: int = 0  # by the sender, or by our limits
    dropped_events: int = 0  # by the sender, or by our limits
    cut: bool = False  # our limits dropped or cut something of it
    flags: int = 0
    lenient: tuple[str, ...] = ()  # what of its JSON OTLP forbids; see otlp_json.ADVICE


@dataclass(frozen=True, slots=True)
class Rejected:
    """A span that cannot be kept, and what its sender has to change."""

    reason: str
    name: str = ""
    resource: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one request held."""

    spans: list[RawSpan]
    rejected: list[Rejected]


def clean_text(text: str, limit: int = VALUE_BYTES) -> str:
    """Return text that both databases keep: no NUL, no lone surrogate, at most ``limit`` bytes."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    if not text.isascii() and not _is_unicode(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return cut_text(text, limit)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def cut_text(text: str, limit: int) -> str:
    """Return the longest beginning of a text that takes at most ``limit`` bytes."""
    if len(text) * 4 <= limit:
        return text
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[:limit].decode(errors="ignore")


def limit_of(text: str) -> int:
    """Return how many bytes of this value are kept."""
    return JSON_BYTES if text[:1] in ("[", "{") else VALUE_BYTES


def clean_float(number: float) -> float | None:
    """Return a finite number; None for NaN and the infinities, which JSON and jsonb refuse."""
    return number if math.isfinite(number) else None


def clean_int(number: int) -> int:
    """Return the number, or the nearest that 64 signed bits hold."""
    return min(max(number, MIN_INT64), MAX_INT64)


def is_indexed(key: str) -> bool:
    """Return whether a key is one of a flattened list: ``gen_ai.prompt.0.role``.

    >>> is_indexed("gen_ai.prompt.0.role"), is_indexed("gen_ai.request.model")
    (True, False)
    """
    return any(part.isdigit() for part in key.split("."))


def bounded(pairs: list[tuple[str, Value]]) -> tuple[dict[str, Value], int]:
    """Return the attributes that are kept, the last of equal keys, and how many were dropped.

    Long conversations are flattened into many keys. They have a limit of their own: otherwise the
    token counts that come after them would be the ones to go.
    """
    found = dict(pairs)
    if len(found) <= ATTRIBUTES:
        return found, 0
    indexed = [key for key in found if is_indexed(key)][:INDEXED_ATTRIBUTES]
    # Sorting is stable: within the two kinds the first stay.
    plain = sorted(
        (key for key in found if not is_indexed(key)), key=lambda key: not key.startswith(FIRST)
    )
    kept = {*plain[:ATTRIBUTES], *indexed}
    return {key: value for key, value in found.items() if key in kept}, len(found) - len(kept)


def bounded_events(events: Sequence[T], name_of: Callable[[T], str]) -> tuple[list[T], int]:
    """Return the events that are kept, and how many were dropped.

    A stream writes one event per chunk, of which only the first is of use. The last event of all
    is kept: an exception stands there.
    """
    if len(events) <= EVENTS:
        return list(events), 0
    kept: list[T] = []
    seen_chunk = False
    for event in events:
        is_chunk = is_chunk_event(name_of(event))
        if not (is_chunk and seen_chunk):
            kept.append(event)
        seen_chunk = seen_chunk or is_chunk
    if len(kept) > EVENTS:
        kept = [*kept[: EVENTS - 1], kept[-1]]
    return kept, len(events) - len(kept)


def within(raw: RawSpan, limit: int = SPAN_BYTES) -> RawSpan:
    """Return the span with at most ``limit`` bytes of texts: ids and counts stay, long texts go.

    Attributes come before events, short values before long ones; the first that has no room is
    cut, what comes after it is dropped.
    """
    left = limit
    attributes, left, cut = _within(raw.attributes, left)
    events = []
    for event in raw.events:
        kept, left, dropped = _within(event.attributes, left)
        events.append(RawEvent(event.name, event.time_ns, kept))
        cut += dropped
    if not cut:
        return raw
    return replace(
        raw,
        attributes=attributes,
        events=tuple(events),
        dropped_attributes=raw.dropped_attributes + cut,
        cut=True,
    )


def bounded_resource(attributes: dict[str, Value]) -> dict[str, Value]:
    """Return the attributes of a resource with its short values, RESOURCE_BYTES of them."""
    return _within(attributes, RESOURCE_BYTES)[0]


def _within(attributes: Mapping[str, Value], left: int) -> tuple[dict[str, Value], int, int]:
    """Return what is kept, the bytes that are left after it, and how many were dropped or cut."""
    weights = {key: len(key) + _weight(value) for key, value in attributes.items()}
    kept: dict[str, Value] = {}
    cut = 0
    for key in sorted(weights, key=weights.__getitem__):
        value = attributes[key]
        if weights[key] > left:
            cut += 1
            value = cut_text(value, max(left - len(key), 0)) if isinstance(value, str) else None
            left = 0
            if not value:
                continue
        else:
            left -= weights[key]
        kept[key] = value
    return {key: kept[key] for key in attributes if key in kept}, left, cut


def _weight(value: Value) -> int:
    """Return about how many bytes a value takes as JSON."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, dict):
        return sum(len(key) + 4 + _weight(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(_weight, value)) + len(value)
    return 8


def is_chunk_event(name: str) -> bool:
    """Return whether an event only tells that a piece of the answer came in."""
    return name.endswith(".chunk")
