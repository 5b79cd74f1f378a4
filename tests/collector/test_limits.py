from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.limits import (
    DEFAULT,
    BadEncoding,
    BadOtlp,
    Limits,
    TooLarge,
    _brackets,
    inflate,
    walk_json,
)
from collector.otlp import Decoded, read_spans

MIB = 1024 * 1024


def read(body: bytes, limits: Limits = DEFAULT) -> Decoded:
    return read_spans(body, json=False, limits=limits)


def resident_mib() -> float:
    return psutil.Process().memory_info().rss / MIB


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


IDS = message(1, b"t" * 16) + message(2, b"s" * 8)


def in_scope(scope_spans: bytes) -> bytes:
    return message(1, message(2, scope_spans))


def in_span(span: bytes) -> bytes:
    return in_scope(message(2, IDS + span))


def attribute(value: bytes) -> bytes:
    return message(9, message(1, b"key") + message(2, value))


def array_of(value: bytes) -> bytes:
    return message(5, message(1, value))


def map_of(value: bytes) -> bytes:
    return message(6, message(1, message(1, b"k") + message(2, value)))


def nested(levels: int, wrap: Callable[[bytes], bytes] = array_of) -> bytes:
    value = message(1, b"leaf")
    for _ in range(levels - 1):
        value = wrap(value)
    return value


