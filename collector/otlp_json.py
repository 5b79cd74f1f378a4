"""OTLP/JSON to raw spans: hex ids, numbers as text, and what some senders get wrong."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from collector.limits import DEFAULT, BadOtlp, TooLarge, too_deep
from collector.raw import (
    DEPTH,
    MAX_INT64,
    MIN_INT64,
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
    clean_int,
    clean_text,
    cut_text,
    limit_of,
    within,
)

# What OTLP/JSON forbids and we read all the same: refusing it would lose the data of people who
# cannot repair their exporter. It is counted, and its sender is told.
SNAKE_CASE = "snake_case"
ENUM_NAMES = "enum_names"
BASE64_IDS = "base64_ids"
UNREADABLE = "unreadable_values"
ADVICE = {
    SNAKE_CASE: "names of fields in snake_case were read: OTLP/JSON has them in lowerCamelCase",
    ENUM_NAMES: "names of enums were read: OTLP/JSON has their numbers",
    BASE64_IDS: "ids in base64 were read: OTLP/JSON has them in hex",
    UNREADABLE: "values of attributes that are not of the type they claim were stored as null",
}

Json = dict[str, Any]

_CAMEL = {
    "resource_spans": "resourceSpans",
    "scope_spans": "scopeSpans",
    "trace_id": "traceId",
    "span_id": "spanId",
    "parent_span_id": "parentSpanId",
    "start_time_unix_nano": "startTimeUnixNano",
    "end_time_unix_nano": "endTimeUnixNano",
    "time_unix_nano": "timeUnixNano",
    "dropped_attributes_count": "droppedAttributesCount",
    "dropped_events_count": "droppedEventsCount",
    "string_value": "stringValue",
    "int_value": "intValue",
    "double_value": "doubleValue",
    "bool_value": "boolValue",
    "array_value": "arrayValue",
    "kvlist_value": "kvlistValue",
    "bytes_value": "bytesValue",
}
_SNAKE = frozenset(_CAMEL)
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")
_HEX = re.compile(r"[0-9a-fA-F]+")  # int(text, 16) would also take "0x" and "_"
MAX_UINT32 = 2**32 - 1
MAX_INT32 = 2**31 - 1


class _BadField(BadOtlp):
    """A field is not what it must be; inside of a span this costs that span alone."""


@dataclass(slots=True)
class _Seen:
    """What was found in a span beside its fields."""

    odd: set[str]  # keys of ADVICE
    cut: int = 0  # values that were dropped or cut


def read(body: bytes, most: int = DEFAULT.spans) -> Decoded:
    """Return the spans of a JSON ``ExportTraceServiceRequest``. Raises BadOtlp, TooLarge.

    Fields that are not known are ignored.
    """
    root = _parse(body)
    if not isinstance(root, dict):
        raise BadOtlp("the JSON body must be an object with resourceSpans")
    decoded = Decoded([], [])
    around = _Seen(set())
    for group in _objects(_named(root, around), "resourceSpans"):
        group = _named(group, around)
        resource = bounded_resource(_attributes(_object(group, "resource"), around))
        for scope_spans in _objects(group, "scopeSpans"):
            _read_scope(scope_spans, resource, decoded, around.odd)
            if len(decoded.spans) + len(decoded.rejected) > most:
                raise TooLarge("spans", most)
    if len(body) > SPAN_BYTES:
        decoded.spans[:] = map(within, decoded.spans)
    return decoded


def _parse(body: bytes) -> Any:
    """Parse strictly and fast; what that refuses (NaN, lone surrogates) gets a second chance."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "recursion" in str(error):
            raise BadOtlp("the JSON body is nested too deeply") from None
    try:
        return _unicode(json.loads(body.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise BadOtlp(f"the body is not JSON: {_brief(error)}") from None


def _unicode(value: Any) -> Any:
    """Return JSON without lone surrogates, which no database keeps."""
    if isinstance(value, str):
        return clean_text(value, len(value) * 4)
    if isinstance(value, dict):
        return {_unicode(name): _unicode(item) for name, item in value.items()}
    return [_unicode(item) for item in value] if isinstance(value, list) else value


def _brief(error: BaseException) -> str:
    """Return where the parser stopped, without a piece of what it read."""
    return str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__


def _read_scope(group: Json, resource: dict[str, Value], into: Decoded, odd: set[str]) -> None:
    scope = _object(group, "scope")
    name, version = _name(scope.get("name")), _name(scope.get("version"))
    for span in _items(group, "spans"):
        if not isinstance(span, dict):
            into.rejected.append(Rejected("a span must be a JSON object", resource=resource))
            continue
        try:
            into.spans.append(_raw_span(span, resource, name, version, _Seen(odd.copy())))
        except _BadField as fault:
            into.rejected.append(Rejected(str(fault), _name(span.get("name")), resource))


def _raw_span(
    span: Json, resource: dict[str, Value], scope: str, version: str, seen: _Seen
) -> RawSpan:
    span = _named(span, seen)
    start, early = _time(span, "startTimeUnixNano")
    end, late = _time(span, "endTimeUnixNano")
    attributes = _attributes(span, seen)
    events, left_out = _events(span, seen)
    status = _object(span, "status")
    return RawSpan(
        trace_id=_id(span.get("traceId"), "traceId", 16, seen),
        span_id=_id(span.get("spanId"), "spanId", 8, seen),
        parent=_hex(span.get("parentSpanId"), 8, seen),
        name=_name(span.get("name")),
        kind=_enum(span.get("kind"), "SPAN_KIND_", _KINDS, seen),
        start_ns=start,
        end_ns=end,
        clock_clamped=early or late,
        attributes=attributes,
        events=events,
        links=len(_items(span, "links")),
        status=_enum(status.get("code"), "STATUS_CODE_", _STATUSES, seen),
        status_message=_text(status.get("message")),
        resource=resource,
        scope_name=scope,
        scope_version=version,
        dropped_attributes=_uint32(span.get("droppedAttributesCount")) + seen.cut,
        dropped_events=_uint32(span.get("droppedEventsCount")) + left_out,
        cut=seen.cut + left_out > 0,
        flags=_uint32(span.get("flags")),
        lenient=tuple(sorted(seen.odd)) if seen.odd else (),
    )


def _events(span: Json, seen: _Seen) -> tuple[tuple[RawEvent, ...], int]:
    """Return the events that are kept, and how many were dropped."""
    sent = list(_objects(span, "events"))
    kept, left_out = bounded_events(sent, lambda event: _text(event.get("name")))
    return tuple(_event(_named(event, seen), seen) for event in kept), left_out


def _event(event: Json, seen: _Seen) -> RawEvent:
    at = _int(event.get("timeUnixNano")) or 0
    return RawEvent(_name(event.get("name")), min(max(at, 0), MAX_INT64), _attributes(event, seen))


def _named(item: Json, seen: _Seen) -> Json:
    """Return an object with the names that its fields have in OTLP/JSON."""
    if _SNAKE.isdisjoint(item):
        return item
    seen.odd.add(SNAKE_CASE)
    return {_CAMEL.get(name, name): value for name, value in item.items()}


def _name(value: Any) -> str:
    return cut_text(_text(value), NAME_BYTES)


def _items(item: Json, name: str) -> list[Any]:
    """Return a list; nothing for null, which some encoders write for an empty one."""
    found = item.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise _BadField(f"{name} must be a list")
    return found


def _objects(item: Json, name: str) -> Iterator[Json]:
    for found in _items(item, name):
        if not isinstance(found, dict):
            raise _BadField(f"{name} must hold objects")
        yield found


def _object(item: Json, name: str) -> Json:
    found = item.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _BadField(f"{name} must be an object")
    return found


def _id(value: Any, name: str, size: int, seen: _Seen) -> str:
    """Return a valid id in lower case hex."""
    found = _hex(value, size, seen)
    if found is None:
        if isinstance(value, str) and value and not value.strip("0"):
            raise _BadField(f"{name} must not be all zeros: start the span from a tracer")
        raise _BadField(f"{name} must be {2 * size} hex digits (OTLP/JSON uses hex, not base64)")
    return found


def _hex(value: Any, size: int, seen: _Seen) -> str | None:
    """Return an id of ``size`` bytes in lower case hex; None for zeros and for what is no id.

    Base64 of 16 or 8 bytes is 24 or 12 characters, so it can never be mistaken for hex.
    """
    if not isinstance(value, str):
        return None
    if len(value) == 2 * size:
        return value.lower() if _HEX.fullmatch(value) and value.strip("0") else None
    if len(value) != -(-size // 3) * 4:
        return None
    try:
        found = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    if len(found) != size or not any(found):
        return None
    seen.odd.add(BASE64_IDS)
    return found.hex()


def _time(span: Json, name: str) -> tuple[int, bool]:
    """Return nanoseconds since 1970, and whether they had to be clamped."""
    value = span.get(name)
    number = 0 if value is None else _int(value)
    if number is None:
        raise _BadField(f"{name} must be nanoseconds since 1970, as a decimal string")
    clamped = min(max(number, 0), MAX_INT64)
    return clamped, clamped != number


def _int(value: Any) -> int | None:
    """Return a whole number that was sent as a number or as decimal text."""
    if isinstance(value, str):
        if len(value) <= 32 and value.isascii() and value.removeprefix("-").isdigit():
            return int(value)
        return None
    if isinstance(value, float):
        return int(value) if clean_float(value) is not None else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _uint32(value: Any) -> int:
    """Return a number of 32 bits; 0 for what is none."""
    return min(max(_int(value) or 0, 0), MAX_UINT32)


def _enum(value: Any, prefix: str, names: tuple[str, ...], seen: _Seen) -> int:
    """Return the number of an enum that was sent as a number, or by name; 0 for an unknown one."""
    if isinstance(value, str) and not value.isdigit():
        seen.odd.add(ENUM_NAMES)
        name = value.upper().removeprefix(prefix)
        return names.index(name) if name in names else 0
    number = _int(value) or 0
    return number if 0 <= number <= MAX_INT32 else 0


def _text(value: Any) -> str:
    return cut_text(_clean(value), VALUE_BYTES) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Return text without NUL, which PostgreSQL refuses."""
    return text.replace("\x00", "") if "\x00" in text else text


def _attributes(item: Json, seen: _Seen) -> dict[str, Value]:
    """Return attributes as plain values, the last of equal keys; counts what is dropped."""
    pairs: list[tuple[str, Value]] = []
    for pair in _items(item, "attributes"):
        key = pair.get("key", "") if isinstance(pair, dict) else None
        if isinstance(key, str):
            pairs.append((_clean(key), _value(pair.get("value"), DEPTH, seen)))
        else:
            seen.odd.add(UNREADABLE)
    kept, dropped = bounded(pairs)
    seen.cut += dropped
    return kept


def _value(value: Any, depth: int, seen: _Seen) -> Value:
    """Return one AnyValue as a plain value; None for an empty one, and for what cannot be read."""
    if not isinstance(value, dict):
        return None if value is None else _unreadable(seen)
    for name, content in value.items():
        read = _READ.get(name)
        if read is not None and content is not None:  # some write null for what is not set
            return read(content, depth, seen)
    named = _named(value, seen)
    return None if named is value else _value(named, depth, seen)


def _unreadable(seen: _Seen) -> None:
    seen.odd.add(UNREADABLE)


def _list(content: Any, depth: int, seen: _Seen) -> Value:
    return [_value(item, depth - 1, seen) for item in _inner(content, depth)]


def _mapping(content: Any, depth: int, seen: _Seen) -> Value:
    pairs = [pair for pair in _inner(content, depth) if isinstance(pair, dict)]
    return {_text(pair.get("key")): _value(pair.get("value"), depth - 1, seen) for pair in pairs}


def _inner(content: Any, depth: int) -> list[Any]:
    """Return what is in a list or a map."""
    if depth <= 1:
        raise too_deep(DEPTH)
    if not isinstance(content, dict):
        raise _BadField("arrayValue and kvlistValue must be objects")
    return _items(content, "values")


def _string(content: Any, _: int, seen: _Seen) -> Value:
    if not isinstance(content, str):
        return _unreadable(seen)
    if len(content) * 4 <= VALUE_BYTES and "\x00" not in content:
        return content  # most are
    kept = cut_text(_clean(content), limit_of(content))
    if len(kept) < len(content) and len(kept) * 4 > VALUE_BYTES:
        seen.cut += 1
    return kept


def _whole(content: Any, _: int, seen: _Seen) -> Value:
    """Return a whole number; a float where 64 bits do not hold it, as JavaScript sends 1e300."""
    if isinstance(content, float) and not MIN_INT64 <= content <= MAX_INT64:
        return clean_float(content)
    number = _int(content)
    return _unreadable(seen) if number is None else clean_int(number)


def _double(content: Any, _: int, seen: _Seen) -> Value:
    """Return a finite float; "NaN" and "Infinity" may come as text."""
    if isinstance(content, bool) or not isinstance(content, int | float | str):
        return _unreadable(seen)
    try:
        return clean_float(float(content))
    except (ValueError, OverflowError):
        return _unreadable(seen)


def _bool(content: Any, _: int, seen: _Seen) -> Value:
    return content if isinstance(content, bool) else _unreadable(seen)


_READ = {
    "stringValue": _string,
    "intValue": _whole,
    "doubleValue": _double,
    "boolValue": _bool,
    "arrayValue": _list,
    "kvlistValue": _mapping,
    "bytesValue": _string,  # stays base64
}
