"""The gRPC edge: OTLP/gRPC in, the same intake, status codes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.answers import Signal, success, told
from collector.desk import Answer, Desk, Refusal
from collector.sender import Sender

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_CODES = {
    Answer.BAD: grpc.StatusCode.INVALID_ARGUMENT,
    Answer.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Answer.UNSUPPORTED: grpc.StatusCode.INVALID_ARGUMENT,
    Answer.UNKNOWN: grpc.StatusCode.UNAUTHENTICATED,
    Answer.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Answer.LATER: grpc.StatusCode.UNAVAILABLE,
}
RETRY_AFTER_S = 1

Take = Callable[[Desk, Signal, bytes, Sender], Awaitable[bytes]]


def create_server(desk: Desk) -> grpc.aio.Server:
    """Return a server of the three OTLP services; it listens to nothing yet."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", desk.max_bytes),  # after decompression
            ("grpc.so_reuseport", 0),  # else a second collector silently shares the port
        ]
    )
    server.add_generic_rpc_handlers([_service(desk, signal) for signal in Signal])
    return server


def _service(desk: Desk, signal: Signal) -> grpc.GenericRpcHandler:
    # No deserializer: the bytes are bounded before any protobuf object exists.
    export = grpc.unary_unary_rpc_method_handler(_export(desk, signal))
    return grpc.method_handlers_generic_handler(_SERVICES[signal], {"Export": export})


def _export(
    desk: Desk, signal: Signal
) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]:
    take: Take = _take_traces if signal is Signal.TRACES else _take_unstored

    async def handle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            answer = await take(desk, signal, body, desk.admit(_metadata(context)))
        except Exception as error:  # noqa: BLE001
            # An error that is let through becomes UNKNOWN, and the client drops the batch.
            return await _abort(context, desk.refuse("grpc", signal, error))
        desk.count("grpc", signal, "ok")
        return answer

    return handle


def _metadata(context: grpc.aio.ServicerContext) -> dict[str, str]:
    """Return the text metadata of a call, by lower-case name."""
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


async def _take_traces(desk: Desk, _: Signal, body: bytes, sender: Sender) -> bytes:
    held = desk.in_flight.open()
    held.add(len(body))
    receipt = await desk.export(body, held, sender, json=False, encoding=None)
    message = told(receipt.rejected, receipt.warnings)
    return success(Signal.TRACES, rejected=len(receipt.rejected), message=message, json=False)


async def _take_unstored(desk: Desk, signal: Signal, _: bytes, __: Sender) -> bytes:
    return success(signal, message=desk.not_stored_yet(signal), json=False)


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> bytes:
    code = _CODES[refusal.answer]
    again = refusal.answer == Answer.LATER
    await context.abort(code, str(refusal), _retry_info(code, str(refusal)) if again else ())
    raise AssertionError("abort() always raises")


def _retry_info(code: grpc.StatusCode, message: str) -> tuple[tuple[str, bytes], ...]:
    """Return when to try again, twice: the Python exporter reads only the second."""
    info = RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S))
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(info)
    return (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("google.rpc.retryinfo-bin", info.SerializeToString()),
    )
