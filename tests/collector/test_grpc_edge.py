from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from pysqlite3 import dbapi2 as sqlite

from bench.bodies import build
from bench.servers import Collector
from tests.collector.conftest import Metric
from tests.collector.test_app import nested_protobuf, span_bomb
from tidegauge.call import Call

SERVICE = "/opentelemetry.proto.collector.{}.v1.{}Service/Export"
TRACES = SERVICE.format("trace", "Trace")
_seeds = itertools.count(1_000)

Export = Callable[..., bytes]


@pytest.fixture
def channel(collector: Collector) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(collector.grpc) as channel:
        yield channel


@pytest.fixture
def export(channel: grpc.Channel) -> Export:
    call: Export = channel.unary_unary(TRACES)
    return call


def refused(export: Export, body: bytes) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        export(body, timeout=10)
    return caught.value


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_o01_a_request_is_answered_when_it_is_stored(
    compression: grpc.Compression,
    export: Export,
    stored: Callable[[bytes], Sequence[Call]],
) -> None:
    body = build(4, next(_seeds))
    assert export(body.raw, compression=compression, timeout=10) == b""
    assert len(stored(body.keys[0][0])) == 4


def test_o13_a_bad_span_is_rejected_alone(
    export: Export, stored: Callable[[bytes], Sequence[Call]]
) -> None:
    body = build(4, next(_seeds))
    request = ExportTraceServiceRequest.FromString(body.raw)
    request.resource_spans[0].scope_spans[0].spans[0].span_id = bytes(8)
    answer = export(request.SerializeToString(), timeout=10)
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert len(stored(body.keys[0][0])) == 3


def test_o17_a_body_that_is_no_otlp_is_an_invalid_argument(export: Export, metric: Metric) -> None:
    before = metric('tidegauge_refusals_total{reason="bad_otlp"}')
    assert refused(export, b"hello").code() == grpc.StatusCode.INVALID_ARGUMENT
    assert metric('tidegauge_refusals_total{reason="bad_otlp"}') == before + 1


@pytest.mark.parametrize("make", [span_bomb, lambda: bytes(17 * 2**20)])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_o09_what_is_too_large_is_refused_for_good(
    make: Callable[[], bytes], compression: grpc.Compression, channel: grpc.Channel, export: Export
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        export(make(), compression=compression, timeout=10)
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    # With RetryInfo the client would send it again, for ever.
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())


def test_o19_what_is_temporary_says_twice_when_to_try_again(database: str) -> None:
    with (
        Collector(database, answer_within_s="0.3") as collector,
        grpc.insecure_channel(collector.grpc) as channel,
    ):
        body = build(4, next(_seeds))
        lock = sqlite.connect(database.removeprefix("sqlite:///"), isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        try:
            error = refused(channel.unary_unary(TRACES), body.raw)
        finally:
            lock.close()
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    trailing = dict(error.trailing_metadata())
    assert RetryInfo.FromString(trailing["google.rpc.retryinfo-bin"]).retry_delay.seconds == 1
    status = Status.FromString(trailing["grpc-status-details-bin"])
    assert status.code == 14
    assert status.details[0].Is(RetryInfo.DESCRIPTOR)


def test_o02_another_service_is_not_implemented(channel: grpc.Channel) -> None:
    error = refused(channel.unary_unary("/some.Service/Export"), b"")
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_o02_profiles_are_not_implemented(channel: grpc.Channel) -> None:
    service = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
    error = refused(channel.unary_unary(service), b"")
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_o16_bad_data_says_which_part_is_bad_and_nothing_of_a_retry(export: Export) -> None:
    error = refused(export, b"hello")
    trailing = dict(error.trailing_metadata())
    status = Status.FromString(trailing["grpc-status-details-bin"])
    details = BadRequest()
    assert status.details[0].Unpack(details)
    assert details.field_violations[0].field == "body"
    assert "google.rpc.retryinfo-bin" not in trailing


def test_o12_an_empty_message_is_a_success(export: Export) -> None:
    assert export(b"", timeout=10) == b""


def test_o21_a_call_without_a_message_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(TRACES)(iter(()), timeout=10)
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_r14_what_is_nested_too_deep_is_an_invalid_argument(export: Export) -> None:
    assert refused(export, nested_protobuf(40)).code() == grpc.StatusCode.INVALID_ARGUMENT
