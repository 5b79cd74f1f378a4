from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest

from bench.bodies import build
from collector.connections import Deadlines
from collector.edges import Timing
from collector.reading import Pace
from tests.collector.edge import Edge, read_all, read_answer
from tests.processes import until
from tidegauge.store import spans
from tidegauge.store.engine import Engine, read

HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
QUICK = Timing(
    Deadlines(head_s=0.5, body_s=1.2, answer_s=1.0, idle_s=1.5),
    Pace(within_s=1.0, grace_s=0.4, bytes_per_s=1_000, stop_s=0.3),
)
_seeds = itertools.count(70_000)


@pytest.fixture
def edge(sqlite_engine: Engine, now: datetime) -> Iterator[Edge]:
    with Edge(sqlite_engine, now) as edge:
        yield edge


def closed(connection: socket.socket) -> bool:
    """Return whether the server has closed it; without waiting."""
    connection.setblocking(False)
    try:
        return connection.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def ask(edge: Edge, *parts: bytes) -> bytes:
    with edge.connect() as connection:
        for part in parts:
            connection.sendall(part)
        return read_answer(connection)


def stored(engine: Engine, trace_id: bytes) -> int:
    with read(engine) as db:
        return len(spans.trace(db, "default", trace_id.hex()))


def test_r12_slow_clients_are_closed_and_nobody_else_waits(
    sqlite_engine: Engine, now: datetime
) -> None:
    """As in R-12, with deadlines of tenths of a second: 500 heads, 200 bodies, 50 idle."""
    with Edge(sqlite_engine, now, timing=QUICK) as edge, httpx.Client(timeout=10) as client:
        target = f"http://{edge.http}/healthz"
        calm = p99(client, target)
        heads = [edge.connect() for _ in range(500)]
        bodies = [edge.connect() for _ in range(200)]
        idle = [edge.connect() for _ in range(50)]
        for one in idle:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        for one in heads:
            one.sendall(HEAD)
        for one in bodies:
            one.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        stopped = threading.Event()
        trickle = threading.Thread(target=send_byte_by_byte, args=(bodies, stopped))
        trickle.start()
        busy = p99(client, target)
        everyone = [*heads, *bodies, *idle]
        assert until(lambda: sum(map(closed, everyone)) == len(everyone), 10)
        stopped.set()
        trickle.join()
        assert edge.ended("slow_head") == 500
        assert edge.ended("slow_idle") >= 50  # the one that measures may have been too
        assert edge.refusals("slow_body") == 200
        assert client.get(target).status_code == 200
        for one in everyone:
            one.close()
    # Tenths of a millisecond on a busy machine: a floor under the comparison.
    assert busy < max(2 * calm, 0.05)


def p99(client: httpx.Client, target: str) -> float:
    times = []
    for _ in range(100):
        began = time.perf_counter()
        assert client.get(target).status_code == 200
        times.append(time.perf_counter() - began)
    return sorted(times)[98]


def send_byte_by_byte(connections: list[socket.socket], stopped: threading.Event) -> None:
    while not stopped.wait(0.1):
        for one in connections:
            try:
                one.send(b"x")
            except OSError:
                continue


def test_r12_a_slow_body_is_told_to_come_back(sqlite_engine: Engine, now: datetime) -> None:
    with Edge(sqlite_engine, now, timing=QUICK) as edge, edge.connect() as slow:
        slow.sendall(HEAD + b"Content-Length: 100\r\n\r\nabc")
        answer = read_all(slow)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert edge.in_flight.bytes == 0


def test_r12_a_body_at_a_fair_pace_is_taken(sqlite_engine: Engine, now: datetime) -> None:
    """It takes longer than the grace, but comes faster than the slowest pace."""
    body = build(4, next(_seeds))
    with Edge(sqlite_engine, now, timing=QUICK) as edge, edge.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body.raw))
        third = len(body.raw) // 3
        for start in range(0, len(body.raw), third):
            connection.sendall(body.raw[start : start + third])
            time.sleep(0.15)  # the pace is what is tested
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")
    assert stored(sqlite_engine, body.keys[0][0]) == 4


def test_r12_a_client_that_does_not_read_its_answer_is_closed(
    sqlite_engine: Engine, now: datetime
) -> None:
    with Edge(sqlite_engine, now, timing=QUICK) as edge, edge.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        deaf.setblocking(False)
        try:
            for _ in range(10_000):
                deaf.send(request)
        except BlockingIOError:
            pass  # it takes no more until we read
        assert until(lambda: edge.ended("slow_answer") == 1, 10)
        assert until(lambda: edge.metrics.value("tidegauge_connections") == 0, 10)


def test_r12_slow_clients_do_not_lock_others_out(sqlite_engine: Engine, now: datetime) -> None:
    """With every place taken by half headers, a newcomer gets the place of the oldest."""
    with Edge(sqlite_engine, now, max_connections=20) as edge:
        slow = [edge.connect() for _ in range(60)]
        for one in slow:
            one.sendall(b"POST /v1")
        for _ in range(5):
            with httpx.Client() as client:
                answer = client.post(f"http://{edge.http}/v1/traces", content=b"", headers=PROTOBUF)
                assert answer.status_code == 200
        assert edge.metrics.value("tidegauge_connections") <= 20
        assert edge.ended("made_room") >= 40
        for one in slow:
            one.close()


