"""Protobuf and JSON of one request are read as the same spans, whatever they hold."""

from __future__ import annotations

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.otlp import read_spans
from tests.conformance.wire import as_json, request_of

uint32 = st.integers(0, 2**32 - 1)
uint64 = st.sampled_from([0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
texts = st.text(max_size=8) | st.sampled_from(["", "\0", "a\0b", "ß", "🌍", "[1]"])


scalars = (
    st.builds(AnyValue)
    | st.builds(AnyValue, string_value=texts)
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=st.floats())
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, bytes_value=st.binary(max_size=9))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=3)))
        | st.builds(
            AnyValue,
            kvlist_value=st.builds(
                KeyValueList,
                values=st.lists(st.builds(KeyValue, key=texts, value=inner), max_size=3),
            ),
        )
    ),
    max_leaves=6,
)
attributes = st.lists(st.builds(KeyValue, key=texts, value=values), max_size=4)
span_ids = st.binary(min_size=8, max_size=8) | st.binary(max_size=9) | st.just(bytes(8))
spans = st.builds(
    Span,
    trace_id=st.binary(min_size=16, max_size=16) | st.binary(max_size=17),
    span_id=span_ids,
    parent_span_id=span_ids,
    name=texts,
    kind=st.integers(0, 99),
    start_time_unix_nano=uint64,
    end_time_unix_nano=uint64,
    attributes=attributes,
    dropped_attributes_count=uint32,
    dropped_events_count=uint32,
    flags=uint32,
    events=st.lists(
        st.builds(Span.Event, name=texts, time_unix_nano=uint64, attributes=attributes), max_size=2
    ),
    links=st.lists(st.builds(Span.Link, trace_id=st.binary(max_size=17)), max_size=2),
    status=st.builds(Status, code=st.integers(0, 5), message=texts),
)


@given(st.lists(spans, max_size=3))
def test_o01_both_encodings_of_a_request_are_read_alike(sent: list[Span]) -> None:
    request = request_of(sent)
    binary = read_spans(request.SerializeToString(), json=False)
    text = read_spans(orjson.dumps(as_json(request)), json=True)
    assert text.spans == binary.spans
    assert len(text.rejected) == len(binary.rejected)


@given(st.lists(spans, max_size=3))
def test_o01_json_with_indents_and_escapes_is_read_alike(sent: list[Span]) -> None:
    whole = as_json(request_of(sent))
    plain = read_spans(orjson.dumps(whole), json=True)
    spelled = json.dumps(whole, indent=1, ensure_ascii=True).encode()
    assert read_spans(spelled, json=True) == plain
