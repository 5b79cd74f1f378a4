"""One request over each of OTLP's transports, and what came back."""

from __future__ import annotations

import base64
import gzip
import os
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.servers import Collector

NANO = 1_767_225_600_000_000_000  # 2026-01-01
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
IDS = ("traceId", "spanId", "parentSpanId")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each request reads all authorities first
TRANSPORTS = ("protobuf", "json", "grpc")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client learns: the status, and for a success what was left out of it."""

    code: int | str  # of HTTP, or the name of gRPC's
    rejected: int = 0
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.code in (200, "OK")

    @property
    def is_permanent(self) -> bool:
        """Return whether no client may send it again."""
        return self.code in (400, 413, "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


Send = Callable[[bytes], Answer]


def a_span(**fields: Any) -> Span:
    """Return a span with ids of its own; ``fields`` change it."""
    usual: dict[str, Any] = {
        "trace_id": os.urandom(16),
        "span_id": os.urandom(8),
        "name": "chat",
        "start_time_unix_nano": NANO,
        "end_time_unix_nano": NANO + 1_000_000_000,
    }
    return Span(**(usual | fields))


def request_of(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "bot"
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = "scope", "1.0"
    scope.spans.extend(spans)
    return request


def as_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """Return a request in OTLP/JSON: protobuf's JSON, but for ids and enums."""
    whole: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    for span in spans_of(whole):
        for item in (span, *span.get("links", ())):
            for name in IDS:
                if name in item:
                    item[name] = base64.b64decode(item[name]).hex()
    return whole


def spans_of(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all spans of a request in JSON."""
    return [
        span
        for group in whole.get("resourceSpans", ())
        for scope in group.get("scopeSpans", ())
        for span in scope.get("spans", ())
    ]


def encoded(request: ExportTraceServiceRequest, transport: str) -> bytes:
    """Return the body that a transport carries."""
    if transport == "json":
        return orjson.dumps(as_json(request))
    return request.SerializeToString()


def with_future_fields(message: Message) -> bytes:
    """Return a message with a field 999 that nobody knows yet, at every level of it."""
    body = b""
    for field, value in message.ListFields():
        if field.message_type is None:
            body += type(message)(**{field.name: value}).SerializeToString()
            continue
        for item in value if field.is_repeated else [value]:
            inner = with_future_fields(item)
            body += varint(field.number << 3 | 2) + varint(len(inner)) + inner
    return body + varint(999 << 3 | 2) + b"\x06future"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def over(transport: str, collector: Collector, *, packed: bool = False) -> Send:
    """Return what sends a body over one transport, compressed or not."""
    if transport == "grpc":
        return lambda body: _over_grpc(collector, body, packed=packed)
    kind = "application/json" if transport == "json" else "application/x-protobuf"
    return lambda body: _over_http(collector, body, kind, packed=packed)


def _over_http(collector: Collector, body: bytes, kind: str, *, packed: bool) -> Answer:
    headers = {"Content-Type": kind} | ({"Content-Encoding": "gzip"} if packed else {})
    content = gzip.compress(body, 1) if packed else body
    url = f"http://{collector.http}/v1/traces"
    answer = httpx.post(url, content=content, headers=headers, timeout=20, verify=NO_TLS)
    # The answer is always in the encoding of the request: clients decode it with that.
    assert answer.headers["content-type"] == kind
    if answer.status_code != 200:
        told = answer.json() if kind.endswith("json") else Status.FromString(answer.content)
        message = told["message"] if isinstance(told, dict) else told.message
        return Answer(answer.status_code, message=message)
    if kind.endswith("json"):
        partial = answer.json().get("partialSuccess", {})
        rejected = partial.get("rejectedSpans", "0")
        assert isinstance(rejected, str)  # 64 bits are text in OTLP/JSON
        return Answer(200, int(rejected), partial.get("errorMessage", ""))
    return _partial(200, ExportTraceServiceResponse.FromString(answer.content))


def _over_grpc(collector: Collector, body: bytes, *, packed: bool) -> Answer:
    with grpc.insecure_channel(collector.grpc) as channel:
        export = channel.unary_unary(
            METHOD, response_deserializer=ExportTraceServiceResponse.FromString
        )
        compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
        try:
            return _partial("OK", export(body, timeout=20, compression=compression))
        except grpc.RpcError as error:
            return Answer(error.code().name, message=error.details() or "")


def _partial(code: int | str, response: ExportTraceServiceResponse) -> Answer:
    partial = response.partial_success
    return Answer(code, partial.rejected_spans, partial.error_message)
