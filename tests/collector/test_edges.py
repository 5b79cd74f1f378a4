"""Both edges under a stop, an overload and slow senders."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from pysqlite3 import dbapi2 as sqlite

from bench.bodies import Body, build
from collector.connections import Deadlines
from collector.edges import Timing
from collector.inflight import InFlight
from collector.reading import Pace
from tests.collector.edge import WITHIN_S, Edge, read_all
from tests.processes import until
from tidegauge.store.engine import Engine, read

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
_seeds = itertools.count(90_000)

Answered = tuple[Body, int]  # 200 or 503


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep the writer from committing."""
    lock = sqlite.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        lock.close()


def over_http(edge: Edge, body: Body) -> Answered:
    with httpx.Client(timeout=WITHIN_S) as client:
        answer = client.post(f"http://{edge.http}/v1/traces", content=body.raw, headers=PROTOBUF)
    return body, answer.status_code


def over_grpc(edge: Edge, body: Body) -> Answered:
    with grpc.insecure_channel(edge.grpc) as channel:
        try:
            channel.unary_unary(TRACES)(body.raw, timeout=WITHIN_S)
        except grpc.RpcError as error:
            refused: Any = error
            assert refused.code() == grpc.StatusCode.UNAVAILABLE, refused.details()
            return body, 503
    return body, 200


def only_after(event: threading.Event) -> Iterator[bytes]:
    """Yield a message once the event is set."""
    event.wait(WITHIN_S)
    yield b"x"


def spans_in(engine: Engine) -> set[tuple[bytes, bytes]]:
    with read(engine) as db:
        rows = db.exec_driver_sql("SELECT trace_id, span_id FROM span").all()
    return {(bytes(trace), bytes(span)) for trace, span in rows}


@pytest.mark.parametrize("free", [True, False], ids=["store free again", "store locked"])
def test_r19_a_stop_answers_everybody_and_loses_nothing(
    free: bool, sqlite_engine: Engine, sqlite_url: str, now: datetime
) -> None:
    """50 requests are in flight, 25 on each protocol; beside them a body that never ends."""
    bodies = [build(10, next(_seeds)) for _ in range(50)]
    patient = InFlight(2**27, most_wait_s=60)
    with (
        ThreadPoolExecutor(50) as senders,
        Edge(sqlite_engine, now, answer_within_s=7, in_flight=patient) as edge,
        edge.connect() as half,
    ):
        half.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")
        half.sendall(b"Content-Type: application/x-protobuf\r\n\r\nabc")
        with locked(sqlite_url):
            sends = [
                senders.submit(over_http if at % 2 else over_grpc, edge, body)
                for at, body in enumerate(bodies)
            ]
            taken = "tidegauge_requests_in_flight"
            assert until(lambda: edge.metrics.value(taken) == 50, 6), edge.metrics.value(taken)
            began = time.monotonic()
            edge.stop()
            if free:
                time.sleep(0.5)  # the stop has begun, and the store comes back
            else:
                answered = [send.result(WITHIN_S) for send in sends]
        answered = [send.result(WITHIN_S) for send in sends]
        assert read_all(half).startswith(b"HTTP/1.1 503 ")
        edge.join()
        assert time.monotonic() - began < 10
    assert {code for _, code in answered} <= {200, 503}
    assert any(code == 200 for _, code in answered) == free
    acknowledged = {key for body, code in answered if code == 200 for key in body.keys}
    assert acknowledged <= spans_in(sqlite_engine)


def test_r19_after_a_stop_the_ports_are_closed(sqlite_engine: Engine, now: datetime) -> None:
    with Edge(sqlite_engine, now) as edge:
        idle = edge.connect()
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(9) == b"HTTP/1.1 "
        edge.stop()
        edge.join()
        read_all(idle)
        idle.close()
        for address in (edge.http, edge.grpc):
            host, port = address.split(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)), timeout=2)


def stuck(edge: Edge) -> None:
    """Put a request into the queue, and let it wait there for longer than anybody may."""
    held = edge.in_flight.open()
    held.add(10)
    edge.in_flight.queue(held, Future)
    assert until(lambda: edge.in_flight.wait_s() > 0.05, 5)


