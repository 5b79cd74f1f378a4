from __future__ import annotations

import gzip
import itertools
import json
import os
import socket
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from bench.bodies import Body, build
from bench.servers import Collector
from tests.collector.conftest import Metric
from tidegauge.call import Call

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
LIMIT = 16 * 2**20

Stored = Callable[[bytes], Sequence[Call]]
_seeds = itertools.count(1)


def good() -> Body:
    return build(4, next(_seeds))


def json_body(**span: Any) -> dict[str, Any]:
    """Return a request of one good span that ``span`` changes."""
    whole = {
        "traceId": os.urandom(16).hex(),
        "spanId": os.urandom(8).hex(),
        "name": "chat",
        "startTimeUnixNano": "1767225600000000000",
        "endTimeUnixNano": "1767225601000000000",
        **span,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [whole]}]}]}


def nested_protobuf(levels: int) -> bytes:
    value = AnyValue(string_value="x")
    for _ in range(levels):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    request = ExportTraceServiceRequest.FromString(good().raw)
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep", value=value)
    return request.SerializeToString()


def deep_json(levels: int) -> bytes:
    head = b'{"arrayValue":{"values":['
    tail = b"]}}"
    value = head * levels + b'{"stringValue":"x"}' + tail * levels
    body = json.dumps(json_body(attributes=[{"key": "deep", "value": "HERE"}])).encode()
    return body.replace(b'"HERE"', value)


def span_bomb() -> bytes:
    spans = b"\x12\x00" * 60_000
    scope = b"\x12" + _varint(len(spans)) + spans
    return b"\x0a" + _varint(len(scope)) + scope


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decoded_status(response: httpx.Response) -> str:
    if response.headers["content-type"] == "application/json":
        return str(response.json()["message"])
    assert response.headers["content-type"] == "application/x-protobuf"
    status = Status()
    status.ParseFromString(response.content)
    return str(status.message)


BAD: dict[str, tuple[Callable[[], bytes], dict[str, str], int, str]] = {
    "truncated protobuf": (lambda: good().raw[:-7], PROTOBUF, 400, "bad_otlp"),
    "protobuf that is none": (lambda: b"hello", PROTOBUF, 400, "bad_otlp"),
    "bad JSON": (lambda: b'{"resourceSpans": [', JSON, 400, "bad_otlp"),
    "JSON of the wrong types": (lambda: b'{"resourceSpans": 7}', JSON, 400, "bad_otlp"),
    "an unknown content type": (lambda: b"x", {"Content-Type": "text/xml"}, 415, "unknown_type"),
    "no content type": (lambda: good().raw, {}, 415, "unknown_type"),
    "an unknown encoding": (
        lambda: good().raw,
        {**PROTOBUF, "Content-Encoding": "br"},
        415,
        "unknown_encoding",
    ),
    "gzip that is none": (lambda: good().raw, {**PROTOBUF, **GZIP}, 400, "bad_encoding"),
    "gzip that is cut off": (lambda: good().packed[:-9], {**PROTOBUF, **GZIP}, 400, "bad_encoding"),
    "65 MB": (lambda: bytes(65_000_000), PROTOBUF, 413, "too_large"),
    "65 MB of JSON": (lambda: b" " * 65_000_000, JSON, 413, "too_large"),
    "65 MB in 65 kB of gzip": (
        lambda: gzip.compress(bytes(65_000_000)),
        {**PROTOBUF, **GZIP},
        413,
        "too_large",
    ),
    "60,000 empty spans": (span_bomb, PROTOBUF, 413, "too_large"),
    "nesting of 40 levels": (lambda: nested_protobuf(40), PROTOBUF, 400, "bad_otlp"),
    "JSON nesting of 100 levels": (lambda: deep_json(100), JSON, 400, "bad_otlp"),
    "JSON nesting of 100,000 levels": (lambda: deep_json(100_000), JSON, 400, "bad_otlp"),
}


