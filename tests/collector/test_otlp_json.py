from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from collector.limits import BadOtlp
from collector.otlp_json import BASE64_IDS, ENUM_NAMES, SNAKE_CASE, UNREADABLE, read
from collector.raw import MAX_INT64, RawSpan

TRACE, SPAN, PARENT = "5b8aa5a2d2c872e8321cf37308d69df2", "051581bf3cb55c13", "00000000000000aa"
NANO = 1_700_000_000_000_000_000


def in_base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def a_span(**fields: Any) -> dict[str, Any]:
    usual = {"traceId": TRACE, "spanId": SPAN, "name": "chat"}
    times = {"startTimeUnixNano": str(NANO), "endTimeUnixNano": str(NANO + 5)}
    return usual | times | fields


def body_of(*spans: Any, group: str = "resourceSpans", scope: str = "scopeSpans") -> bytes:
    return json.dumps({group: [{scope: [{"spans": list(spans)}]}]}).encode()


def read_one(**fields: Any) -> RawSpan:
    (raw,) = read(body_of(a_span(**fields))).spans
    return raw


def valued(value: Any) -> RawSpan:
    return read_one(attributes=[{"key": "k", "value": value}])


def test_json_as_otlp_wants_it_needs_no_leniency() -> None:
    raw = read_one(
        parentSpanId=PARENT,
        kind=3,
        status={"code": 2},
        attributes=[{"key": "k", "value": {"intValue": "1"}}, {"key": "e", "value": {}}],
        events=[{"name": "e", "timeUnixNano": "1"}],
        unknownField={"trace_id": 1},
    )
    assert raw.lenient == ()
    assert (raw.parent, raw.kind, raw.status, raw.attributes) == (PARENT, 3, 2, {"k": 1, "e": None})


def test_o30_ids_in_base64_are_read_and_marked() -> None:
    raw = read_one(traceId=in_base64(TRACE), spanId=in_base64(SPAN), parentSpanId=in_base64(PARENT))
    assert (raw.trace_id, raw.span_id, raw.parent) == (TRACE, SPAN, PARENT)
    assert raw.lenient == (BASE64_IDS,)


def test_o30_base64_of_zeros_is_no_id() -> None:
    decoded = read(body_of(a_span(traceId=in_base64("0" * 32))))
    assert decoded.spans == []
    assert "traceId must be 32 hex digits" in decoded.rejected[0].reason


@pytest.mark.parametrize("span_id", ["051581bf3c=", "051581bf3cb55c1x", "051581bf3cb5", "é" * 16])
def test_o30_what_only_looks_like_an_id_is_rejected(span_id: str) -> None:
    assert len(read(body_of(a_span(spanId=span_id))).rejected) == 1


@pytest.mark.parametrize("kind", ["SPAN_KIND_CLIENT", "CLIENT", "span_kind_client"])
def test_o32_names_of_enums_are_read_and_marked(kind: str) -> None:
    raw = read_one(kind=kind)
    assert (raw.kind, raw.lenient) == (3, (ENUM_NAMES,))


def test_o32_an_unknown_name_of_an_enum_is_0_and_marked() -> None:
    raw = read_one(status={"code": "STATUS_CODE_LATER"})
    assert (raw.status, raw.lenient) == (0, (ENUM_NAMES,))


def test_o32_the_number_of_an_enum_may_be_text() -> None:
    raw = read_one(kind="3")
    assert (raw.kind, raw.lenient) == (3, ())


def test_o32_snake_case_in_one_field_marks_its_span_only() -> None:
    odd, good = a_span(), a_span()
    odd["end_time_unix_nano"] = odd.pop("endTimeUnixNano")
    first, second = read(body_of(odd, good)).spans
    assert (first.end_ns, first.lenient) == (NANO + 5, (SNAKE_CASE,))
    assert (second.end_ns, second.lenient) == (NANO + 5, ())


def test_o32_snake_case_around_the_spans_marks_them_all() -> None:
    decoded = read(body_of(a_span(), a_span(), group="resource_spans", scope="scope_spans"))
    assert [raw.lenient for raw in decoded.spans] == [(SNAKE_CASE,)] * 2


