"""What one request may hold, checked before it is parsed: inflated size, spans, fields, depth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from isal import isal_zlib as zlib  # a third of the CPU of the standard library's

MEMBERS = 1_000  # gzip members in one body; each one costs a copy of what is left of its chunk
CHUNK = 64 * 1024

_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15
_NotCompressed: Any = zlib.error


class TooLarge(ValueError):
    """A body goes over one of the budgets; the message names it. Sending it again cannot help."""

    def __init__(self, budget: str, limit: int) -> None:
        super().__init__(f"the request has more than {limit:,} {budget}; send smaller batches")
        self.budget = budget
        self.limit = limit

    def __reduce__(self) -> tuple[type[TooLarge], tuple[str, int]]:
        """Return how it is made anew in another process: not from its message."""
        return TooLarge, (self.budget, self.limit)


class BadEncoding(ValueError):
    """The body is not what its Content-Encoding says, or we do not speak that encoding."""

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown  # True: 415, the encoding; False: 400, the bytes


class BadOtlp(ValueError):
    """The body is no OTLP; the message says what is wrong with it."""


def too_deep(levels: int) -> BadOtlp:
    """Return the error of values nested too deeply: 400, as what no parser takes is (O-44)."""
    return BadOtlp(f"values are nested more than {levels} levels deep; send them as a JSON text")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. A byte limit alone does not bound memory: 16 MiB of empty spans
    become 1.4 GB of objects."""

    body_bytes: int = 16 * 1024 * 1024  # after decompression
    spans: int = 50_000
    fields: int = 500_000
    depth: int = 32  # of attribute values, one inside the other
    span_bytes: int = 64 * 1024  # a larger span or list has its fields counted before it is parsed


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


def _inflated(stream: Any, chunk: bytes, at_most: int) -> bytes:
    try:
        part: bytes = stream.decompress(chunk, at_most)
    except _NotCompressed as error:
        raise BadEncoding(f"the body is not compressed as Content-Encoding says: {error}") from None
    return part


def _next_member(window_bits: int, members: int) -> Any:
    if window_bits != _GZIP:
        raise BadEncoding("there are bytes after the end of the deflate stream")
    if members > MEMBERS:
        raise BadEncoding(f"the gzip body has more than {MEMBERS:,} members")
    return zlib.decompressobj(window_bits)


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
        raise too_deep(limits.depth)


def _brackets(body: bytes) -> bytes:
    """Return the brackets outside of strings, all of one kind."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = plain.translate(_ALIKE, _ALL_BUT_STRUCTURE)
    # Two quotes side by side are an empty string, or end one and begin the next: without them the
    # same brackets are outside. 16 MiB of quotes would hold up every other thread for 1.4 s.
    return _STRING.sub(b"", marks.replace(b'""', b""))