@pytest.mark.parametrize("name", BAD)
def test_o17_bad_input_is_refused_counted_and_harms_nobody(
    name: str, client: httpx.Client, metric: Metric, stored: Stored
) -> None:
    make, headers, code, reason = BAD[name]
    counter = f'tidegauge_refusals_total{{reason="{reason}"}}'
    before = metric(counter)

    refused = client.post("/v1/traces", content=make(), headers=headers)
    assert refused.status_code == code
    assert decoded_status(refused)
    assert metric(counter) == before + 1

    body = good()
    assert client.post("/v1/traces", content=body.raw, headers=PROTOBUF).status_code == 200
    assert len(stored(body.keys[0][0])) == 4


def test_o04_o16_a_refusal_speaks_the_encoding_of_its_request(client: httpx.Client) -> None:
    bad = client.post("/v1/traces", content=b"\xff", headers=PROTOBUF)
    assert bad.headers["content-type"] == "application/x-protobuf"
    assert Status.FromString(bad.content).code == 3
    bad = client.post("/v1/traces", content=b"\xff", headers=JSON)
    assert bad.json()["code"] == 3


@pytest.mark.parametrize(
    "ids", [("00" * 16, "01" * 8), ("01" * 16, "00" * 8), ("01" * 3, "01" * 8)]
)
def test_o13_a_span_with_bad_ids_is_rejected_alone(
    ids: tuple[str, str], client: httpx.Client, metric: Metric, stored: Stored
) -> None:
    body = good()
    request = ExportTraceServiceRequest.FromString(body.raw)
    bad = request.resource_spans[0].scope_spans[0].spans[1]
    bad.trace_id, bad.span_id = (bytes.fromhex(part) for part in ids)
    which = "trace_id" if ids[1] == "01" * 8 else "span_id"
    counter = f'tidegauge_rejected_spans_total{{reason="bad_{which}"}}'
    before = metric(counter)

    answer = client.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)

    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 1
    assert which in partial.error_message
    assert metric(counter) == before + 1
    assert len(stored(body.keys[0][0])) == 3


def test_o15_a_thousand_rejected_spans_fit_a_short_answer(client: httpx.Client) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add().scope_spans.add()
    for size in range(1000):
        group.spans.add(trace_id=bytes(size), span_id=b"12345678")
    answer = client.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 1000
    assert "other reasons" in partial.error_message
    assert len(answer.content) < 4096


def test_o13_json_says_the_number_of_rejected_spans_as_a_string(client: httpx.Client) -> None:
    answer = client.post("/v1/traces", json=json_body(traceId="00" * 16))
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"


