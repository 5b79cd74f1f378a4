"""OTLP bytes to raw spans: protobuf or JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from collector import otlp_json
from collector.limits import BadOtlp
from collector.raw import (
    DEPTH,
    MAX_INT64,
    VALUE_BYTES,
    Decoded,
    RawEvent,
    RawSpan,
    Rejected,
    Value,
    bounded,
    bounded_events,
    clean_float,
    clean_text,
    limit_of,
)

__all__ = ["BadOtlp", "Decoded", "RawEvent", "RawSpan", "Rejected", "read_spans"]

_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)


def read_spans(body: bytes, *, json: bool) -> Decoded:
    """Return the spans of one ``ExportTraceServiceRequest``. Raises ``BadOtlp``.

    A span that has no valid ids is rejected alone; the others are kept.
    """
    try:
        return otlp_json.read(body) if json else _read_protobuf(body)
    except (RecursionError, MemoryError) as error:
        raise BadOtlp("the body is nested too deeply or too large to be read") from error


def _read_protobuf(body: bytes) -> Decoded:
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise BadOtlp(
            "the body is not an ExportTraceServiceRequest in protobuf: "
            "it is cut off, of another type, or has text that is not UTF-8"
        ) from None
    decoded = Decoded([], [])
    for group in request.resource_spans:
        resource, _ = _attributes(group.resource.attributes)
        for scope_spans in group.scope_spans:
            _read_scope(scope_spans, resource, decoded)
    return decoded


def _read_scope(group: ScopeSpans, resource: dict[str, Value], into: Decoded) -> None:
    name, version = clean_text(group.scope.name), clean_text(group.scope.version)
    for span in group.spans:
        fault = _fault(span)
        if fault:
            into.rejected.append(Rejected(fault, clean_text(span.name)))
        else:
            into.spans.append(_raw_span(span, resource, name, version))


def _fault(span: Span) -> str | None:
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


def _raw_span(span: Span, resource: dict[str, Value], scope: str, version: str) -> RawSpan:
    attributes, dropped = _attributes(span.attributes)
    events, left_out = bounded_events(span.events, lambda event: event.name)
    parent, start, end = span.parent_span_id, span.start_time_unix_nano, span.end_time_unix_nano
    status = span.status
    return RawSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=parent.hex() if len(parent) == 8 and parent != _NO_SPAN else None,
        name=clean_text(span.name),
        kind=span.kind,
        start_ns=min(start, MAX_INT64),
        end_ns=min(end, MAX_INT64),
        clock_clamped=start > MAX_INT64 or end > MAX_INT64,
        attributes=attributes,
        events=tuple(map(_event, events)) if events else (),
        links=len(span.links),
        status=status.code,
        status_message=clean_text(status.message),
        resource=resource,
        scope_name=scope,
        scope_version=version,
        dropped_attributes=span.dropped_attributes_count + dropped,
        dropped_events=span.dropped_events_count + left_out,
        cut=dropped + left_out > 0,
        flags=span.flags,
    )


def _event(event: Span.Event) -> RawEvent:
    attributes, _ = _attributes(event.attributes)
    return RawEvent(clean_text(event.name), min(event.time_unix_nano, MAX_INT64), attributes)


def _attributes(pairs: Iterable[KeyValue]) -> tuple[dict[str, Value], int]:
    """Return attributes as plain values, and how many our limits dropped or cut."""
    cut = 0
    plain: list[tuple[str, Value]] = []
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        if kind == "string_value":
            text = value.string_value
            kept = clean_text(text, limit_of(text))
            cut += len(kept) * 4 > VALUE_BYTES and len(kept) < len(text)
            plain.append((pair.key, kept))
        else:
            plain.append((pair.key, _READ[kind](value, DEPTH)))
    kept_pairs, dropped = bounded(plain)
    if "\x00" in "".join(kept_pairs):
        kept_pairs = {clean_text(key): value for key, value in kept_pairs.items()}
    return kept_pairs, dropped + cut


def _value(value: AnyValue, depth: int) -> Value:
    return _READ[value.WhichOneof("value")](value, depth)


def _list(value: AnyValue, depth: int) -> Value:
    if depth <= 1:
        return None
    return [_value(item, depth - 1) for item in value.array_value.values]


def _mapping(value: AnyValue, depth: int) -> Value:
    if depth <= 1:
        return None
    pairs = value.kvlist_value.values
    return {clean_text(pair.key): _value(pair.value, depth - 1) for pair in pairs}


def _text(value: AnyValue, _: int) -> Value:
    return clean_text(value.string_value, limit_of(value.string_value))


def _bytes(value: AnyValue, _: int) -> Value:
    return base64.b64encode(value.bytes_value[: VALUE_BYTES // 4 * 3]).decode("ascii")


_READ: dict[str | None, Callable[[AnyValue, int], Any]] = {
    "string_value": _text,
    "int_value": lambda value, _: value.int_value,
    "double_value": lambda value, _: clean_float(value.double_value),
    "bool_value": lambda value, _: value.bool_value,
    "array_value": _list,
    "kvlist_value": _mapping,
    "bytes_value": _bytes,
    "string_value_strindex": lambda value, _: None,  # profiles only: to be ignored
    None: lambda value, _: None,
}
