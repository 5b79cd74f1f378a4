"""Spans that no honest exporter sends: both databases keep the same of them, and no more than fits."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.bodies import build
from bench.insist import PROTOBUF, Line, get
from bench.servers import Collector
from tests.faults.databases import fresh_database
from tidegauge.call import Call
from tidegauge.store import spans
from tidegauge.store.engine import Engine, open_engine, read

JSON = "application/json"
REFUSED = {400, 413}  # never sent again
MIB = 2**20
_ids = itertools.count(1)


class Place:
    """A running collector, its database, and a connection to it."""

    def __init__(self, url: str) -> None:
        self.collector = Collector(url)
        self.line = Line(self.collector.http)
        self.engine: Engine = open_engine(url)

    def trace(self, trace_id: bytes) -> list[Call]:
        """Return what is stored of a trace."""
        with read(self.engine) as db:
            return spans.trace(db, "default", trace_id.hex())

    def end(self) -> str:
        """Stop the collector; return its log."""
        with self.line:
            self.engine.dispose()
        code, log = self.collector.stop()
        assert code == 0
        return log


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str
) -> Iterator[tuple[Place, Place]]:
    """Return a collector on each kind of database; nothing of this module may upset them."""
    folder: Path = tmp_path_factory.mktemp("hostile")

    with fresh_database(postgres_server) as url:
        both = (Place(f"sqlite:///{folder / 't.db'}"), Place(url))
        yield both
        for place in both:
            assert place.line.post(build(2, next(_ids)).raw).status == 200
            log = place.end()
            assert "RecursionError" not in log
            assert "Traceback" not in log
            assert "unexpected" not in log


def new_span(**fields: Any) -> Span:
    number = next(_ids)
    given: dict[str, Any] = {
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "name": "chat",
        "start_time_unix_nano": time.time_ns() - 10**9,
        "end_time_unix_nano": time.time_ns(),
    }
    return Span(**{**given, **fields})


def request_of(*found: Span) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(found)
    return request.SerializeToString()


def nested(levels: int) -> AnyValue:
    value = AnyValue(string_value="leaf")
    for _ in range(levels):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    return value


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def deep_protobuf(levels: int) -> bytes:
    value = field(1, b"leaf")
    for _ in range(levels):
        value = field(5, field(1, value))
    span = field(1, b"1" * 16) + field(2, b"2" * 8)
    attribute = field(9, field(1, b"k") + field(2, value))
    return field(1, field(2, field(2, span + attribute)))


def json_span(value: str, **fields: Any) -> bytes:
    number = next(_ids)
    given = {"traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "chat", **fields}
    attribute = '"attributes": [{"key": "k", "value": ' + value + "}]"
    inner = json.dumps(given)[:-1] + ", " + attribute + "}"
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[' + inner + "]}]}]}").encode()


@pytest.mark.parametrize("levels", [48, 10_000])
def test_r14_protobuf_nested_too_deeply_is_refused(
    places: tuple[Place, Place], levels: int
) -> None:
    for place in places:
        assert place.line.post(deep_protobuf(levels)).status in REFUSED


@pytest.mark.parametrize("levels", [1_000, 100_000])
@pytest.mark.parametrize("wrap", ["known", "unknown"])
def test_r14_json_nested_too_deeply_is_refused(
    places: tuple[Place, Place], levels: int, wrap: str
) -> None:
    value = '{"arrayValue":{"values":[' * levels + '{"intValue":1}' + "]}}" * levels
    body = json_span(value if wrap == "known" else "[" * levels + "]" * levels)
    for place in places:
        assert place.line.post(body, JSON).status in REFUSED


def test_r15_ten_thousand_attributes_are_cut_told_and_counted(places: tuple[Place, Place]) -> None:
    span = new_span()
    for number in range(10_000):
        span.attributes.add(key=f"app.k{number}").value.string_value = "x" * 20
    for place in places:
        assert place.line.post(request_of(span)).status == 200
        (call,) = place.trace(span.trace_id)
        assert len(call.attributes) < 200
        assert 'kind="attributes_cut"' in get(place.collector.http, "/metrics")[1]


def test_r15_long_values_are_cut_to_a_bounded_size(places: tuple[Place, Place]) -> None:
    found = []
    for key in ("app.note", "gen_ai.input.messages", "gen_ai.output.messages", "input.value"):
        span = new_span()
        text = random.Random(1).randbytes(MIB // 2).hex()
        for number in range(10):
            span.attributes.add(key=f"{key}.{number}").value.string_value = text
        found.append(span)
    for place, span in itertools.product(places, found):
        assert place.line.post(request_of(span)).status == 200
        (call,) = place.trace(span.trace_id)
        kept = json.dumps([call.input, call.output, call.attributes], default=str)
        assert len(kept) <= 1.2 * MIB, span.attributes[0].key


HOSTILE_JSON = (
    *('{"doubleValue": 1e400}', '{"doubleValue": "NaN"}', '{"doubleValue": "-Infinity"}'),
    *('{"intValue": "9223372036854775808"}', '{"intValue": 18446744073709551615}'),
    *('{"stringValue": "a\\u0000b"}', '{"stringValue": "\\ud800"}', '{"stringValue": "\\udfff x"}'),
    *(
        '{"bytesValue": "AAA="}',
        '{"bytesValue": "not base64!"}',
        '{"stringValue": 5}',
        "null",
        "{}",
    ),
)


@pytest.mark.parametrize("value", HOSTILE_JSON)
def test_r16_a_hostile_json_value_is_answered_alike_and_stored_alike(
    places: tuple[Place, Place], value: str
) -> None:
    start = str(time.time_ns() - 10**9)
    body = json_span(value, startTimeUnixNano=start, endTimeUnixNano=start)
    trace_id = bytes.fromhex(
        json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
    )
    answers = [place.line.post(body, JSON).status for place in places]
    assert answers[0] == answers[1]
    assert answers[0] in {200, 400}
    assert same(*(place.trace(trace_id) for place in places))


TEXT = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\x00", "a\x00b", "\uffff", "\U0001d518"]
)
KEYS = st.sampled_from(
    [
        *("gen_ai.operation.name", "gen_ai.request.model", "gen_ai.usage.input_tokens"),
        *("gen_ai.usage.output_tokens", "gen_ai.request.temperature", "gen_ai.input.messages"),
        *("gen_ai.response.finish_reasons", "gen_ai.request.max_tokens", "session.id", "app.x"),
        *("gen_ai.output.messages", "gen_ai.response.time_to_first_chunk", "error.type"),
        *("http.response.status_code", "llm.token_count.prompt", "openinference.span.kind"),
    ]
)
INTS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63 - 1])
FLOATS = st.floats() | st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e308, -0.0])
TIMES = st.sampled_from([0, 1, 10**18, 2**63 - 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
SCALARS = st.one_of(
    TEXT.map(lambda v: AnyValue(string_value=v)),
    INTS.map(lambda v: AnyValue(int_value=v)),
    FLOATS.map(lambda v: AnyValue(double_value=v)),
    st.booleans().map(lambda v: AnyValue(bool_value=v)),
    st.binary(max_size=20).map(lambda v: AnyValue(bytes_value=v)),
    st.just(AnyValue()),
    st.just(nested(30)),
)
ATTRIBUTES = st.lists(st.tuples(KEYS | TEXT, SCALARS), max_size=8)
HOSTILE = st.tuples(TEXT, TIMES, TIMES, ATTRIBUTES, st.integers(0, 2**31 - 1), TEXT)


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(hostile=st.lists(HOSTILE, min_size=1, max_size=4))
def test_r16_hostile_spans_cost_no_good_one_and_are_stored_alike(
    places: tuple[Place, Place], hostile: Sequence[Any]
) -> None:
    good, *bad = new_span(), new_span(trace_id=bytes(16)), new_span(span_id=b"short")
    odd = [odd_span(*one) for one in hostile]
    body = request_of(good, *bad, *odd)
    assert [place.line.post(body, PROTOBUF).status for place in places] == [200, 200]
    assert [len(place.trace(good.trace_id)) for place in places] == [1, 1]
    for span in odd:
        lite, pg = (place.trace(span.trace_id) for place in places)
        assert len(lite) == 1
        assert same(lite, pg)


def odd_span(
    name: str, start: int, end: int, pairs: Sequence[tuple[str, AnyValue]], kind: int, text: str
) -> Span:
    span = new_span(name=name, start_time_unix_nano=start, end_time_unix_nano=end)
    span.kind = kind % 7  # type: ignore[assignment]
    span.status.message = text
    for key, value in pairs:
        span.attributes.add(key=key).value.CopyFrom(value)
    return span


def same(lite: Sequence[Call], pg: Sequence[Call]) -> bool:
    """Return whether both databases give the same calls back."""
    return [dataclasses.asdict(call) for call in lite] == [dataclasses.asdict(call) for call in pg]
