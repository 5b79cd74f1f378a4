"""OTLP/JSON to raw spans: hex ids, numbers as text, names that some senders get wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from collector.limits import BadOtlp
from collector.raw import (
    DEPTH,
    MAX_INT64,
    Decoded,
    RawEvent,
    RawSpan,
    Rejected,
    Value,
    bounded,
    bounded_events,
    clean_float,
    clean_int,
    clean_text,
    limit_of,
)

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_HEX = re.compile(r"[0-9a-fA-F]+")  # int(text, 16) would also take "0x" and "_"
_STATUSES = ("UNSET", "OK", "ERROR")
MAX_UINT32 = 2**32 - 1


class _BadSpan(BadOtlp):
    """One span cannot be kept; the message names the field and the fix."""


def read(body: bytes) -> Decoded:
    """Return the spans of a JSON ``ExportTraceServiceRequest``. Raises ``BadOtlp``.

    Unknown fields are ignored. Snake case and names of enums are read, although OTLP forbids them:
    refusing them would lose the data of people who cannot repair their exporter.
    """
    root = _parse(body)
    if not isinstance(root, dict):
        raise BadOtlp("the JSON body must be an object with resourceSpans")
    decoded = Decoded([], [])
    for group in _objects(root, "resourceSpans", "resource_spans"):
        resource, _ = _attributes(_object(group, "resource"))
        for scope_spans in _objects(group, "scopeSpans", "scope_spans"):
            _read_scope(scope_spans, resource, decoded)
    return decoded


def _parse(body: bytes) -> Any:
    """Parse strictly and fast; what that refuses (NaN, lone surrogates) gets a second chance."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "recursion" in str(error):
            raise BadOtlp("the JSON body is nested too deeply") from None
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadOtlp(f"the body is not JSON: {_brief(error)}") from None


def _brief(error: BaseException) -> str:
    """Return where the parser stopped, without a piece of what it read."""
    return str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__


def _read_scope(group: dict[str, Any], resource: dict[str, Value], into: Decoded) -> None:
    scope = _object(group, "scope")
    name, version = _text(scope.get("name")), _text(scope.get("version"))
    for span in _items(group, "spans", "spans"):
        if not isinstance(span, dict):
            into.rejected.append(Rejected("a span must be a JSON object"))
            continue
        try:
            into.spans.append(_raw_span(span, resource, name, version))
        except BadOtlp as fault:  # a field of the wrong type costs its own span only
            into.rejected.append(Rejected(str(fault), _text(span.get("name"))))


def _raw_span(
    span: dict[str, Any], resource: dict[str, Value], scope: str, version: str
) -> RawSpan:
    trace_id = _id(_get(span, "traceId", "trace_id"), "traceId", 32)
    span_id = _id(_get(span, "spanId", "span_id"), "spanId", 16)
    start, early = _time(span, "startTimeUnixNano", "start_time_unix_nano")
    end, late = _time(span, "endTimeUnixNano", "end_time_unix_nano")
    attributes, dropped = _attributes(span)
    events, left_out = _events(span)
    status = _object(span, "status")
    return RawSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent=_parent(_get(span, "parentSpanId", "parent_span_id")),
        name=_text(span.get("name")),
        kind=_enum(span.get("kind"), "SPAN_KIND_", _KINDS),
        start_ns=start,
        end_ns=end,
        clock_clamped=early or late,
        attributes=attributes,
        events=events,
        links=len(_items(span, "links", "links")),
        status=_enum(status.get("code"), "STATUS_CODE_", _STATUSES),
        status_message=_text(status.get("message")),
        resource=resource,
        scope_name=scope,
        scope_version=version,
        dropped_attributes=_dropped(span, "droppedAttributesCount", "dropped_attributes_count")
        + dropped,
        dropped_events=_dropped(span, "droppedEventsCount", "dropped_events_count") + left_out,
        cut=dropped + left_out > 0,
        flags=min(max(_int(span.get("flags")) or 0, 0), MAX_UINT32),
    )


def _dropped(span: dict[str, Any], name: str, snake: str) -> int:
    return min(max(_int(_get(span, name, snake)) or 0, 0), MAX_UINT32)


def _events(span: dict[str, Any]) -> tuple[tuple[RawEvent, ...], int]:
    """Return the events that are kept, and how many were dropped."""
    sent = list(_objects(span, "events", "events"))
    kept, left_out = bounded_events(sent, lambda event: _text(event.get("name")))
    return tuple(map(_event, kept)), left_out


def _event(event: dict[str, Any]) -> RawEvent:
    attributes, _ = _attributes(event)
    at = _int(_get(event, "timeUnixNano", "time_unix_nano")) or 0
    return RawEvent(_text(event.get("name")), min(max(at, 0), MAX_INT64), attributes)


def _get(item: dict[str, Any], name: str, snake: str) -> Any:
    return item[name] if name in item else item.get(snake)


def _items(item: dict[str, Any], name: str, snake: str) -> list[Any]:
    """Return a list; nothing for null, which some encoders write for an empty one."""
    found = _get(item, name, snake)
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadOtlp(f"{name} must be a list")
    return found


