from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.otlp import BadOtlp, Decoded, RawSpan, read_spans

TRACE, SPAN, PARENT = "5b8aa5a2d2c872e8321cf37308d69df2", "051581bf3cb55c13", "00000000000000aa"
NANO = 1_700_000_000_000_000_000


def a_span(**fields: Any) -> Span:
    usual: dict[str, Any] = {
        "trace_id": bytes.fromhex(TRACE),
        "span_id": bytes.fromhex(SPAN),
        "name": "chat",
        "start_time_unix_nano": NANO,
        "end_time_unix_nano": NANO + 5,
    }
    return Span(**(usual | fields))


def request_of(*spans: Span) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "bot"
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "scope", "1.0"
    scope.spans.extend(spans)
    return request.SerializeToString()


def read(*spans: Span) -> Decoded:
    return read_spans(request_of(*spans), json=False)


def with_value(value: AnyValue) -> RawSpan:
    span = a_span()
    span.attributes.add(key="k").value.CopyFrom(value)
    return read(span).spans[0]


def a_json_span(**fields: Any) -> dict[str, Any]:
    usual = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "chat",
        "startTimeUnixNano": str(NANO),
        "endTimeUnixNano": str(NANO + 5),
    }
    return usual | fields


def read_json(*spans: Any) -> Decoded:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}
    return read_spans(json.dumps(body).encode(), json=True)


def json_value(value: Any) -> Any:
    span = a_json_span(attributes=[{"key": "k", "value": value}])
    return read_json(span).spans[0].attributes["k"]


def test_a_span_is_read_with_its_resource_and_scope() -> None:
    event = Span.Event(name="first", time_unix_nano=NANO + 1)
    span = a_span(kind=3, parent_span_id=bytes.fromhex(PARENT), events=[event], flags=0xFFFFFFFF)

    (raw,) = read(span).spans

    assert (raw.trace_id, raw.span_id, raw.parent) == (TRACE, SPAN, PARENT)
    assert (raw.name, raw.kind, raw.start_ns, raw.end_ns) == ("chat", 3, NANO, NANO + 5)
    assert raw.resource == {"service.name": "bot"}
    assert (raw.scope_name, raw.scope_version, raw.flags) == ("scope", "1.0", 0xFFFFFFFF)
    assert [(event.name, event.time_ns) for event in raw.events] == [("first", NANO + 1)]


@pytest.mark.parametrize("parent", [b"", bytes(8)])
def test_o36_no_parent_and_a_parent_of_zeros_are_both_a_root(parent: bytes) -> None:
    assert read(a_span(parent_span_id=parent)).spans[0].parent is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": bytes(16)}, "trace_id must not be all zeros"),
        ({"trace_id": b"short"}, "trace_id must be 16 bytes, not 5"),
        ({"span_id": bytes(8)}, "span_id must not be all zeros"),
        ({"span_id": b""}, "span_id must be 8 bytes, not 0"),
    ],
)
def test_o35_a_span_with_a_bad_id_is_rejected_alone(fields: dict[str, Any], reason: str) -> None:
    decoded = read(a_span(**fields), a_span())

    assert len(decoded.spans) == 1
    assert reason in decoded.rejected[0].reason


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (AnyValue(string_value="a\0b"), "ab"),
        (AnyValue(int_value=-(2**63)), -(2**63)),
        (AnyValue(double_value=float("nan")), None),
        (AnyValue(double_value=float("-inf")), None),
        (AnyValue(bool_value=False), False),
        (AnyValue(bytes_value=b"\xff\x00"), "/wA="),
        (AnyValue(), None),
    ],
)
def test_o41_every_kind_of_value_becomes_a_plain_one(value: AnyValue, plain: Any) -> None:
    assert with_value(value).attributes == {"k": plain}


def test_o41_lists_and_maps_are_read_and_the_last_of_equal_keys_wins() -> None:
    value = AnyValue()
    for number in (1, 2):
        pair = value.kvlist_value.values.add(key="same")
        pair.value.array_value.values.add().int_value = number

    assert with_value(value).attributes == {"k": {"same": [2]}}


@pytest.mark.parametrize(("levels", "passes"), [(31, True), (32, False), (40, False)])
def test_values_may_be_nested_32_levels_deep(levels: int, passes: bool) -> None:
    value = AnyValue(string_value="leaf")
    for _ in range(levels):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer

    if passes:
        assert json.dumps(with_value(value).attributes["k"]).count("[") == levels
    else:
        with pytest.raises(BadOtlp, match="32 levels deep"):
            with_value(value)


def test_a_long_text_is_cut_and_counted() -> None:
    raw = with_value(AnyValue(string_value="ä" * 50_000))

    assert len(raw.attributes["k"].encode()) == 64 * 1024
    assert raw.dropped_attributes == 1


