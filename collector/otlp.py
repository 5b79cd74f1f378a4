"""OTLP bytes to raw spans: protobuf or JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from collector import otlp_json, shallow
from collector.limits import DEFAULT, BadOtlp, Limits, TooLarge, too_deep
from collector.raw import (
    MAX_INT64,
    NAME_BYTES,
    SPAN_BYTES,
    VALUE_BYTES,
    Decoded,
    RawEvent,
    RawSpan,
    Rejected,
    Value,
    bounded,
    bounded_events,
    bounded_resource,
    clean_float,
    cut_text,
    limit_of,
    within,
)

__all__ = ["BadOtlp", "Decoded", "RawEvent", "RawSpan", "Rejected", "read_spans"]

_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)
_SEEN_BYTES = 128  # longer attributes seldom come again
_SEEN_MANY = 20_000

_resource = shallow.parser("Resource")
_scope = shallow.parser("Scope")
_span = shallow.parser("Span")
_event = shallow.parser("Event")
_status = shallow.parser("Status")
_key_value = shallow.parser("KeyValue")
_any_value = shallow.parser("AnyValue")
_list = shallow.parser("List")

Pair = tuple[str, Value]

# Attributes by their bytes: most come again and again, and parsing one costs 1 us. Only scalars,
# which nobody can change. For any thread: a lookup and a store are each one step.
_seen: dict[bytes, Pair] = {}


def read_spans(body: bytes, *, json: bool, limits: Limits = DEFAULT) -> Decoded:
    """Return the spans of one ``ExportTraceServiceRequest``. Raises BadOtlp, TooLarge.

    A span that has no valid ids is rejected alone; the others are kept.
    """
    try:
        return otlp_json.read(body, limits.spans) if json else _Request(limits).read(body)
    except DecodeError:
        raise BadOtlp(
            "the body is not an ExportTraceServiceRequest in protobuf: "
            "it is cut off, of another type, or has text that is not UTF-8"
        ) from None
    except (RecursionError, MemoryError) as error:
        raise BadOtlp("the body is nested too deeply or too large to be read") from error


class _Request:
    """One reading of one request: how much of its budgets is left, and what was found."""

    __slots__ = ("cut", "decoded", "fields", "limits", "spans")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.fields = limits.fields
        self.spans = limits.spans
        self.cut = 0  # values of the span being read that were dropped or cut
        self.decoded = Decoded([], [])

    def read(self, body: bytes) -> Decoded:
        """Read everything; what a message holds is counted before any of it is parsed."""
        for number, at, end in shallow.parts(body, 0, len(body), self.take):
            if number == 1:
                self.resource_spans(body, at, end)
        return self.decoded

    def take(self, fields: int) -> None:
        """Use up the budget of fields. Raises TooLarge."""
        self.fields -= fields
        if self.fields < 0:
            raise TooLarge("fields", self.limits.fields)

    def resource_spans(self, body: bytes, at: int, end: int) -> None:
        """Read the spans of one resource, which may stand behind them."""
        resource: dict[str, Value] = {}
        scopes: list[tuple[int, int]] = []
        for number, start, stop in shallow.parts(body, at, end, self.take):
            if number == 1:
                self.count_first(body, start, stop)
                resource = bounded_resource(self.attributes(_resource(body[start:stop]).attributes))
            elif number == 2:
                scopes.append((start, stop))
        for start, stop in scopes:
            self.scope_spans(body, start, stop, resource)

    def scope_spans(self, body: bytes, at: int, end: int, resource: dict[str, Value]) -> None:
        """Read the spans of one scope."""
        name = version = ""
        found: list[tuple[int, int]] = []
        for number, start, stop in shallow.parts(body, at, end, self.take):
            if number == 1:
                self.count_first(body, start, stop)
                scope = _scope(body[start:stop])
                name, version = _name(scope.name), _name(scope.version)
            elif number == 2:
                found.append((start, stop))
                if len(found) > self.spans:
                    raise TooLarge("spans", self.limits.spans)
        self.spans -= len(found)
        for start, stop in found:
            self.span(body, start, stop, resource, name, version)

    def count_first(self, body: bytes, at: int, end: int) -> None:
        """Count the fields of a large message, which may be a bomb, before it is parsed."""
        if end - at > self.limits.span_bytes:
            for _ in shallow.parts(body, at, end, self.take):
                pass

    def span(
        self, body: bytes, at: int, end: int, resource: dict[str, Value], scope: str, version: str
    ) -> None:
        """Read one span, or reject it alone."""
        self.count_first(body, at, end)
        span = _span(body[at:end])
        self.take(len(span.attributes) + len(span.events) + len(span.links))
        fault = _fault(span)
        if fault:
            self.decoded.rejected.append(Rejected(fault, _name(span.name), resource))
        else:
            raw = self.raw_span(span, resource, scope, version)
            self.decoded.spans.append(within(raw) if end - at > SPAN_BYTES else raw)

    def raw_span(self, span: Any, resource: dict[str, Value], scope: str, version: str) -> RawSpan:
        """Return a span that is known to have ids."""
        self.cut = 0
        attributes = self.attributes(span.attributes)
        events, left_out = self.events(span.events) if span.events else ((), 0)
        parent, start, end = span.parent_span_id, span.start_time_unix_nano, span.end_time_unix_nano
        status = _status(span.status) if span.status else None
        return RawSpan(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent=parent.hex() if len(parent) == 8 and parent != _NO_SPAN else None,
            name=_name(span.name),
            kind=span.kind,
            start_ns=min(start, MAX_INT64),
            end_ns=min(end, MAX_INT64),
            clock_clamped=start > MAX_INT64 or end > MAX_INT64,
            attributes=attributes,
            events=events,
            links=len(span.links),
            status=status.code if status else 0,
            status_message=_clean(status.message) if status else "",
            resource=resource,
            scope_name=scope,
            scope_version=version,
            dropped_attributes=span.dropped_attributes_count + self.cut,
            dropped_events=span.dropped_events_count + left_out,
            cut=self.cut + left_out > 0,
            flags=span.flags,
        )

    def events(self, found: Sequence[bytes]) -> tuple[tuple[RawEvent, ...], int]:
        """Return the events that are kept, and how many were dropped."""
        kept, left_out = bounded_events([self.event(raw) for raw in found], lambda one: one.name)
        events = [
            RawEvent(
                _name(event.name),
                min(event.time_unix_nano, MAX_INT64),
                self.attributes(event.attributes),
            )
            for event in kept
        ]
        return tuple(events), left_out

    def event(self, raw: bytes) -> Any:
        """Return an event whose attributes are counted."""
        self.count_first(raw, 0, len(raw))
        event = _event(raw)
        self.take(len(event.attributes))
        return event

    def attributes(self, found: Iterable[bytes]) -> dict[str, Value]:
        """Return attributes as plain values, the last of equal keys; counts what is dropped."""
        known, read = _seen.get, self.pair
        kept, dropped = bounded(
            [(known(raw) if len(raw) <= _SEEN_BYTES else None) or read(raw) for raw in found]
        )
        self.cut += dropped
        return kept

    def pair(self, raw: bytes) -> Pair:
        """Return one attribute that was not seen before."""
        told = _key_value(raw)
        pair = _clean(told.key), self.value(told.value, self.limits.depth)
        if len(raw) <= _SEEN_BYTES and not isinstance(pair[1], list | dict):
            if len(_seen) >= _SEEN_MANY:
                _seen.clear()  # what comes often is back at once
            _seen[raw] = pair
        return pair

    def value(self, value: Any, depth: int) -> Value:
        """Return a value as plain Python; ``depth`` levels may be inside one another."""
        kind = value.WhichOneof("value")
        if kind == "string_value":
            return self.text(value.string_value)
        read = _SCALARS.get(kind)
        if read is not None:
            return read(value)
        if depth <= 1:
            raise too_deep(self.limits.depth)
        if kind == "array_value":
            items = self.items(value.array_value)
            return [self.value(_any_value(item), depth - 1) for item in items]
        pairs = map(_key_value, self.items(value.kvlist_value))
        return {_clean(pair.key): self.value(pair.value, depth - 1) for pair in pairs}

    def text(self, text: str) -> str:
        """Return text as both databases keep it; protobuf has seen to it that it is UTF-8."""
        kept = cut_text(_clean(text), limit_of(text))
        if len(kept) < len(text) and len(kept) * 4 > VALUE_BYTES:
            self.cut += 1
        return kept

    def items(self, raw: bytes) -> Sequence[bytes]:
        """Return the items of a list, or the pairs of a map: they look the same."""
        self.count_first(raw, 0, len(raw))
        items: Sequence[bytes] = _list(raw).items
        self.take(len(items))
        return items


def _fault(span: Any) -> str | None:
    """Return why this span cannot be kept."""
    if len(span.trace_id) != 16:
        return f"trace_id must be 16 bytes, not {len(span.trace_id)}"
    if span.trace_id == _NO_TRACE:
        return "trace_id must not be all zeros: start the span from a tracer"
    if len(span.span_id) != 8:
        return f"span_id must be 8 bytes, not {len(span.span_id)}"
    if span.span_id == _NO_SPAN:
        return "span_id must not be all zeros: start the span from a tracer"
    return None


def _clean(text: str) -> str:
    """Return text without NUL, which PostgreSQL refuses."""
    return text.replace("\x00", "") if "\x00" in text else text


def _name(text: str) -> str:
    """Return the name of a span, a scope or an event: it is stored with every span."""
    return cut_text(_clean(text), NAME_BYTES)


def _base64(value: Any) -> str:
    return base64.b64encode(value.bytes_value[: VALUE_BYTES // 4 * 3]).decode("ascii")


_SCALARS: dict[str | None, Callable[[Any], Value]] = {
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: clean_float(value.double_value),
    "bool_value": lambda value: value.bool_value,
    "bytes_value": _base64,
    "string_value_strindex": lambda value: None,  # of profiles: other signals ignore it
    None: lambda value: None,
}