def _objects(item: dict[str, Any], name: str, snake: str) -> Iterator[dict[str, Any]]:
    for found in _items(item, name, snake):
        if not isinstance(found, dict):
            raise BadOtlp(f"{name} must hold objects")
        yield found


def _object(item: dict[str, Any], name: str) -> dict[str, Any]:
    found = item.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadOtlp(f"{name} must be an object")
    return found


def _id(value: Any, name: str, digits: int) -> str:
    """Return a valid id in lower case hex."""
    if not isinstance(value, str) or not _is_hex(value, digits):
        raise _BadSpan(f"{name} must be {digits} hex digits (OTLP/JSON uses hex, not base64)")
    if not value.strip("0"):
        raise _BadSpan(f"{name} must not be all zeros: start the span from a tracer")
    return value.lower()


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and _HEX.fullmatch(text) is not None


def _parent(value: Any) -> str | None:
    """Return the parent's id; None for a root, also where zeros or nonsense stand for none."""
    if isinstance(value, str) and _is_hex(value, 16) and value.strip("0"):
        return value.lower()
    return None


def _time(span: dict[str, Any], name: str, snake: str) -> tuple[int, bool]:
    """Return nanoseconds since 1970, and whether they had to be clamped."""
    value = _get(span, name, snake)
    number = 0 if value is None else _int(value)
    if number is None:
        raise _BadSpan(f"{name} must be nanoseconds since 1970, as a decimal string")
    clamped = min(max(number, 0), MAX_INT64)
    return clamped, clamped != number


def _int(value: Any) -> int | None:
    """Return a whole number that was sent as a number or as decimal text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if clean_float(value) is not None else None
    if isinstance(value, str) and len(value) <= 32 and value.isascii():
        return int(value) if value.removeprefix("-").isdigit() else None
    return None


def _enum(value: Any, prefix: str, names: tuple[str, ...]) -> int:
    """Return the number of an enum that was sent as a number, or by name; 0 for an unknown one."""
    if isinstance(value, str):
        name = value.upper().removeprefix(prefix)
        if name in names:
            return names.index(name)
    number = _int(value) or 0
    return number if 0 <= number <= MAX_INT64 else 0


def _text(value: Any) -> str:
    return clean_text(value) if isinstance(value, str) else ""


def _attributes(item: dict[str, Any]) -> tuple[dict[str, Value], int]:
    """Return attributes as plain values, and how many our limits dropped or cut."""
    plain: list[tuple[str, Value]] = []
    cut = 0
    for pair in _items(item, "attributes", "attributes"):
        if isinstance(pair, dict) and isinstance(pair.get("key"), str):
            sent, kept = pair.get("value"), _value(pair.get("value"), DEPTH)
            cut += _was_cut(sent, kept)
            plain.append((clean_text(pair["key"]), kept))
    kept_pairs, dropped = bounded(plain)
    return kept_pairs, dropped + cut


def _was_cut(sent: Any, kept: Value) -> bool:
    if not isinstance(kept, str) or not isinstance(sent, dict):
        return False
    text = _get(sent, "stringValue", "string_value")
    return isinstance(text, str) and len(kept) * 4 > limit_of(text) and len(kept) < len(text)


def _value(value: Any, depth: int) -> Value:
    """Return one AnyValue as a plain value; None for what cannot be read."""
    if not isinstance(value, dict):
        return None
    for name, content in value.items():
        read = _READ.get(name)
        if read is not None:
            return read(content, depth)
    return None


def _list(content: Any, depth: int) -> Value:
    if depth <= 1 or not isinstance(content, dict):
        return None
    return [_value(item, depth - 1) for item in _items(content, "values", "values")]


def _mapping(content: Any, depth: int) -> Value:
    if depth <= 1 or not isinstance(content, dict):
        return None
    pairs = [pair for pair in _items(content, "values", "values") if isinstance(pair, dict)]
    return {_text(pair.get("key")): _value(pair.get("value"), depth - 1) for pair in pairs}


def _string(content: Any, _: int) -> Value:
    return clean_text(content, limit_of(content)) if isinstance(content, str) else None


def _whole(content: Any, _: int) -> Value:
    number = _int(content)
    return None if number is None else clean_int(number)


def _double(content: Any, _: int) -> Value:
    """Return a finite float; "NaN" and "Infinity" may come as text."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return None
    try:
        return clean_float(float(content))
    except (ValueError, OverflowError):
        return None


def _bool(content: Any, _: int) -> Value:
    return content if isinstance(content, bool) else None


_READ = {
    "stringValue": _string,
    "intValue": _whole,
    "doubleValue": _double,
    "boolValue": _bool,
    "arrayValue": _list,
    "kvlistValue": _mapping,
    "bytesValue": _string,  # stays base64
    "string_value": _string,
    "int_value": _whole,
    "double_value": _double,
    "bool_value": _bool,
    "array_value": _list,
    "kvlist_value": _mapping,
    "bytes_value": _string,
}
