"""Bugs that clients and other receivers have had with OTLP, each with what must happen here."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Iterator

import httpx
import orjson
import pytest
from google.rpc.status_pb2 import Status

from bench.servers import Collector
from tests.conformance.conftest import Stored
from tests.conformance.wire import (
    NANO,
    NO_TLS,
    Answer,
    Send,
    a_span,
    as_json,
    encoded,
    over,
    request_of,
    spans_of,
)

JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}

# Ids in base64 and names of enums: test_o_json.py, O-30 and O-32.


@pytest.fixture
def client(collector: Collector) -> Iterator[httpx.Client]:
    url = f"http://{collector.http}"
    with httpx.Client(base_url=url, timeout=20, verify=NO_TLS) as client:
        yield client


def told(answer: httpx.Response, headers: dict[str, str]) -> str:
    """Return the message of a refusal, which is a Status in the encoding of the request."""
    assert answer.headers["content-type"] == headers["Content-Type"]
    if headers is JSON:
        return str(answer.json()["message"])
    return str(Status.FromString(answer.content).message)


@pytest.mark.parametrize("headers", [JSON, PROTOBUF], ids=["json", "protobuf"])
@pytest.mark.parametrize("path", ["/v1/traces/v1/traces", "/", "", "/v1/trace", "/api/v1/traces"])
def test_a_wrong_path_is_404_and_names_the_right_one(
    path: str, headers: dict[str, str], client: httpx.Client
) -> None:
    """An SPA that answers 200 to a POST of ``/`` makes every client believe that it delivered."""
    transport = "json" if headers is JSON else "protobuf"
    body = encoded(request_of([a_span()]), transport)
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == 404
    assert "/v1/traces" in told(answer, headers)


def test_a_path_that_is_there_twice_is_explained(client: httpx.Client) -> None:
    answer = client.post("/v1/traces/v1/traces", content=b"{}", headers=JSON)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in told(answer, JSON)


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/traces/", "/v1/logs/", "/v1/metrics/"])
def test_no_path_of_otlp_redirects(path: str, client: httpx.Client) -> None:
    """A redirected POST becomes a GET or is not sent again, and clients count it as delivered."""
    answer = client.post(path, content=b"{}", headers=JSON, follow_redirects=False)
    assert (answer.status_code, "location" in answer.headers) == (200, False)


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gzip"])
def test_a_chunked_body_without_a_length_is_read(
    packed: bool, client: httpx.Client, stored: Stored
) -> None:
    span = a_span()
    body = encoded(request_of([span]), "json")
    body = gzip.compress(body) if packed else body
    headers = JSON | ({"Content-Encoding": "gzip"} if packed else {})
    pieces = iter([body[:10], body[10:50], body[50:]])
    answer = client.post("/v1/traces", content=pieces, headers=headers)
    assert "content-length" not in answer.request.headers
    assert (answer.status_code, answer.json()) == (200, {})
    assert len(stored(span.trace_id)) == 1


def raw_exchange(collector: Collector, head: str, body: bytes) -> bytes:
    """Send bytes as they are, say that no more will come, and return all that is answered."""
    host, port = collector.http.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


@pytest.mark.parametrize("error", [-7, 1_000], ids=["too short", "too long"])
def test_a_wrong_content_length_with_gzip_stores_nothing_and_harms_nobody(
    error: int, collector: Collector, client: httpx.Client, stored: Stored
) -> None:
    """Node's exporter once gave the length before compression: the rest would never come."""
    span = a_span()
    body = gzip.compress(encoded(request_of([span]), "json"))
    head = (
        f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Encoding: gzip\r\nContent-Length: {len(body) + error}\r\n\r\n"
    )
    received = raw_exchange(collector, head, body)
    assert b" 200 " not in received.split(b"\r\n", 1)[0]
    if error < 0:
        assert received.startswith(b"HTTP/1.1 400 ")
    assert stored(span.trace_id) == []
    assert client.post("/v1/traces", content=b"{}", headers=JSON).status_code == 200


def test_the_answer_to_json_is_never_empty(client: httpx.Client) -> None:
    """An empty text is no JSON: clients that parse the answer failed on it."""
    for path in ("/v1/traces", "/v1/logs", "/v1/metrics"):
        answer = client.post(path, content=b"{}", headers=JSON)
        assert isinstance(answer.json(), dict)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/nothing", "/"])
def test_no_answer_is_html(method: str, path: str, client: httpx.Client) -> None:
    answer = client.request(method, path, headers=JSON)
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/json"


def test_an_ordinary_batch_of_more_than_4_mib_is_taken_over_grpc(
    collector: Collector, stored: Stored
) -> None:
    span = a_span()
    spans = [a_span() for _ in range(99)]
    for one in (span, *spans):
        one.attributes.add(key="gen_ai.prompt").value.string_value = "x" * 60_000
    body = encoded(request_of([span, *spans]), "grpc")
    assert len(body) > 5 * 2**20
    assert over("grpc", collector)(body) == Answer("OK")
    assert len(stored(span.trace_id)) == 1


def test_times_that_javascript_rounded_are_off_by_less_than_a_microsecond(
    send_json: Send, stored: Stored
) -> None:
    """Old exporters for Node sent times as numbers, which a double does not hold."""
    span = a_span()
    whole = as_json(request_of([span]))
    spans_of(whole)[0].update(
        startTimeUnixNano=float(NANO + 123_456_789), endTimeUnixNano=float(NANO + 10**9)
    )
    body = orjson.dumps(whole)
    assert re.search(rb'"startTimeUnixNano":1\.7672\d+e\+?18', body)
    assert send_json(body) == Answer(200)
    (call,) = stored(span.trace_id)
    assert abs(call.started_at.timestamp() - (NANO + 123_456_789) / 1e9) < 2e-6
    assert not call.clock_invalid