def test_r12_where_all_places_do_real_work_a_newcomer_is_told_to_come_back(
    sqlite_engine: Engine, now: datetime
) -> None:
    with Edge(sqlite_engine, now, max_connections=5) as edge:
        bodies = [edge.connect() for _ in range(5)]
        for one in bodies:
            one.sendall(HEAD + b"Content-Length: 3\r\n\r\nab")
        assert until(lambda: edge.in_flight.bytes == 10, 5)
        with edge.connect() as newcomer:
            answer = read_all(newcomer)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert edge.ended("full") == 1
        for one in bodies:
            one.sendall(b"c")
            assert read_answer(one).startswith(b"HTTP/1.1 400 ")
            one.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n", id="one long line"),
        pytest.param(b"X-Long: " + b"a" * 200_000, id="a line without an end"),
        pytest.param(b"X-A: b\r\n" * 129 + b"\r\n", id="129 lines"),
    ],
)
def test_r12_a_header_that_is_too_large_is_refused(head: bytes, edge: Edge) -> None:
    with edge.connect() as connection:
        connection.sendall(HEAD + head)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert "header" in json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


def test_r12_a_path_that_is_too_long_is_refused(edge: Edge) -> None:
    assert ask(edge, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"0\r\nX: " + b"a" * 300_000, id="a trailer without an end"),
        pytest.param(b"1;" + b"a" * 300_000, id="a chunk extension without an end"),
    ],
)
def test_r12_framing_without_end_is_refused(rest: bytes, edge: Edge) -> None:
    with edge.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert until(lambda: edge.metrics.value("tidegauge_connections") == 1, 5)
        try:
            for start in range(0, len(rest), 1000):
                connection.sendall(rest[start : start + 1000])
        except ConnectionError:
            pass
        assert until(lambda: edge.metrics.value("tidegauge_connections") == 0, 5)
    assert edge.in_flight.bytes == 0


def test_o48_a_body_in_chunks_of_one_byte_is_stored(edge: Edge, sqlite_engine: Engine) -> None:
    body = build(4, next(_seeds))
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body.raw)
    answer = ask(edge, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\nX: y\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert stored(sqlite_engine, body.keys[0][0]) == 4


SMUGGLED = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "an odd encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an encoding after chunked": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a signed length": b"Content-Length: +3\r\n\r\nabc",
    "a folded line": b"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "a line feed alone": b"X: a\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_o48_a_request_that_two_servers_could_read_differently_is_refused(
    name: str, edge: Edge
) -> None:
    with edge.connect() as connection:
        connection.sendall(HEAD + SMUGGLED[name])
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 4") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 3


def test_o48_http_1_0_is_served(edge: Edge, sqlite_engine: Engine) -> None:
    body = build(4, next(_seeds))
    head = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Content-Length: %d\r\n\r\n" % len(body.raw)
    with edge.connect() as connection:
        connection.sendall(head + body.raw)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert stored(sqlite_engine, body.keys[0][0]) == 4


def test_o48_a_client_that_asks_first_is_told_to_continue(
    edge: Edge, sqlite_engine: Engine
) -> None:
    body = build(4, next(_seeds))
    with edge.connect() as connection:
        size = b"Content-Length: %d\r\n" % len(body.raw)
        connection.sendall(HEAD + size + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body.raw)
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")
    assert stored(sqlite_engine, body.keys[0][0]) == 4


def test_o48_a_client_that_asks_first_is_refused_without_its_body(edge: Edge) -> None:
    asked = b"Content-Length: 99000000\r\nExpect: 100-continue\r\n\r\n"
    assert ask(edge, HEAD + asked).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_o48_a_body_beside_an_offer_of_http2_is_not_lost(
    split: bool, chunked: bool, edge: Edge, sqlite_engine: Engine
) -> None:
    """As Java's HttpClient sends it; the parser alone would read an empty body: 200, and lost."""
    body = build(4, next(_seeds))
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAAA\r\n"
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body.raw), body.raw) if chunked else body.raw
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body.raw)
    whole = HEAD + offer + framing + b"\r\n\r\n" + sent
    with edge.connect() as connection:
        for seed in range(2):  # the connection goes on after it
            parts = (whole[:150], whole[150:300], whole[300:]) if split else (whole,)
            for part in parts:
                connection.sendall(part)
                if split:
                    time.sleep(0.02)  # so that they arrive apart
            assert read_answer(connection).startswith(b"HTTP/1.1 200 "), seed
    assert stored(sqlite_engine, body.keys[0][0]) == 4


def test_what_does_not_speak_http_is_logged_once(
    edge: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with edge.connect() as rpc:
            rpc.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert read_all(rpc).startswith(b"HTTP/1.1 400 ")
        with edge.connect() as tls:
            tls.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            assert read_all(tls).startswith(b"HTTP/1.1 400 ")
    said = "".join(capsys.readouterr())
    assert said.count("gRPC has a port of its own") == 1
    assert said.count("speaks TLS to the HTTP port") == 1


def test_a_trailer_is_no_header(edge: Edge) -> None:
    body = b"3\r\nabc\r\n0\r\nContent-Encoding: br\r\n\r\n"
    answer = ask(edge, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 400 ")  # not 415: the bytes are no OTLP, that is all


def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    second = HEAD + b"Content-Length: 1\r\n\r\n\xff"
    with edge.connect() as connection:
        connection.sendall(first + second + first)
        answers = [read_one(connection) for _ in range(3)]
    assert [answer.split(b" ")[1] for answer in answers] == [b"200", b"400", b"200"]


def read_one(connection: socket.socket) -> bytes:
    """Return one answer and leave the next one unread."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    size = next(
        int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
    )
    for _ in range(size):
        connection.recv(1)
    return head
