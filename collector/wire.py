"""What logs and metrics have in common on the wire: resources, values, and JSON as protobuf."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector.limits import BadOtlp, TooLarge
from collector.raw import (
    DEPTH,
    VALUE_BYTES,
    RawSpan,
    Value,
    bounded,
    clean_float,
    clean_text,
    limit_of,
)

_SNAKE = re.compile(r"([A-Z])")
_HEX = re.compile(r"[0-9a-fA-F]+")

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class Group(Generic[T]):
    """What one resource sent: what is kept of it, how much is not, and what cannot be read."""

    resource: Mapping[str, Value]
    kept: list[T] = field(default_factory=list)
    not_kept: int = 0  # valid, and of no use to us
    rejected: list[str] = field(default_factory=list)  # why, one for each
    calls: list[RawSpan] = field(default_factory=list)  # that are told of here alone


def decoded(kind: type[M], body: bytes) -> M:
    """Return a protobuf request. Raises ``BadOtlp``."""
    request = kind()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise BadOtlp(
            f"the body is not an {kind.__name__} in protobuf: "
            "it is cut off, of another type, or has text that is not UTF-8"
        ) from None
    return request


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    """Return attributes as plain values, at most as many as we keep; the last of equal keys."""
    return bounded([(clean_text(pair.key), plain(pair.value)) for pair in pairs])[0]


def plain(value: AnyValue, depth: int = DEPTH) -> Value:
    """Return one value as plain Python that any database can keep."""
    match value.WhichOneof("value"):
        case "string_value":
            return clean_text(value.string_value, limit_of(value.string_value))
        case "int_value":
            return value.int_value
        case "double_value":
            return clean_float(value.double_value)
        case "bool_value":
            return value.bool_value
        case "array_value" if depth > 1:
            return [plain(item, depth - 1) for item in value.array_value.values]
        case "kvlist_value" if depth > 1:
            pairs = value.kvlist_value.values
            return {clean_text(pair.key): plain(pair.value, depth - 1) for pair in pairs}
        case "bytes_value":
            return base64.b64encode(value.bytes_value[: VALUE_BYTES // 4 * 3]).decode("ascii")
    return None


def json_root(body: bytes) -> dict[str, Any]:
    """Return the object that a JSON body is; nothing but blanks is none. Raises ``BadOtlp``."""
    try:
        root = orjson.loads(body)
    except orjson.JSONDecodeError:
        root = _lenient(body)
    if not isinstance(root, dict):
        raise BadOtlp("the JSON body must be an object")
    return root


def _lenient(body: bytes) -> Any:
    """Read what orjson refuses and some encoders send: NaN, and halves of a pair of surrogates."""
    try:
        return json.loads(body.decode("utf-8"))
    except RecursionError:
        raise BadOtlp("the JSON body is nested too deeply") from None
    except ValueError as error:
        # Its message, not its text: that is what was sent.
        place = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise BadOtlp(f"the body is not JSON: {place}") from None


def get(item: Mapping[str, Any], name: str) -> Any:
    """Return a field by its name in OTLP/JSON, or in snake case, which some senders write."""
    return item[name] if name in item else item.get(_SNAKE.sub(r"_\1", name).lower())


def objects(item: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of objects; nothing for null. Raises ``BadOtlp``."""
    found = get(item, name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadOtlp(f"{name} must be a list of objects")
    return found


class Room:
    """How many records a JSON request may still hold: reading one takes longer than in protobuf."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def take(self, records: list[Any]) -> list[Any]:
        """Return the records. Raises ``TooLarge`` where there are too many of them."""
        self._left -= len(records)
        if self._left < 0:
            raise TooLarge("records", self._most)
        return records


def items(item: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of anything; nothing for null. Raises ``BadOtlp``."""
    found = get(item, name)
    if found is not None and not isinstance(found, list):
        raise BadOtlp(f"{name} must be a list")
    return found or []


def message(into: M, item: Any, names: Iterable[str]) -> M:
    """Return ``into`` with the fields ``names`` of a JSON object. Raises ``BadOtlp``.

    Names that are not asked for cost nothing and may hold anything.
    """
    if not isinstance(item, dict):
        raise BadOtlp(f"{type(into).__name__} must be a JSON object")
    wanted = {name: value for name in names if (value := get(item, name)) is not None}
    try:
        # The body was bounded before: this parser is exact, but slow.
        return ParseDict(_whole(wanted), into, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, RecursionError):
        # The error's own message may hold a piece of what was sent.
        raise BadOtlp(f"a field of {type(into).__name__} has the wrong type") from None


def _whole(value: Any) -> Any:
    """Return JSON without lone surrogates, which protobuf cannot hold."""
    if isinstance(value, str):
        return value if value.isascii() else clean_text(value, len(value) * 4)
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def hex_id(item: Mapping[str, Any], name: str, digits: int) -> str:
    """Return a valid id in lower case hex; nothing for any other."""
    found = get(item, name)
    if not isinstance(found, str) or len(found) != digits or not _HEX.fullmatch(found):
        return ""
    return found.lower() if found.strip("0") else ""


def bytes_id(value: bytes, size: int) -> str:
    """Return a valid id in hex; nothing for any other."""
    return value.hex() if len(value) == size and any(value) else ""
