"""Walk the wire before it is parsed: bound inflated size, spans, fields and depth."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import NoReturn

MEMBERS = 1_000  # gzip members in one body; each one costs a copy of what is left of its chunk
CHUNK = 64 * 1024

_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15


class TooLarge(ValueError):
    """A body goes over one of the budgets; the message names it. Sending it again cannot help."""

    def __init__(self, budget: str, limit: int) -> None:
        super().__init__(f"the request has more than {limit:,} {budget}; send smaller batches")
        self.budget = budget
        self.limit = limit


class BadEncoding(ValueError):
    """The body is not what its Content-Encoding says, or we do not speak that encoding."""

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown  # True: 415, the encoding; False: 400, the bytes


class BadOtlp(ValueError):
    """The body is no OTLP; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. A byte limit alone does not bound memory: 16 MiB of empty spans
    become 1.4 GB of objects."""

    body_bytes: int = 16 * 1024 * 1024  # after decompression
    spans: int = 50_000
    fields: int = 500_000
    depth: int = 32  # of attribute values, one inside the other


DEFAULT = Limits()


def inflate(body: bytes, encoding: str | None, limit_bytes: int = DEFAULT.body_bytes) -> bytes:
    """Return the body without its Content-Encoding (gzip, deflate, identity).

    Raises ``TooLarge`` as soon as the output passes the limit, and ``BadEncoding``.
    """
    if len(body) > limit_bytes:
        raise TooLarge("bytes", limit_bytes)
    match (encoding or "identity").strip().lower():
        case "identity":
            return body
        case "gzip" | "x-gzip":
            return _decompress(body, _GZIP, limit_bytes)
        case "deflate":
            return _decompress(body, _ZLIB if _has_zlib_header(body) else _RAW_DEFLATE, limit_bytes)
        case other:
            raise BadEncoding(
                f"Content-Encoding {other[:40]!r} is not supported: send gzip, deflate or none",
                unknown=True,
            )


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


def _decompress(body: bytes, window_bits: int, limit: int) -> bytes:
    """Inflate chunk by chunk; a gzip body may have several members, which zlib alone would drop."""
    stream = zlib.decompressobj(window_bits)
    parts: list[bytes] = []
    room, members = limit, 1
    for start in range(0, len(body), CHUNK):
        chunk = body[start : start + CHUNK]
        while chunk:
            if stream.eof:
                chunk = chunk.lstrip(b"\0")  # padding after a member is allowed
                if not chunk:
                    break
                members += 1
                stream = _next_member(window_bits, members)
            part = _inflated(stream, chunk, room + 1)
            room -= len(part)
            if room < 0:
                raise TooLarge("bytes", limit)
            parts.append(part)
            chunk = stream.unused_data
    if not stream.eof:
        raise BadEncoding("the compressed body ends too early")
    return b"".join(parts)


def _inflated(stream: zlib._Decompress, chunk: bytes, at_most: int) -> bytes:
    try:
        return stream.decompress(chunk, at_most)
    except zlib.error as error:
        raise BadEncoding(f"the body is not compressed as Content-Encoding says: {error}") from None


def _next_member(window_bits: int, members: int) -> zlib._Decompress:
    if window_bits != _GZIP:
        raise BadEncoding("there are bytes after the end of the deflate stream")
    if members > MEMBERS:
        raise BadEncoding(f"the gzip body has more than {MEMBERS:,} members")
    return zlib.decompressobj(window_bits)


# The messages of ExportTraceServiceRequest, and which of their fields hold another message.
(_REQUEST, _RESOURCE_SPANS, _RESOURCE, _SCOPE_SPANS, _SCOPE, _SPAN, _EVENT, _LINK) = range(8)
(_ATTRIBUTE, _VALUE, _ARRAY, _MAP, _FLAT) = range(8, 13)

_INSIDE: tuple[dict[int, int], ...] = (
    {1: _RESOURCE_SPANS},  # _REQUEST
    {1: _RESOURCE, 2: _SCOPE_SPANS},  # _RESOURCE_SPANS
    {1: _ATTRIBUTE, 3: _FLAT},  # _RESOURCE; 3: entity_refs, whose keys could be a bomb of their own
    {1: _SCOPE, 2: _SPAN},  # _SCOPE_SPANS
    {3: _ATTRIBUTE},  # _SCOPE
    {9: _ATTRIBUTE, 11: _EVENT, 13: _LINK, 15: _FLAT},  # _SPAN
    {3: _ATTRIBUTE},  # _EVENT
    {4: _ATTRIBUTE},  # _LINK
    {2: _VALUE},  # _ATTRIBUTE
    {5: _ARRAY, 6: _MAP},  # _VALUE
    {1: _VALUE},  # _ARRAY
    {1: _ATTRIBUTE},  # _MAP
    {},  # _FLAT
)

_VARINT, _FIXED64, _LENGTH, _GROUP_START, _GROUP_END, _FIXED32 = 0, 1, 2, 3, 4, 5


def walk(body: bytes, limits: Limits = DEFAULT) -> None:
    """Check a protobuf ``ExportTraceServiceRequest`` against the budgets before it is parsed.

    Reads tags and lengths only. Raises ``TooLarge``, and ``BadOtlp`` where the wire is broken.
    """
    try:
        _Walk(body, limits).message(0, len(body), _REQUEST, 0)
    except IndexError:
        raise BadOtlp("the protobuf body ends in the middle of a field") from None


class _Walk:
    """One walk over one body: what was counted so far."""

    __slots__ = ("body", "fields", "limits", "spans")

    def __init__(self, body: bytes, limits: Limits) -> None:
        self.body = body
        self.limits = limits
        self.spans = 0
        self.fields = 0

    def message(self, at: int, end: int, kind: int, depth: int) -> None:
        """Walk the fields of one message, and the messages inside it."""
        body, inside, most = self.body, _INSIDE[kind], self.limits.fields
        may_be_plain = depth < self.limits.depth  # a value would be one level deeper
        fields = self.fields
        while at < end:
            fields += 1
            if fields > most:
                raise TooLarge("fields", most)
            tag = body[at]
            at += 1
            if tag > 0x7F:
                tag, at = self.varint(at - 1)
            wire = tag & 7
            if wire == _LENGTH:
                size = body[at]
                at += 1
                if size > 0x7F:
                    size, at = self.varint(at - 1)
                stop = at + size
                if stop > end:
                    _broken("a length runs past the end of its message")
                child = inside.get(tag >> 3)
                if child == _ATTRIBUTE and may_be_plain and self.is_plain(at, stop):
                    fields += 3  # key, value, and the one field of the value
                elif child is not None:
                    self.fields = fields
                    self.enter(at, stop, child, depth)
                    fields = self.fields
                at = stop
            elif wire == _VARINT:
                _, at = self.varint(at)
            elif wire == _FIXED64:
                at += 8
            elif wire == _FIXED32:
                at += 4
            elif wire not in (_GROUP_START, _GROUP_END):
                # What is inside a group is counted as if it stood here: more is counted, never less.
                _broken(f"wire type {wire} does not exist")
        if at != end:
            _broken("a field runs past the end of its message")
        self.fields = fields

    def enter(self, at: int, end: int, kind: int, depth: int) -> None:
        """Walk a message inside another one, and count what has a budget of its own."""
        if kind == _SPAN:
            self.spans += 1
            if self.spans > self.limits.spans:
                raise TooLarge("spans", self.limits.spans)
        elif kind == _VALUE:
            depth += 1
            if depth > self.limits.depth:
                raise TooLarge("levels of nested values", self.limits.depth)
        self.message(at, end, kind, depth)

    def is_plain(self, at: int, end: int) -> bool:
        """Return whether an attribute is one short key and one short scalar: most are.

        This is the short way through the common case; anything else is walked field by field.
        """
        body = self.body
        if end - at < 6 or body[at] != 0x0A or body[at + 1] > 0x7F:  # 0x0A: field 1, the key
            return False
        at += 2 + body[at + 1]
        if at + 3 > end or body[at] != 0x12:  # 0x12: field 2, the value
            return False
        size, at = body[at + 1], at + 2
        if size > 0x7F:
            if body[at] > 0x7F:  # a third byte of the size: read as two it would hide a bomb
                return False
            size, at = (size & 0x7F) | body[at] << 7, at + 1
        if size < 2 or at + size != end:
            return False
        return self.is_scalar(at, end)

    def is_scalar(self, at: int, end: int) -> bool:
        """Return whether an AnyValue is exactly one string, bool, int, double or bytes."""
        body = self.body
        tag = body[at]
        if tag == 0x0A or tag == 0x3A:  # string, bytes
            size, at = body[at + 1], at + 2
            if size > 0x7F:
                if body[at] > 0x7F:
                    return False
                size, at = (size & 0x7F) | body[at] << 7, at + 1
            return at + size == end
        if tag == 0x21:  # double
            return at + 9 == end
        if tag == 0x10 or tag == 0x18:  # bool, int
            return self.varint(at + 1)[1] == end
        return False

    def varint(self, at: int) -> tuple[int, int]:
        """Return a number in base 128, and where the next field begins."""
        body, value = self.body, 0
        for shift in range(0, 70, 7):
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        _broken("a number is longer than 10 bytes")


def _broken(why: str) -> NoReturn:
    raise BadOtlp(f"the body is not protobuf: {why}")


_ALIKE = bytes.maketrans(b"[]", b"{}")  # a level is a level
_ALL_BUT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_STRING = re.compile(rb'"[^"]*"')
_ENVELOPE = 12  # brackets from the root to the value of an attribute of an event
_A_LEVEL = 4  # brackets of one kvlistValue inside another


def walk_json(body: bytes, limits: Limits = DEFAULT) -> None:
    """Check an OTLP/JSON body against the budgets before it is parsed. Raises ``TooLarge``.

    Objects and lists stand for fields, so a limit of fields is reached later than in protobuf.
    Items of lists are counted by their commas, four to a field: text has commas, too.
    """
    objects = body.count(b"{") + body.count(b"[")
    if objects > limits.fields or body.count(b",") > 4 * limits.fields:
        raise TooLarge("fields", limits.fields)
    brackets = _brackets(body)
    for _ in range(_ENVELOPE + _A_LEVEL * limits.depth):
        fewer = brackets.replace(b"{}", b"")
        if len(fewer) == len(brackets):
            return  # flat, or not balanced: then the parser says where
        brackets = fewer
    if brackets:
        raise TooLarge("levels of nested values", limits.depth)


def _brackets(body: bytes) -> bytes:
    """Return the brackets outside of strings, all of one kind."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = plain.translate(_ALIKE, _ALL_BUT_STRUCTURE)
    # Two quotes side by side are an empty string, or end one and begin the next: without them the
    # same brackets are outside. 16 MiB of quotes would hold up every other thread for 1.4 s.
    return _STRING.sub(b"", marks.replace(b'""', b""))
