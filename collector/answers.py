"""What a sender is answered: OTLP responses and google.rpc.Status, in protobuf or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.intake import Rejection

REASONS = 10  # told of one request; with REASON_CHARS this keeps the message under 4 KiB
REASON_CHARS = 200
MESSAGE_BYTES = 4_000  # of a warning beside a success: more may not fit the client's limit

_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


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


# What a request of each is made of: in the word of a message, of protobuf, and of OTLP/JSON.
_PARTS = {
    Signal.TRACES: ("span", "rejected_spans", "rejectedSpans"),
    Signal.METRICS: ("data point", "rejected_data_points", "rejectedDataPoints"),
    Signal.LOGS: ("log record", "rejected_log_records", "rejectedLogRecords"),
}


def success(signal: Signal, *, rejected: int = 0, message: str = "", json: bool) -> bytes:
    """Return the body of an answer that the request is stored, but for ``rejected`` parts of it."""
    _, field, name = _PARTS[signal]
    if json:
        return _json_success(name, rejected, message)
    response: Any = _RESPONSES[signal]()
    if message:
        response.partial_success.error_message = message
    if rejected:
        setattr(response.partial_success, field, rejected)
    body: bytes = response.SerializeToString()
    return body


def _json_success(name: str, rejected: int, message: str) -> bytes:
    if not message:
        return b"{}"
    count = {name: str(rejected)} if rejected else {}  # int64 is a string in OTLP/JSON
    return orjson.dumps({"partialSuccess": {**count, "errorMessage": message}})


def status(code: int, message: str, *, json: bool, bad: str = "") -> bytes:
    """Return the body of a refusal; ``code`` is a gRPC status number.

    ``bad`` names the part of the request that is wrong, where sending it again cannot help.
    """
    made = status_of(code, message, bad)
    if not json:
        body: bytes = made.SerializeToString()
        return body
    wrong = {"fieldViolations": [{"field": bad, "description": message}]}
    details = {"details": [{"@type": _BAD_REQUEST, **wrong}]} if bad else {}
    return orjson.dumps({"code": code, "message": message, **details})


def status_of(code: int, message: str, bad: str = "") -> Status:
    """Return a refusal as a google.rpc.Status."""
    made = Status(code=code, message=message)
    if bad:
        wrong = BadRequest(field_violations=[{"field": bad, "description": message}])
        made.details.add().Pack(wrong)
    return made


def told(
    rejected: Sequence[Rejection],
    warnings: Sequence[str] = (),
    signal: Signal = Signal.TRACES,
) -> str:
    """Return the message beside a success, at most 4 KiB: empty if there is nothing to say."""
    whole = "; ".join(([reasons(rejected, signal)] if rejected else []) + list(warnings)).encode()
    if len(whole) <= MESSAGE_BYTES:
        return whole.decode()
    return whole[:MESSAGE_BYTES].decode(errors="ignore") + "..."


def reasons(rejected: Sequence[Rejection], signal: Signal = Signal.TRACES) -> str:
    """Return why parts of a request were rejected, the most frequent reason first; at most 4 KiB.

    >>> reasons([Rejection("a", "no id"), Rejection("a", "no id"), Rejection("b", "bad id")])
    '3 spans rejected: no id (2), bad id (1)'
    """
    counts = Counter(rejection.reason[:REASON_CHARS] for rejection in rejected)
    named = [f"{reason} ({number})" for reason, number in counts.most_common(REASONS)]
    if len(counts) > REASONS:
        named.append(f"and {len(counts) - REASONS} other reasons")
    parts = _PARTS[signal][0] + ("" if len(rejected) == 1 else "s")
    return f"{len(rejected)} {parts} rejected: {', '.join(named)}"
