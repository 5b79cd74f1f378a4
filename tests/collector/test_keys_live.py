"""API keys at running collectors, over HTTP and gRPC, to the rows and the logs."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from bench.bodies import Body, build
from bench.servers import Collector
from tests.collector.test_auth import EVERY_ADDRESS, WITHIN_S, a_key, with_key
from tests.processes import until
from tidegauge import clock
from tidegauge.clock import HOUR
from tidegauge.source import Source
from tidegauge.store import keys, ledger, spans
from tidegauge.store.engine import open_engine, read, write
from tidegauge.store.keys import Key, Limit, Scope
from tidegauge.store.migrate import upgrade

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
PROTOBUF = {"Content-Type": "application/x-protobuf"}
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Shop:
    """A database with keys, and a collector that needs them."""

    def __init__(
        self, url: str, made: Mapping[str, tuple[Key, str]], over_limit_status: str = "503"
    ) -> None:
        self.url = url
        self.made = made
        upgrade(url)
        self.engine = open_engine(url)
        self.collector = Collector(url, require_keys="true", over_limit_status=over_limit_status)

    def post(self, token: str | None, body: Body, at: Collector | None = None) -> httpx.Response:
        headers = PROTOBUF | (with_key(token) if token else {})
        url = f"http://{(at or self.collector).http}/v1/traces"
        return httpx.post(url, content=body.raw, headers=headers, timeout=20)

    def call(self, token: str | None, body: Body, at: Collector | None = None) -> Any:
        """Return the error of an export over gRPC; None: it went well."""
        metadata = tuple(with_key(token).items()) if token else ()
        with grpc.insecure_channel((at or self.collector).grpc) as channel:
            try:
                channel.unary_unary(TRACES)(body.raw, metadata=metadata, timeout=20)
            except grpc.RpcError as error:
                return error
        return None

    def metrics(self) -> str:
        return httpx.get(f"http://{self.collector.http}/metrics").text

    def ids(self, project: str, body: Body) -> set[str]:
        with read(self.engine) as db:
            found = spans.trace(db, project, body.keys[0][0].hex())
        return {one.span_id for one in found}

    def close(self) -> None:
        self.collector.stop()
        self.engine.dispose()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("auth")
    url = f"sqlite:///{folder / 'tidegauge.db'}"
    upgrade(url)
    engine = open_engine(url)
    # All before the start: a collector needs a second to hear of a new key.
    made = {
        "bot": a_key(engine),
        "reader": a_key(engine, name="reader", scope=Scope.READ),
        "a": a_key(engine, name="one", project="a"),
        "b": a_key(engine, name="one", project="b"),
        "leaver": a_key(engine, name="leaver"),
        "turner": a_key(engine, name="turner"),
        "flood": a_key(engine, name="flood", limit=Limit(spans_per_s=10)),
    }
    engine.dispose()
    shop = Shop(url, made)
    yield shop
    shop.close()


_seeds = itertools.count(9_000)


def a_body(spans: int = 4) -> Body:
    return build(spans, next(_seeds))


def test_o23_without_a_key_nothing_is_stored_over_http_and_grpc(shop: Shop) -> None:
    body = a_body()
    answer = shop.post(None, body)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-tidegauge-key" in Status.FromString(answer.content).message
    error = shop.call(None, body)
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "authorization: Bearer" in error.details()
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())
    assert shop.ids("shop", body) == shop.ids("default", body) == set()


def test_a_refused_request_is_counted_in_metrics_and_ledger(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url)
    key, token = a_key(engine)
    shop = Shop(sqlite_url, {"bot": (key, token)})
    shop.post(None, a_body())
    no_otlp = Body(b"\xff", b"", ())
    assert shop.post(token, no_otlp).status_code == 400
    assert shop.call(token, no_otlp).code() == grpc.StatusCode.INVALID_ARGUMENT
    shop.call("tg_wrong", a_body())
    text = shop.metrics()
    assert 'tidegauge_refusals_total{reason="unauthenticated"} 2' in text
    assert 'tidegauge_key_refusals_total{why="missing"} 1' in text
    assert 'tidegauge_key_refusals_total{why="malformed"} 1' in text
    shop.close()
    now = clock.now()
    with read(engine) as db:
        (strangers,) = ledger.lines(db, "default", now - HOUR)
        (ours,) = ledger.lines(db, "shop", now - HOUR)
    engine.dispose()
    assert (strangers.source, strangers.refused) == (Source("default"), {"unauthenticated": 2})
    assert (ours.source, ours.refused) == (Source("shop", key.key_id), {"bad_otlp": 2})


def test_a_key_of_another_scope_is_forbidden(shop: Shop) -> None:
    _, token = shop.made["reader"]
    answer = shop.post(token, a_body())
    assert answer.status_code == 403
    assert "is for 'read'" in Status.FromString(answer.content).message
    assert shop.call(token, a_body()).code() == grpc.StatusCode.PERMISSION_DENIED


def test_the_project_of_a_span_is_that_of_its_key(shop: Shop) -> None:
    tokens = {project: shop.made[project][1] for project in ("a", "b")}
    alone, both = a_body(), a_body()
    assert shop.post(tokens["a"], alone).status_code == 200
    assert shop.post(tokens["a"], both).status_code == 200
    assert shop.call(tokens["b"], both) is None
    assert len(shop.ids("a", alone)) == 4
    assert shop.ids("b", alone) == set()
    assert shop.ids("a", both) == shop.ids("b", both) != set()


def test_a_request_without_a_key_is_refused_before_its_body_is_sent(shop: Shop) -> None:
    host, port = shop.collector.http.split(":")
    head = (
        f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n"
        "Content-Length: 10000000\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_a_grpc_call_without_a_key_is_refused_before_its_message_is_sent(shop: Shop) -> None:
    more = threading.Event()

    def nothing_yet() -> Iterator[bytes]:
        more.wait(30)
        yield b""

    with grpc.insecure_channel(shop.collector.grpc) as channel:
        call = channel.stream_unary(TRACES)
        with pytest.raises(grpc.RpcError) as caught:
            call(nothing_yet(), timeout=10)
    more.set()
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_key_in_the_query_does_not_count(shop: Shop) -> None:
    _, token = shop.made["bot"]
    url = f"http://{shop.collector.http}/v1/traces?x-tidegauge-key={token}"
    assert httpx.post(url, content=a_body().raw, headers=PROTOBUF).status_code == 401


def test_a_revocation_acts_within_5_s_on_every_collector_and_protocol(shop: Shop) -> None:
    key, token = shop.made["leaver"]
    with Collector(shop.url, require_keys="true") as other:
        for at in (shop.collector, other):
            assert shop.post(token, a_body(), at).status_code == 200
            assert shop.call(token, a_body(), at) is None

        with write(shop.engine) as db:
            keys.revoke(db, key.key_id, clock.now())
        began = time.monotonic()

        def all_refuse() -> bool:
            return all(
                shop.post(token, a_body(1), at).status_code == 401
                and shop.call(token, a_body(1), at) is not None
                for at in (shop.collector, other)
            )

        assert until(all_refuse, WITHIN_S)
        assert time.monotonic() - began < WITHIN_S
        assert shop.call(token, a_body(1), other).code() == grpc.StatusCode.UNAUTHENTICATED


def test_in_rotation_the_old_and_the_new_key_work(shop: Shop) -> None:
    key, old = shop.made["turner"]
    with write(shop.engine) as db:
        _, fresh, new = keys.rotate(db, key.key_id, clock.now(), grace=DAY)
    assert until(lambda: shop.post(new, a_body(1)).status_code == 200, WITHIN_S)
    for token in (old, new):
        assert shop.post(token, a_body()).status_code == 200
        assert shop.call(token, a_body()) is None

    def last_used() -> bool:
        with read(shop.engine) as db:
            return all(keys.find(db, one).last_used_at for one in (key.key_id, fresh.key_id))

    assert until(last_used)


def test_a_key_over_its_rate_is_put_off_and_counted(shop: Shop) -> None:
    key, token = shop.made["flood"]
    assert shop.post(token, a_body(150)).status_code == 200  # 100 at once and a debt

    answer = shop.post(token, a_body())
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert "10 spans a second" in Status.FromString(answer.content).message
    error = shop.call(token, a_body())
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    retry = RetryInfo.FromString(dict(error.trailing_metadata())["google.rpc.retryinfo-bin"])
    assert 1 <= retry.retry_delay.seconds <= 5
    assert f'tidegauge_over_limit_total{{key="{key.key_id}"}} 2' in shop.metrics()
    assert shop.post(shop.made["bot"][1], a_body()).status_code == 200


def test_bytes_are_limited_too_and_the_status_can_be_429(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url)
    key, token = a_key(engine, limit=Limit(bytes_per_s=100))
    engine.dispose()
    shop = Shop(sqlite_url, {"bot": (key, token)}, over_limit_status="429")
    assert shop.post(token, a_body()).status_code == 200
    answer = shop.post(token, a_body())
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "5"
    assert "100 bytes a second" in Status.FromString(answer.content).message
    shop.close()


def test_a_secret_is_in_no_file_and_no_log(sqlite_url: str, tmp_path: Path) -> None:
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url)
    live, over, gone = (a_key(engine, name=name) for name in ("live", "over", "gone"))
    with write(engine) as db:
        keys.revoke(db, gone[0].key_id, clock.now())
        keys.set_limit(db, over[0].key_id, Limit(bytes_per_s=1))
    engine.dispose()
    shop = Shop(sqlite_url, {"live": live})
    tokens = [live[1], over[1], gone[1], live[1][:-1] + "_", keys.new("p", "n", live[0].scope,
              clock.now())[1]]  # fmt: skip
    said = ""
    for token in tokens:
        said += shop.post(token, a_body()).text + str(shop.call(token, a_body()))
        said += httpx.get(f"http://{shop.collector.http}/{token}?key={token}").text
        said += shop.post(token, Body(b"\xff", b"", ())).text
    said += shop.metrics()
    _, log = shop.collector.stop()
    shop.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert live[0].key_id.encode() in written
    for token in tokens:
        assert token[15:].encode() not in written
        assert token[15:] not in said + log


def test_another_address_without_a_key_is_one_line_and_no_port(sqlite_url: str) -> None:
    command = [sys.executable, "-m", "tidegauge", "collect", "--host", EVERY_ADDRESS]
    command += ["--database-url", sqlite_url, "--otlp-http-port", "0", "--otlp-grpc-port", "0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "tidegauge keys create" in line
    assert "--insecure" in line
