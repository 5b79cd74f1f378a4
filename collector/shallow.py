"""The messages of OTLP one level deep: what is inside stays bytes until it was counted.

Wire-compatible with opentelemetry-proto 1.11: a message and ``bytes`` look the same on the wire.
Parsed whole, 16 MiB of empty spans or values become 1.4 GB of objects; parsed a level at a time,
the reader knows how many there are before there is one of them. It is also faster: an attribute
that was seen before needs no parsing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from collector.limits import BadOtlp

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "fixed32": _Field.TYPE_FIXED32,
    "fixed64": _Field.TYPE_FIXED64,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
}

# Field: number and type; "*" before a type: repeated; "?": member of the oneof ``value``.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Resource": {"attributes": (1, "*bytes")},
    "Scope": {"name": (1, "string"), "version": (2, "string"), "attributes": (3, "*bytes")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "parent_span_id": (4, "bytes"),
        "name": (5, "string"),
        "kind": (6, "int32"),
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "*bytes"),
        "dropped_attributes_count": (10, "uint32"),
        "events": (11, "*bytes"),
        "dropped_events_count": (12, "uint32"),
        "links": (13, "*bytes"),
        "dropped_links_count": (14, "uint32"),
        "status": (15, "bytes"),
        "flags": (16, "fixed32"),
    },
    "Event": {
        "time_unix_nano": (1, "fixed64"),
        "name": (2, "string"),
        "attributes": (3, "*bytes"),
    },
    "Status": {"message": (2, "string"), "code": (3, "int32")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "AnyValue": {
        "string_value": (1, "?string"),
        "bool_value": (2, "?bool"),
        "int_value": (3, "?int64"),
        "double_value": (4, "?double"),
        "array_value": (5, "?bytes"),
        "kvlist_value": (6, "?bytes"),
        "bytes_value": (7, "?bytes"),
        "string_value_strindex": (8, "?int32"),  # profiles only: to be ignored
    },
    "List": {"items": (1, "*bytes")},  # ArrayValue and KeyValueList
}


def _field(name: str, number: int, kind: str) -> descriptor_pb2.FieldDescriptorProto:
    label = _Field.LABEL_REPEATED if kind[0] == "*" else _Field.LABEL_OPTIONAL
    field = _Field(name=name, number=number, label=label)
    if kind in _MESSAGES:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".tidegauge.wire.{kind}"
        return field
    field.type = _TYPES[kind.lstrip("*?")]
    if kind[0] == "?":
        field.oneof_index = 0
    return field


def _build() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="tidegauge/wire.proto", package="tidegauge.wire", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind[0] == "?" for _, kind in fields.values()):
            message.oneof_decl.add(name="value")
        message.field.extend(_field(key, *spec) for key, spec in fields.items())
    pool = descriptor_pool.DescriptorPool()  # a pool of its own: names cannot clash
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)


_CLASSES = _build()


def parser(name: str) -> Any:
    """Return what turns the bytes of a message into an object; it raises DecodeError."""
    return _CLASSES[f"tidegauge.wire.{name}"].FromString


_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def parts(
    body: bytes, at: int, end: int, take: Callable[[int], None]
) -> Iterator[tuple[int, int, int]]:
    """Yield the field number, start and end of all that is length-delimited in ``body[at:end]``.

    ``take`` is called with 1 for every field, and may end it: 16 MiB of numbers that nobody reads
    would take seconds. Raises BadOtlp where the wire is broken.
    """
    try:
        while at < end:
            take(1)
            tag, at = _varint(body, at)
            wire = tag & 7
            if wire == _LENGTH:
                size, at = _varint(body, at)
                stop = at + size
                if stop > end:
                    _broken("a length runs past the end of its message")
                yield tag >> 3, at, stop
                at = stop
            elif wire == _VARINT:
                _, at = _varint(body, at)
            elif wire == _FIXED64:
                at += 8
            elif wire == _FIXED32:
                at += 4
            else:
                _broken(f"wire type {wire} is not one of OTLP")  # groups are of protobuf 1
    except IndexError:
        _broken("it ends in the middle of a field")
    if at != end:
        _broken("a field runs past the end of its message")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return a number in base 128, and where the next field begins."""
    value = body[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        byte = body[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    _broken("a number is longer than 10 bytes")


def _broken(why: str) -> NoReturn:
    raise BadOtlp(f"the body is not protobuf: {why}")