ODD: dict[str, dict[str, Any]] = {
    "a start of zero": {"startTimeUnixNano": "0"},
    "an end before the start": {"endTimeUnixNano": "1"},
    "a time in the year 2262": {
        "startTimeUnixNano": "9223372036854775807",
        "endTimeUnixNano": "9223372036854775807",
    },
    "a time beyond 64 signed bits": {
        "startTimeUnixNano": "18446744073709551615",
        "endTimeUnixNano": "18446744073709551615",
    },
    "NaN and infinities": {
        "attributes": [
            {"key": "gen_ai.request.temperature", "value": {"doubleValue": "NaN"}},
            {"key": "x", "value": {"doubleValue": "-Infinity"}},
        ]
    },
    "a lone surrogate": {
        "name": "\ud800",
        "attributes": [{"key": "x", "value": {"stringValue": "a\udfffb"}}],
    },
    "NUL": {"name": "a\0b", "attributes": [{"key": "a\0", "value": {"stringValue": "\0"}}]},
    "an unknown kind": {"kind": 99},
    "all flags": {"flags": 0xFFFFFFFF},
    "an unknown field": {"newField": {"a": 1}},
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_are_stored_in_a_form_that_can_be_read(
    name: str, client: httpx.Client, stored: Stored
) -> None:
    request = json_body(**ODD[name])
    body = json.dumps(request)  # its escapes are how a lone surrogate travels
    answer = client.post("/v1/traces", content=body, headers=JSON)
    assert (answer.status_code, answer.content) == (200, b"{}")
    span = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    found = stored(bytes.fromhex(span["traceId"]))
    assert [call.span_id for call in found] == [span["spanId"]]
    assert "\0" not in found[0].name


def test_a_negative_time_harms_no_neighbour(client: httpx.Client, stored: Stored) -> None:
    request = json_body()
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append({**spans[0], "spanId": "ab" * 8, "startTimeUnixNano": "-5"})
    answer = client.post("/v1/traces", json=request)
    assert answer.status_code == 200
    rejected = int(answer.json().get("partialSuccess", {}).get("rejectedSpans", "0"))
    found = stored(bytes.fromhex(spans[0]["traceId"]))
    assert spans[0]["spanId"] in [call.span_id for call in found]
    assert len(found) == 2 - rejected


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/traces/"])
@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_o12_an_empty_request_is_a_success_in_json(
    path: str, kind: str, client: httpx.Client
) -> None:
    answer = client.post(path, content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"


def test_o11_a_full_success_is_an_empty_protobuf(client: httpx.Client) -> None:
    for body in (b"", good().raw):
        answer = client.post("/v1/traces", content=body, headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "identity"])
def test_o01_o48_every_encoding_stores_the_same(
    encoding: str, client: httpx.Client, stored: Stored
) -> None:
    body = good()
    packed = {"deflate": zlib.compress(body.raw), "identity": body.raw}.get(encoding, body.packed)
    headers = {**PROTOBUF, "Content-Encoding": encoding}
    assert client.post("/v1/traces", content=packed, headers=headers).status_code == 200
    assert len(stored(body.keys[0][0])) == 4


def test_o48_a_chunked_body_needs_no_length(client: httpx.Client, stored: Stored) -> None:
    body = good()

    def pieces() -> Iterator[bytes]:
        yield body.raw[:100]
        yield body.raw[100:]

    assert client.post("/v1/traces", content=pieces(), headers=PROTOBUF).status_code == 200
    assert len(stored(body.keys[0][0])) == 4


def test_o08_a_chunked_body_without_end_is_cut_at_the_limit(client: httpx.Client) -> None:
    piece = bytes(2**20)
    pieces = itertools.repeat(piece, 20)
    assert client.post("/v1/traces", content=pieces, headers=PROTOBUF).status_code == 413


def test_o22_the_same_batch_twice_is_acknowledged_twice_and_stored_once(
    client: httpx.Client, metric: Metric, stored: Stored
) -> None:
    body, duplicates = good(), 'tidegauge_spans_total{outcome="duplicate"}'
    before = metric(duplicates)
    for _ in range(2):
        answer = client.post("/v1/traces", content=body.raw, headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
    assert metric(duplicates) == before + 4
    assert len(stored(body.keys[0][0])) == 4


def test_o05_an_answer_is_plain_even_to_a_client_that_takes_gzip(client: httpx.Client) -> None:
    headers = PROTOBUF | {"Accept-Encoding": "gzip"}
    answer = client.post("/v1/traces", content=b"\x01", headers=headers)
    assert (answer.status_code, answer.headers.get("content-encoding")) == (400, None)
    assert Status.FromString(answer.content).message


def test_o02_an_unknown_path_names_the_right_ones(client: httpx.Client) -> None:
    for path in ("/", "/v1/traces/v1/traces", "/v1/spans"):
        answer = client.post(path, content=b"", headers=PROTOBUF)
        assert answer.status_code == 404
        assert "/v1/traces" in decoded_status(answer)


def test_o02_another_method_is_not_allowed(client: httpx.Client) -> None:
    answer = client.get("/v1/traces")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert "GET" in decoded_status(answer)


def test_a_client_that_leaves_in_the_middle_is_counted(
    collector: Collector, metric: Metric
) -> None:
    counter = 'tidegauge_refusals_total{reason="disconnected"}'
    before = metric(counter)
    host, port = collector.http.split(":")
    with socket.create_connection((host, int(port))) as left:
        head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        left.sendall(head + b"Content-Length: 100\r\n\r\nabc")
    for _ in range(100):
        if metric(counter) == before + 1:
            break
    assert metric(counter) == before + 1
    assert metric("tidegauge_in_flight_bytes") == 0


def test_the_collector_says_that_it_is_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").text == "ok\n"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert ready.json()["database"].startswith("SQLite 3.")


def test_metrics_are_prometheus_text(client: httpx.Client) -> None:
    client.post("/v1/traces", content=good().raw, headers=PROTOBUF)
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE tidegauge_spans_total counter" in answer.text
    line = 'tidegauge_requests_total{answer="ok",protocol="http",signal="traces"}'
    assert line in answer.text


@pytest.mark.parametrize("path", ["/v1/traces/v1/traces", "/v1/traces/v1/traces/"])
def test_o02_a_doubled_path_is_explained(path: str, client: httpx.Client) -> None:
    answer = client.post(path, content=b"", headers=PROTOBUF)
    assert answer.status_code == 404
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in decoded_status(answer)


def test_o02_profiles_are_not_taken(client: httpx.Client) -> None:
    answer = client.post("/v1development/profiles", content=b"{}", headers=JSON)
    assert answer.status_code == 404
    assert "profiles are not taken" in answer.json()["message"]


@pytest.mark.parametrize(
    "path", ["/", "/v1/traces/", "/v1/traces", "//v1/traces", "/V1/traces", "/v1", "/healthz/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "HEAD"])
def test_nothing_is_ever_redirected(method: str, path: str, client: httpx.Client) -> None:
    answer = client.request(method, path, headers=JSON)
    assert not 300 <= answer.status_code < 400
    if path != "/v1/traces" and path != "/v1/traces/":
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("kind", "answered"),
    [
        ("application/x-protobuf", "application/x-protobuf"),
        ("Application/X-Protobuf", "application/x-protobuf"),
        ("application/x-protobuf; charset=utf-8", "application/x-protobuf"),
        ("application/json", "application/json"),
        ("Application/JSON ; charset=UTF-8", "application/json"),
    ],
)
def test_o03_o04_every_status_speaks_the_type_of_its_request(
    kind: str, answered: str, client: httpx.Client
) -> None:
    json_sent = answered == "application/json"
    bodies: dict[int, tuple[str, bytes, dict[str, str]]] = {
        200: ("/v1/traces", b"{}" if json_sent else b"", {}),
        400: ("/v1/traces", b"\xff", {}),
        404: ("/v1/nothing", b"", {}),
        413: ("/v1/traces", bytes(LIMIT + 1), {}),
        415: ("/v1/traces", b"", {"Content-Encoding": "zstd"}),
    }
    for code, (path, content, more) in bodies.items():
        answer = client.post(path, content=content, headers={"Content-Type": kind, **more})
        assert answer.status_code == code
        assert answer.headers["content-type"] == answered
        if code != 200:
            assert decoded_status(answer)


def test_o16_bad_data_says_which_part_is_bad(client: httpx.Client) -> None:
    bad = client.post("/v1/traces", content=b"\xff", headers=PROTOBUF)
    details = BadRequest()
    assert Status.FromString(bad.content).details[0].Unpack(details)
    assert details.field_violations[0].field == "body"
    bad = client.post("/v1/traces", content=b"{", headers={**JSON, **GZIP})
    parsed = json_format.Parse(bad.content, Status())
    assert parsed.details[0].Unpack(details)
    assert details.field_violations[0].field == "content-encoding"


def test_o48_every_member_of_a_gzip_body_is_read(client: httpx.Client, stored: Stored) -> None:
    body = good()
    packed = gzip.compress(body.raw[:100]) + gzip.compress(body.raw[100:])
    answer = client.post("/v1/traces", content=packed, headers={**PROTOBUF, **GZIP})
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(stored(body.keys[0][0])) == 4


def test_o08_a_length_beyond_the_limit_is_refused_before_the_body(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port or 0), timeout=10) as sender:
        head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        sender.sendall(head + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1))
        assert sender.recv(4096).startswith(b"HTTP/1.1 413 ")
