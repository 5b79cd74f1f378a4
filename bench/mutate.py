"""Valid OTLP requests, damaged: what a broken exporter or a stranger may send."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.bodies import build

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_NUMBERS = (0, 1, 127, 128, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_TOKENS = (
    *(b"null", b"[]", b"{}", b'""', b"true", b"-1", b"1e400", b"NaN", b"1.5", b'"\\ud800"'),
    *(b'"\\u0000"', b"18446744073709551616", b'"99999999999999999999"', b"[[[[[[[[", b"\xff\xfe"),
)
_WIRE = (b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x0b\x0b", b"\x0c", b"\x07", b"\x4a\x00" * 50, b"\x00")


@dataclass(frozen=True, slots=True)
class Sent:
    """One request."""

    body: bytes
    kind: str  # Content-Type
    encoding: str | None  # Content-Encoding


def seeds() -> Sequence[Sent]:
    """Return valid requests in both encodings, small, so that a change hits something."""
    return [
        Sent(build(spans, seed, json=kind == JSON).raw, kind, None)
        for seed, (spans, kind) in enumerate([(1, PROTOBUF), (3, PROTOBUF), (1, JSON), (3, JSON)])
    ]


def damage(valid: Sent, rng: random.Random) -> Sent:
    """Return the request with one to six changes, perhaps packed, perhaps packed wrongly."""
    body = valid.body
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        body = rng.choice(_CHANGES)(body, rng, valid.kind)
    encoding = rng.choice((None, None, "gzip", "deflate", "gzip-of-half", "not-gzip"))
    match encoding:
        case "gzip":
            return Sent(gzip.compress(body, 1), valid.kind, "gzip")
        case "deflate":
            return Sent(zlib.compress(body, 1), valid.kind, "deflate")
        case "gzip-of-half":
            packed = bytearray(gzip.compress(body, 1))
            packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
            return Sent(bytes(packed[: rng.randrange(1, len(packed))]), valid.kind, "gzip")
        case "not-gzip":
            return Sent(body, valid.kind, "gzip")
    return Sent(body, rng.choice((valid.kind, valid.kind, valid.kind, PROTOBUF, JSON)), None)


def _flip(body: bytes, rng: random.Random, _: str) -> bytes:
    changed = bytearray(body or b"\0")
    for _number in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(body: bytes, rng: random.Random, _: str) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _drop(body: bytes, rng: random.Random, _: str) -> bytes:
    start = rng.randrange(len(body) + 1)
    return body[:start] + body[start + rng.randint(1, 40) :]


def _repeat(body: bytes, rng: random.Random, _: str) -> bytes:
    start = rng.randrange(len(body) + 1)
    piece = body[start : start + rng.randint(1, 200)]
    return body[:start] + piece * rng.randint(2, 20) + body[start:]


def _put_in(body: bytes, rng: random.Random, kind: str) -> bytes:
    at = rng.randrange(len(body) + 1)
    if kind == JSON:  # in the place of a value
        at = body.find(b":", at) + 1
        end = min((i for i in (body.find(b",", at), body.find(b"}", at)) if i > 0), default=at)
        return body[:at] + rng.choice(_TOKENS) + body[end:]
    return body[:at] + rng.choice((*_WIRE, _varint(rng.choice(_NUMBERS)))) + body[at:]


def _resize(body: bytes, rng: random.Random, _: str) -> bytes:
    """Change one byte by one: often the length of a message, or its tag."""
    at = rng.randrange(len(body) or 1)
    return (
        body[:at] + bytes([(body[at] + rng.choice((-1, 1))) % 256 if body else 0]) + body[at + 1 :]
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


_CHANGES: Sequence[Callable[[bytes, random.Random, str], bytes]] = (
    *(_flip, _cut, _drop, _repeat, _put_in, _put_in, _resize, _resize),
)