def test_o32_snake_case_in_a_value_is_read_and_marked() -> None:
    raw = valued({"array_value": {"values": [{"string_value": "a"}, {"intValue": 1}]}})
    assert (raw.attributes, raw.lenient) == ({"k": ["a", 1]}, (SNAKE_CASE,))


@pytest.mark.parametrize(
    "value",
    [
        {"intValue": "0x10"},
        {"intValue": True},
        {"stringValue": 5},
        {"boolValue": "true"},
        {"doubleValue": "many"},
        {"doubleValue": False},
        {"bytesValue": [1]},
        "no object",
        [],
    ],
)
def test_o33_a_value_that_is_not_what_it_claims_is_unknown_and_marked(value: Any) -> None:
    raw = valued(value)
    assert (raw.attributes, raw.lenient) == ({"k": None}, (UNREADABLE,))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"stringValue": None, "intValue": "5", "boolValue": None}, 5),
        ({"stringValue": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_null_stands_for_what_is_not_set(value: Any, kept: Any) -> None:
    raw = valued(value)
    assert (raw.attributes, raw.lenient) == ({"k": kept}, ())


@pytest.mark.parametrize("pair", [5, {"key": 5}, None])
def test_what_is_no_attribute_is_left_out_and_marked(pair: Any) -> None:
    raw = read_one(attributes=[pair])
    assert (raw.attributes, raw.lenient) == ({}, (UNREADABLE,))


@pytest.mark.parametrize(
    ("value", "kept"),
    [(1e300, 1e300), (-1e300, -1e300), (1e20, 1e20), (2**63, MAX_INT64), ("1" * 30, MAX_INT64)],
)
def test_o33_an_int_of_more_than_64_bits_keeps_its_size_or_is_the_largest(
    value: Any, kept: Any
) -> None:
    """JavaScript calls 1e300 a whole number, and its exporter sends it as one."""
    raw = valued({"intValue": value})
    assert (raw.attributes["k"], raw.lenient) == (kept, ())


def test_a_text_that_is_too_long_is_cut_and_counted_wherever_it_stands() -> None:
    long = {"stringValue": "ä" * 50_000}
    raw = valued({"arrayValue": {"values": [long, {"stringValue": "short"}]}})
    cut, whole = raw.attributes["k"]
    assert (len(cut.encode()), whole) == (64 * 1024, "short")
    assert (raw.dropped_attributes, raw.cut) == (1, True)


def test_nul_is_left_out_of_every_text() -> None:
    raw = read_one(name="a\0b", attributes=[{"key": "a\0b", "value": {"stringValue": "\0x"}}])
    assert (raw.name, raw.attributes) == ("ab", {"ab": "x"})


def test_half_a_pair_of_surrogates_is_replaced_in_every_text() -> None:
    body = body_of(a_span(name="N", attributes=[{"key": "K", "value": {"stringValue": "V"}}]))
    for mark in (b'"N"', b'"K"', b'"V"'):
        body = body.replace(mark, b'"x\\ud800"')
    (raw,) = read(body).spans
    assert (raw.name, raw.attributes) == ("x\ufffd", {"x\ufffd": "x\ufffd"})


@pytest.mark.parametrize("kind", ["arrayValue", "kvlistValue"])
def test_o44_values_deeper_than_32_levels_refuse_the_request(kind: str) -> None:
    value: Any = {"stringValue": "leaf"}
    for _ in range(32):
        inner = value if kind == "arrayValue" else {"key": "k", "value": value}
        value = {kind: {"values": [inner]}}
    with pytest.raises(BadOtlp, match="32 levels"):
        valued(value)


@pytest.mark.parametrize("value", [{"arrayValue": []}, {"kvlistValue": {"values": 5}}])
def test_a_list_of_the_wrong_type_costs_its_own_span_only(value: Any) -> None:
    decoded = read(body_of(a_span(attributes=[{"key": "k", "value": value}]), a_span()))
    assert (len(decoded.spans), len(decoded.rejected)) == (1, 1)


def test_the_message_of_a_refusal_holds_nothing_that_was_sent() -> None:
    with pytest.raises(BadOtlp) as refused:
        read(b'{"SECRET": nonsense}')
    assert "SECRET" not in str(refused.value)