def test_long_json_is_kept_since_a_cut_one_cannot_be_read() -> None:
    text = json.dumps([{"role": "user", "content": "x" * 100_000}])

    raw = with_value(AnyValue(string_value=text))

    assert raw.attributes["k"] == text
    assert raw.dropped_attributes == 0


def test_o40_attributes_over_128_are_dropped_and_counted_but_not_for_long_conversations() -> None:
    span = a_span(dropped_attributes_count=7)
    for turn in range(100):
        span.attributes.add(key=f"gen_ai.prompt.{turn}.role").value.string_value = "user"
    for number in range(130):
        span.attributes.add(key=f"a{number}").value.int_value = number

    (raw,) = read(span).spans

    assert raw.attributes["gen_ai.prompt.99.role"] == "user"
    assert raw.attributes["a127"] == 127
    assert "a128" not in raw.attributes
    assert raw.dropped_attributes == 7 + 2


def test_o39_times_beyond_64_signed_bits_are_clamped_and_marked() -> None:
    (raw,) = read(a_span(end_time_unix_nano=2**64 - 1)).spans

    assert (raw.end_ns, raw.clock_clamped) == (2**63 - 1, True)


def test_o38_unknown_enums_are_kept_as_numbers() -> None:
    assert read(a_span(kind=99)).spans[0].kind == 99


@pytest.mark.parametrize(
    "body", [b"\xff", b"hello", request_of(a_span(name="né")).replace(b"\xa9", b"\xff")]
)
def test_o44_a_body_that_is_no_protobuf_is_bad_otlp(body: bytes) -> None:
    with pytest.raises(BadOtlp, match="protobuf"):
        read_spans(body, json=False)


def test_o45_fields_of_the_future_are_ignored() -> None:
    unknown = b"\xba\x3e\x02hi"  # field 999
    assert len(read_spans(request_of(a_span()) + unknown, json=False).spans) == 1


def test_o30_ids_in_json_are_hex_in_either_case() -> None:
    (raw,) = read_json(a_json_span(traceId=TRACE.upper(), parentSpanId=PARENT.upper())).spans

    assert (raw.trace_id, raw.parent) == (TRACE, PARENT)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traceId": None}, "traceId must be 32 hex digits"),
        ({"traceId": "0x" + TRACE[2:]}, "traceId must be 32 hex digits"),
        ({"spanId": "0" * 16}, "spanId must not be all zeros"),
        ({"spanId": 12}, "spanId must be 16 hex digits"),
        ({"startTimeUnixNano": "0x10"}, "startTimeUnixNano must be nanoseconds"),
        ({"endTimeUnixNano": True}, "endTimeUnixNano must be nanoseconds"),
    ],
)
def test_o35_a_bad_span_in_json_is_rejected_alone(fields: dict[str, Any], reason: str) -> None:
    decoded = read_json(a_json_span(**fields), "no span", a_json_span())

    assert len(decoded.spans) == 1
    assert reason in decoded.rejected[0].reason


@pytest.mark.parametrize("time", [str(NANO), NANO, 1.7e18])
def test_o33_times_are_read_from_text_and_numbers(time: Any) -> None:
    assert read_json(a_json_span(startTimeUnixNano=time)).spans[0].start_ns == NANO


@pytest.mark.parametrize(("time", "clamped"), [("-1", 0), (str(2**64), 2**63 - 1)])
def test_times_out_of_range_in_json_are_clamped_and_marked(time: str, clamped: int) -> None:
    (raw,) = read_json(a_json_span(startTimeUnixNano=time)).spans

    assert (raw.start_ns, raw.clock_clamped) == (clamped, True)


def test_o32_snake_case_and_names_of_enums_are_read() -> None:
    status = {"code": "STATUS_CODE_ERROR", "message": "no"}
    span = a_json_span(kind="SPAN_KIND_CLIENT", status=status)
    span["parent_span_id"] = PARENT
    span["span_id"] = span.pop("spanId")

    (raw,) = read_json(span).spans

    assert (raw.span_id, raw.parent, raw.kind, raw.status) == (SPAN, PARENT, 3, 2)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"stringValue": "a\0b"}, "ab"),
        ({"intValue": "42"}, 42),
        ({"intValue": 42}, 42),
        ({"intValue": str(2**70)}, 2**63 - 1),
        ({"intValue": "x"}, None),
        ({"doubleValue": "NaN"}, None),
        ({"doubleValue": "0.5"}, 0.5),
        ({"doubleValue": 1}, 1.0),
        ({"boolValue": True}, True),
        ({"bytesValue": "/wA="}, "/wA="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}]}}, [1, None]),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": False}}]}}, {"a": False}),
        ({"futureValue": 1}, None),
        (None, None),
    ],
)
def test_o41_every_kind_of_json_value_becomes_a_plain_one(value: Any, plain: Any) -> None:
    assert json_value(value) == plain