def test_r11_under_overload_http_is_put_off_before_the_body_is_read(
    sqlite_engine: Engine, now: datetime
) -> None:
    in_flight = InFlight(2**27, most_wait_s=0.05)
    with Edge(sqlite_engine, now, in_flight=in_flight) as edge, edge.connect() as sender:
        stuck(edge)
        began = time.monotonic()
        sender.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n")
        sender.sendall(b"Content-Type: application/json\r\n\r\n")  # and no body
        answer = sender.recv(4096)
        assert time.monotonic() - began < 0.1
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert b"content-type: application/json\r\n" in answer
        assert edge.refusals("overloaded") == 1
        # The body is thrown away, and the connection goes on.
        sender.sendall(b"abcGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in sender.recv(4096)
        assert over_http(edge, build(1, next(_seeds)))[1] == 503
        assert edge.in_flight.bytes == 10


def test_r11_under_overload_a_large_body_is_thrown_away_and_answered(
    sqlite_engine: Engine, now: datetime
) -> None:
    """The sender sends all of it before it reads; closed on, it would have no answer."""
    in_flight = InFlight(2**27, most_wait_s=0.05)
    with Edge(sqlite_engine, now, in_flight=in_flight) as edge, httpx.Client() as client:
        stuck(edge)
        for _ in range(3):
            content = bytes(15 * 2**20)
            url = f"http://{edge.http}/v1/traces"
            answer = client.post(url, content=content, headers=PROTOBUF)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert edge.in_flight.bytes == 10


def test_r11_under_overload_grpc_is_put_off_before_the_message_is_read(
    sqlite_engine: Engine, now: datetime
) -> None:
    in_flight = InFlight(2**27, most_wait_s=0.05)
    with (
        Edge(sqlite_engine, now, in_flight=in_flight) as edge,
        grpc.insecure_channel(edge.grpc) as channel,
    ):
        grpc.channel_ready_future(channel).result(10)
        stuck(edge)
        never = threading.Event()
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(TRACES)(only_after(never), timeout=5)
        assert time.monotonic() - began < 0.5  # a Python client needs some of it
        never.set()
        error: Any = caught.value
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        info = dict(error.trailing_metadata())["google.rpc.retryinfo-bin"]
        assert RetryInfo.FromString(info).retry_delay.seconds == 1
        assert edge.refusals("overloaded") == 1


QUICK = Timing(Deadlines(head_s=0.5, idle_s=1.0), Pace(within_s=0.8, quick_s=0.1, stop_s=0.3))


def test_r12_slow_grpc_messages_lock_nobody_out(sqlite_engine: Engine, now: datetime) -> None:
    with (
        Edge(sqlite_engine, now, timing=QUICK) as edge,
        grpc.insecure_channel(edge.grpc) as channel,
    ):
        never = threading.Event()
        slow = [
            channel.stream_unary(TRACES).future(only_after(never), timeout=8) for _ in range(12)
        ]
        assert over_grpc(edge, build(4, next(_seeds)))[1] == 200
        codes = {one.code() for one in slow}
        never.set()
        assert codes == {grpc.StatusCode.UNAVAILABLE}
        assert edge.refusals("slow_body") == 12


def test_r12_half_open_grpc_connections_are_closed(sqlite_engine: Engine, now: datetime) -> None:
    """Some send nothing, some the preface alone, some stop after their settings."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\0\0\0\x04\0\0\0\0\0"
    with Edge(sqlite_engine, now, timing=QUICK) as edge:
        host, port = edge.grpc.split(":")
        opened = [socket.create_connection((host, int(port)), timeout=10) for _ in range(30)]
        for at, one in enumerate(opened):
            one.sendall((b"", preface, preface + settings)[at % 3])
        began = time.monotonic()
        for one in opened:
            read_all(one)
            one.close()
        assert time.monotonic() - began < 5
        assert over_grpc(edge, build(4, next(_seeds)))[1] == 200


def test_r12_grpc_has_no_more_connections_than_it_may(sqlite_engine: Engine, now: datetime) -> None:
    with Edge(sqlite_engine, now, max_connections=3) as edge:
        host, port = edge.grpc.split(":")
        opened = [socket.create_connection((host, int(port)), timeout=10) for _ in range(6)]
        assert until(lambda: sum(map(_is_closed, opened)) == 3, 5)
        for one in opened:
            one.close()


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while True:
            if connection.recv(4096) == b"":
                return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_o09_metadata_beyond_its_limit_is_refused(sqlite_engine: Engine, now: datetime) -> None:
    with Edge(sqlite_engine, now) as edge, grpc.insecure_channel(edge.grpc) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(TRACES)(b"", timeout=5, metadata=[("x", "a" * 100_000)])
        error: Any = caught.value
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        channel.unary_unary(TRACES)(b"", timeout=5)


def test_o10_many_clients_at_once_do_not_mix(sqlite_engine: Engine, now: datetime) -> None:
    """16 clients, 10 batches each, half of them over gRPC."""
    batches = [[build(3, next(_seeds)) for _ in range(10)] for _ in range(16)]

    def client(at: int, edge: Edge) -> list[Answered]:
        send = over_http if at % 2 else over_grpc
        return [send(edge, body) for body in batches[at]]

    with Edge(sqlite_engine, now) as edge, ThreadPoolExecutor(16) as clients:
        answered = list(clients.map(client, range(16), itertools.repeat(edge)))
    assert {code for one in answered for _, code in one} == {200}
    sent = {key for one in batches for body in one for key in body.keys}
    assert spans_in(sqlite_engine) == sent


def test_r11_a_memory_budget_bounds_the_queue(sqlite_engine: Engine, now: datetime) -> None:
    with Edge(sqlite_engine, now, max_memory_bytes=2**28) as edge:
        assert edge.in_flight.most == 2**26
    with Edge(sqlite_engine, now, max_queue_bytes=2**21) as edge:
        assert edge.in_flight.most == 2**21


def test_a_stop_before_anything_came_is_quick(sqlite_engine: Engine, now: datetime) -> None:
    began = time.monotonic()
    with Edge(sqlite_engine, now):
        pass
    assert time.monotonic() - began < 5
