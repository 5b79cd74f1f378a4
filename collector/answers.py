"""What a sender is answered: OTLP responses and google.rpc.Status, in protobuf or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.intake import Rejection

REASONS = 10  # told of one request; with REASON_CHARS this keeps the message under 4 KiB
REASON_CHARS = 200


class Signal(StrEnum):
    """What a request carries; also the last part of its path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


_RESPONSES: dict[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceResponse,
    Signal.METRICS: ExportMetricsServiceResponse,
    Signal.LOGS: ExportLogsServiceResponse,
}


def success(signal: Signal, *, rejected: int = 0, message: str = "", json: bool) -> bytes:
    """Return the body of an answer that the request is stored, but for ``rejected`` spans."""
    if json:
        return _json_success(rejected, message)
    response: Any = _RESPONSES[signal]()
    if message:
        response.partial_success.error_message = message
    if rejected:
        response.partial_success.rejected_spans = rejected
    body: bytes = response.SerializeToString()
    return body


def _json_success(rejected: int, message: str) -> bytes:
    if not message:
        return b"{}"
    count = {"rejectedSpans": str(rejected)} if rejected else {}  # int64 is a string in OTLP/JSON
    return orjson.dumps({"partialSuccess": {**count, "errorMessage": message}})


def status(code: int, message: str, *, json: bool) -> bytes:
    """Return the body of a refusal; ``code`` is a gRPC status number."""
    if json:
        return orjson.dumps({"code": code, "message": message})
    body: bytes = Status(code=code, message=message).SerializeToString()
    return body


def told(rejected: Sequence[Rejection], warnings: Sequence[str] = ()) -> str:
    """Return the message beside a success: empty if there is nothing to say."""
    return "; ".join(([reasons(rejected)] if rejected else []) + list(warnings))


def reasons(rejected: Sequence[Rejection]) -> str:
    """Return why spans were rejected, the most frequent reason first; at most 4 KiB.

    >>> reasons([Rejection("a", "no id"), Rejection("a", "no id"), Rejection("b", "bad id")])
    '3 spans rejected: no id (2), bad id (1)'
    """
    counts = Counter(rejection.reason[:REASON_CHARS] for rejection in rejected)
    named = [f"{reason} ({number})" for reason, number in counts.most_common(REASONS)]
    if len(counts) > REASONS:
        named.append(f"and {len(counts) - REASONS} other reasons")
    return f"{len(rejected)} spans rejected: {', '.join(named)}"