def test_o31_unknown_fields_are_ignored_at_every_level() -> None:
    new = {"newField": {"a": [1]}}
    span = a_json_span(**new, attributes=[{"key": "k", "value": {**new, "intValue": 1}, **new}])
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span], **new}], **new}], **new}

    assert read_spans(json.dumps(body).encode(), json=True).spans[0].attributes == {"k": 1}


def test_lone_surrogates_and_nan_in_json_cost_no_span() -> None:
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [a_json_span(name="NAME")]}]}]})
    body = text.replace("NAME", "a\\ud800b").replace('"endTime', '"x": NaN, "endTime')

    (raw,) = read_spans(body.encode(), json=True).spans

    assert raw.name == "a\ufffdb"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"resourceSpans": {}}',
        b'{"resourceSpans": [1]}',
        b'{"resourceSpans": [{"scopeSpans": "x"}]}',
        b"\xff\xfe",
        b"[" * 2_000,
        b"[" * 200_000,
        b"1" * 5_000,
    ],
)
def test_a_body_that_is_no_otlp_json_is_bad_otlp(body: bytes) -> None:
    with pytest.raises(BadOtlp):
        read_spans(body, json=True)


@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans": null}'])
def test_a_json_request_may_be_empty(body: bytes) -> None:
    assert read_spans(body, json=True) == Decoded([], [])


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_reading_fail_in_another_way(body: bytes, is_json: bool) -> None:
    with suppress(BadOtlp):
        read_spans(body, json=is_json)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a", "1", "NaN", "\ud800", "0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "value", "stringValue", "arrayValue", "values", "attributes"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["attributes", "events", "status", "kind", "name"]), JSON))
def test_no_json_makes_a_span_fail_in_another_way(fields: dict[str, Any]) -> None:
    with suppress(BadOtlp):
        read_json(a_json_span(**fields))


CHUNK = "gen_ai.content.completion.chunk"


def test_the_exception_behind_many_chunks_is_kept_in_both_encodings() -> None:
    names = [*[CHUNK] * 200, "exception"]
    binary = read(a_span(events=[Span.Event(name=name) for name in names])).spans[0]
    text = read_json(a_json_span(events=[{"name": name} for name in names])).spans[0]
    for raw in (binary, text):
        assert [event.name for event in raw.events] == [CHUNK, "exception"]
        assert (raw.dropped_events, raw.cut) == (199, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": {}},
        {"attributes": [{"key": "x", "value": {"kvlistValue": {"values": {}}}}]},
        {"events": [5]},
        {"events": 5},
        {"links": "x"},
        {"status": "ERROR"},
    ],
)
def test_a_field_of_the_wrong_type_costs_its_own_json_span_only(fields: dict[str, Any]) -> None:
    decoded = read_json(a_json_span(), a_json_span(**fields), a_json_span())
    assert len(decoded.spans) == 2
    assert len(decoded.rejected) == 1


@pytest.mark.parametrize(("sent", "kept"), [(1e30, 2**32 - 1), (-5, 0), ("7", 7), ("x", 0)])
def test_a_count_of_dropped_attributes_can_be_stored(sent: Any, kept: int) -> None:
    (raw,) = read_json(a_json_span(droppedAttributesCount=sent)).spans
    assert raw.dropped_attributes == kept


def test_r15_a_span_keeps_a_mebibyte_of_texts_and_its_numbers() -> None:
    sent = Span(trace_id=b"1" * 16, span_id=b"2" * 8, name="chat")
    for number in range(40):
        sent.attributes.add(key=f"app.text{number}").value.string_value = "x" * 60_000
    sent.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 7
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(sent)

    protobuf = read_spans(request.SerializeToString(), json=False).spans[0]
    as_json = MessageToDict(request)
    span = as_json["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span |= {"traceId": "31" * 16, "spanId": "32" * 8}
    found = read_spans(json.dumps(as_json).encode(), json=True).spans[0]

    for raw in (protobuf, found):
        texts = [text for text in raw.attributes.values() if isinstance(text, str)]
        assert 2**20 - 70_000 < sum(map(len, texts)) <= 2**20
        assert raw.attributes["gen_ai.usage.input_tokens"] == 7
        assert (raw.cut, raw.dropped_attributes) == (True, 41 - len(raw.attributes) + 1)
    assert protobuf.attributes == found.attributes


def test_r13_what_every_span_carries_is_bounded() -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    group.resource.attributes.add(key="process.command_line").value.string_value = "x" * 60_000
    scope = group.scope_spans.add()
    scope.scope.name = "s" * 100_000
    scope.spans.add(trace_id=b"1" * 16, span_id=b"2" * 8, name="n" * 100_000)

    (raw,) = read_spans(request.SerializeToString(), json=False).spans

    assert raw.resource["service.name"] == "shop"
    assert sum(map(len, raw.resource.values())) <= 16 * 1024
    assert (len(raw.scope_name), len(raw.name)) == (1024, 1024)