BOMBS = {
    "empty spans": (in_scope(message(2, b"") * (8 * MIB)), "spans"),
    "empty resource spans": (message(1, b"") * (8 * MIB), "fields"),
    "empty scope spans": (message(1, message(2, b"") * (8 * MIB)), "fields"),
    "empty attributes in one span": (in_span(message(9, b"") * (8 * MIB)), "fields"),
    "empty values in one array": (
        in_span(attribute(message(5, message(1, b"") * (8 * MIB)))),
        "fields",
    ),
    "empty pairs in one map": (in_span(attribute(message(6, message(1, b"") * MIB))), "fields"),
    "empty events in one span": (in_span(message(11, b"") * MIB), "fields"),
    "empty links in one span": (in_span(message(13, b"") * MIB), "fields"),
    "attributes of one event": (in_span(message(11, message(3, b"") * MIB)), "fields"),
    "attributes of one resource": (message(1, message(1, message(1, b"") * MIB)), "fields"),
    "attributes of one scope": (in_scope(message(1, message(3, b"") * MIB)), "fields"),
}
UNREAD = {
    "attributes of one link": in_span(message(13, message(4, b"") * (8 * MIB))),
    "keys of one entity": message(1, message(1, message(3, message(3, b"") * (8 * MIB)))),
    "fields that do not exist": in_span(message(99, b"") * (8 * MIB)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_body_that_would_become_gigabytes_is_refused_by_its_count(bomb: str) -> None:
    body, budget = BOMBS[bomb]
    squeezed = gzip.compress(body, compresslevel=1)

    with pytest.raises(TooLarge, match=budget) as refused:
        read(inflate(squeezed, "gzip", 17 * MIB))

    assert refused.value.budget == budget


@pytest.mark.parametrize("bomb", UNREAD)
def test_what_is_never_read_takes_no_memory_however_much_there_is_of_it(bomb: str) -> None:
    before = resident_mib()
    with suppress(TooLarge):
        read(UNREAD[bomb])
    assert resident_mib() - before < 100


@pytest.mark.parametrize("wrap", [array_of, map_of])
def test_values_may_be_32_deep_and_no_deeper(wrap: Callable[[bytes], bytes]) -> None:
    read(in_span(attribute(nested(32, wrap))))

    with pytest.raises(BadOtlp, match="32 levels deep"):
        read(in_span(attribute(nested(33, wrap))))


def test_a_bomb_behind_a_size_of_three_bytes_is_not_taken_for_a_plain_value() -> None:
    items = message(1, b"") * 20_000
    value = message(5, items)
    assert len(varint(len(value))) == 3

    with pytest.raises(TooLarge):
        read(in_span(attribute(value)), Limits(fields=10_000))


def test_a_group_is_refused() -> None:
    with pytest.raises(BadOtlp, match="wire type 3"):
        read(in_scope(b"\x0b" + message(2, b"") * 100 + b"\x0c"))


@pytest.mark.parametrize("field", [b"\x08\x00", b"\x09" + bytes(8), b"\x0d" + bytes(4)])
def test_numbers_that_nobody_reads_are_counted(field: bytes) -> None:
    for body in (field * 2**20, in_scope(field * 2**20), in_span(field * 2**20)):
        with pytest.raises(TooLarge, match="fields"):
            read(body)


def test_an_ordinary_request_passes_and_every_field_is_counted() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    span = scope.spans.add(name="chat", trace_id=b"1" * 16, span_id=b"2" * 8, flags=0xFFFFFFFF)
    for key in "abc":
        span.attributes.add(key=key).value.string_value = "x" * 300
    body = request.SerializeToString()
    fields = 1 + 1 + 1 + 3  # resource spans, scope spans, span, attributes

    read(body, Limits(fields=fields))

    with pytest.raises(TooLarge, match="fields"):
        read(body, Limits(fields=fields - 1))


def test_a_body_that_is_cut_off_is_bad_otlp() -> None:
    with pytest.raises(BadOtlp):
        read(in_span(attribute(nested(3)))[:-1])


@pytest.mark.parametrize("levels", [1, 32])
def test_json_as_deep_as_protobuf_passes(levels: int) -> None:
    value = '{"stringValue": "]]}}[[{{\\"[" }'
    for _ in range(levels - 1):
        value = '{"kvlistValue": {"values": [{"key": "k", "value": ' + value + "}]}}"
    walk_json(json_span(value))


def json_span(value: str) -> bytes:
    span = f'{{"attributes": [{{"key": "k", "value": {value}}}]}}'
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()


def test_json_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(BadOtlp, match="levels deep"):
        walk_json(json_span("[" * 1_000 + "]" * 1_000))


@pytest.mark.parametrize("item", ["{},", "[],", "0,0,0,0,0,"])
def test_json_of_many_small_things_is_refused(item: str) -> None:
    with pytest.raises(TooLarge, match="fields"):
        walk_json(b"[" + item.encode() * 600_000 + b"0]")


@pytest.mark.parametrize("encoding", [None, "", "identity", "IDENTITY"])
def test_a_plain_body_stays_as_it_is(encoding: str | None) -> None:
    assert inflate(b"body", encoding) == b"body"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip "])
def test_gzip_of_several_members_is_read_whole(encoding: str) -> None:
    parts = [b"a" * 100_000, b"", b"c"]

    assert inflate(b"".join(map(gzip.compress, parts)) + b"\0\0", encoding) == b"".join(parts)


def test_members_that_end_at_any_place_of_a_chunk_are_read() -> None:
    noise = bytes(range(256)) * 10
    sizes = [len(gzip.compress(noise * n)) for n in (1, 2, 3)]
    assert all(one < two for one, two in pairwise(sizes))

    assert inflate(gzip.compress(noise) * 700, "gzip") == noise * 700


@pytest.mark.parametrize("wbits", [zlib.MAX_WBITS, -zlib.MAX_WBITS])
def test_deflate_is_read_with_and_without_its_header(wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    squeezed = packer.compress(b"body" * 99) + packer.flush()

    assert inflate(squeezed, "deflate") == b"body" * 99


@pytest.mark.parametrize("encoding", ["gzip", "deflate", None])
def test_one_byte_over_the_limit_is_refused(encoding: str | None) -> None:
    packers: dict[str | None, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        None: bytes,
    }
    pack = packers[encoding]

    assert len(inflate(pack(b"x" * 1_000), encoding, 1_000)) == 1_000
    with pytest.raises(TooLarge, match="bytes"):
        inflate(pack(b"x" * 1_001), encoding, 1_000)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip", "gzip"),
        (gzip.compress(b"x" * 999)[:-9], "gzip"),
        (gzip.compress(b"x") + b"rest", "gzip"),
        (gzip.compress(b"") * 1_001, "gzip"),
        (zlib.compress(b"x") + b"rest", "deflate"),
        (b"", "gzip"),
    ],
)
def test_bytes_that_are_not_what_the_header_says_are_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(BadEncoding) as refused:
        inflate(body, encoding)

    assert not refused.value.unknown


def test_an_encoding_we_do_not_speak_is_named() -> None:
    with pytest.raises(BadEncoding, match="'br'") as refused:
        inflate(b"", "br")

    assert refused.value.unknown


@given(st.binary(max_size=400))
def test_no_bytes_make_the_walk_fail_in_another_way(body: bytes) -> None:
    for check in (read, walk_json):
        with suppress(TooLarge, BadOtlp):
            check(body, Limits(fields=50, spans=5))


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "identity", "zstd"]))
def test_no_bytes_make_inflating_fail_in_another_way(body: bytes, encoding: str) -> None:
    with suppress(TooLarge, BadEncoding):
        inflate(body, encoding, 10_000)


@given(st.text(alphabet='[]{}",a:\\', max_size=40))
def test_brackets_outside_of_strings_are_found_whatever_stands_between(text: str) -> None:
    plain = text.replace("\\\\", "").replace('\\"', "")
    outside = "".join(plain.split('"')[::2]) if plain.count('"') % 2 == 0 else None
    if outside is not None:
        expected = "".join(sign for sign in outside if sign in "[]{}")
        assert _brackets(text.encode()) == expected.translate(str.maketrans("[]", "{}")).encode()


def test_a_body_of_quotes_holds_nobody_up() -> None:
    began = time.process_time()
    walk_json(b'"' * (64 * 2**20))
    assert time.process_time() - began < 3  # seconds; quote by quote it takes twice as long
