"""The gRPC edge: OTLP/gRPC in, the same intake, status codes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from collector.answers import Signal, status_of, success, told
from collector.connections import Deadlines
from collector.desk import AGAIN, Answer, Desk, Refusal, wrong_part
from collector.inflight import Held, Overloaded
from collector.reading import Places, Reading, TooMany
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
    Answer.SLOWER: grpc.StatusCode.UNAVAILABLE,
    Answer.LATER: grpc.StatusCode.UNAVAILABLE,
}
STREAMS = 100  # calls at once on one connection
METADATA_BYTES = 64 * 1024

Take = Callable[[Desk, Signal, bytes, Held, Sender], Awaitable[bytes]]
Export = Callable[[object, grpc.aio.ServicerContext], Awaitable[bytes]]


def create_server(
    desk: Desk, *, reading: Reading, deadlines: Deadlines | None = None, connections: int = 1_000
) -> grpc.aio.Server:
    """Return a server of the three OTLP services; it listens to nothing yet."""
    limits = deadlines or Deadlines()
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", desk.max_bytes),  # after decompression
            ("grpc.so_reuseport", 0),  # else a second collector silently shares the port
            ("grpc.max_allowed_incoming_connections", connections),  # more are closed at once
            ("grpc.server_handshake_timeout_ms", round(limits.head_s * 1000)),
            ("grpc.max_connection_idle_ms", round(limits.idle_s * 1000)),
            ("grpc.max_concurrent_streams", STREAMS),
            ("grpc.max_metadata_size", METADATA_BYTES // 2),
            ("grpc.absolute_max_metadata_size", METADATA_BYTES),
            # A peer that is gone without a word is found by a ping; its own pings may be frequent,
            # as a client that is cut off for them loses what it sends.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ]
    )
    quick = max(2, desk.in_flight.most // desk.max_bytes)
    places = Places(reading, quick, max(1, quick // 2))
    server.add_generic_rpc_handlers([_service(desk, signal, places) for signal in Signal])
    return server


def _service(desk: Desk, signal: Signal, places: Places) -> grpc.GenericRpcHandler:
    # As a stream of one message: a method that takes a single message is called only once that is
    # in memory. And no deserializer: the bytes are bounded before any protobuf object exists.
    export = grpc.stream_unary_rpc_method_handler(_export(desk, signal, places))
    return grpc.method_handlers_generic_handler(_SERVICES[signal], {"Export": export})


def _export(desk: Desk, signal: Signal, places: Places) -> Export:
    take: Take = _take_traces if signal is Signal.TRACES else _take_other

    async def handle(_: object, context: grpc.aio.ServicerContext) -> bytes:
        sender = None
        try:
            sender = desk.admit(_metadata(context))
            held = desk.in_flight.open()  # put off now, not when the body is here
            body = await _read(context, places)
            held.add(len(body))
            answer = await take(desk, signal, body, held, sender)
        except Exception as error:  # noqa: BLE001
            # An error that is let through becomes UNKNOWN, and the client drops the batch.
            return await _abort(context, desk.refuse("grpc", signal, error, sender))
        desk.count("grpc", signal, "ok")
        return answer

    return handle


def _metadata(context: grpc.aio.ServicerContext) -> dict[str, str]:
    """Return the text metadata of a call, by lower-case name."""
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


async def _read(context: grpc.aio.ServicerContext, places: Places) -> bytes:
    """Return the one message of a call."""
    try:
        body = await places.read(context.read)
    except TimeoutError:
        raise Refusal(Answer.LATER, "slow_body", "the message did not arrive in time") from None
    except TooMany:
        raise Overloaded("too many messages arrive at once") from None
    if body is grpc.aio.EOF:
        # gRPC has answered already: there is no message, or it is larger than it may be.
        raise Refusal(Answer.BAD, "no_message", "there is no message, or it is too large")
    return bytes(body)


async def _take_traces(desk: Desk, _: Signal, body: bytes, held: Held, sender: Sender) -> bytes:
    receipt = await desk.export(body, held, sender, json=False, encoding=None)
    message = told(receipt.rejected, receipt.warnings)
    return success(Signal.TRACES, rejected=len(receipt.rejected), message=message, json=False)


async def _take_other(desk: Desk, signal: Signal, body: bytes, held: Held, sender: Sender) -> bytes:
    receipt = await desk.keep(signal, body, held, sender, json=False, encoding=None)
    message = told(receipt.rejected, receipt.warnings, signal)
    return success(signal, rejected=len(receipt.rejected), message=message, json=False)


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> bytes:
    code = _CODES[refusal.answer]
    await context.abort(code, str(refusal), _details(code, refusal))
    raise AssertionError("abort() always raises")


def _details(code: grpc.StatusCode, refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    if refusal.answer in AGAIN:
        return _retry_info(code, refusal)
    if bad := wrong_part(refusal):
        details = status_of(code.value[0], str(refusal), bad).SerializeToString()
        return (("grpc-status-details-bin", details),)
    return ()


def _retry_info(code: grpc.StatusCode, refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    """Return when to try again, twice: the Python exporter reads only the second."""
    info = RetryInfo(retry_delay=Duration(seconds=refusal.retry_after_s))
    status = status_of(code.value[0], str(refusal))
    status.details.add().Pack(info)
    return (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("google.rpc.retryinfo-bin", info.SerializeToString()),
    )
