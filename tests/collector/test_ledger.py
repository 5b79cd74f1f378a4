"""What a real collector writes into the ledger of what real clients send it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.servers import Collector, Postgres
from tests.processes import until
from tidegauge import clock
from tidegauge.store import ledger
from tidegauge.store.engine import open_engine, read
from tidegauge.store.ledger import Line

PROTOBUF = {"Content-Type": "application/x-protobuf", "User-Agent": "a-client/1"}
S = 10**9  # ns
LineOf = Callable[[str], Line]


@pytest.fixture
def line_of(database: str) -> LineOf:
    """Return what reads the one line of a service, with a connection of its own."""

    def line(service: str) -> Line:
        engine = open_engine(database)
        with read(engine) as db:
            (found,) = ledger.lines(db, "default", clock.now() - clock.HOUR, service=service)
        engine.dispose()
        return found

    return line


def request_of(service: str, *spans: dict[str, Any]) -> ExportTraceServiceRequest:
    """Return a request of good spans that have just ended; each dict says what differs."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for name, value in (
        ("service.name", service),
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.version", "1.45.2"),
    ):
        group.resource.attributes.add(key=name).value.string_value = value
    now = time.time_ns()
    for changed in spans:
        usual: dict[str, Any] = {
            "trace_id": os.urandom(16),
            "span_id": os.urandom(8),
            "name": "chat",
            "start_time_unix_nano": now - S,
            "end_time_unix_nano": now,
        }
        group.scope_spans.add().spans.append(Span(**(usual | changed)))
    return request


def send(client: httpx.Client, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse:
    answer = client.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    return ExportTraceServiceResponse.FromString(answer.content)


def test_a_line_names_the_service_its_sdk_and_the_client(
    client: httpx.Client, line_of: LineOf
) -> None:
    send(client, request_of("named", {}, {}))
    line = line_of("named")
    assert line.source.sdk == "python/opentelemetry 1.45.2"
    assert (line.source.user_agent, line.source.key_id) == ("a-client/1", "")
    assert (line.received, line.stored, line.lost) == (2, 2, False)


def test_o13_three_bad_spans_of_ten_are_told_and_counted_and_seven_are_stored(
    client: httpx.Client, database: str
) -> None:
    def rejected() -> int:
        engine = open_engine(database)
        with read(engine) as db:
            now = clock.now()
            counts = ledger.read_counts(db, "default", now - 2 * clock.HOUR, now)
        engine.dispose()
        return counts.get("rejected:bad_trace_id", 0) + counts.get("rejected:bad_span_id", 0)

    before = rejected()
    bad = [{"trace_id": bytes(16)}, {"span_id": b""}, {"trace_id": b"short"}]
    partial = send(client, request_of("o13", *bad, *[{} for _ in range(7)])).partial_success
    assert partial.rejected_spans == 3
    assert "trace_id" in partial.error_message
    assert rejected() == before + 3  # in the transaction that was acknowledged


def test_o14_a_warning_rejects_nothing_and_is_counted(
    client: httpx.Client, line_of: LineOf
) -> None:
    request = request_of("o14", {}, {})
    for number in range(200):
        span = request.resource_spans[0].scope_spans[0].spans[0]
        span.attributes.add(key=f"app.k{number}").value.int_value = number
    partial = send(client, request).partial_success
    assert partial.rejected_spans == 0
    assert partial.error_message
    line = line_of("o14")
    assert (line.stored, line.counts[ledger.ATTRIBUTES_CUT]) == (2, 1)


def test_o22_r09_what_is_sent_three_times_is_claimed_once_and_told_twice(
    client: httpx.Client, line_of: LineOf, database: str
) -> None:
    now = time.time_ns()
    old = {"start_time_unix_nano": now - 7200 * S, "end_time_unix_nano": now - 7199 * S}
    request = request_of("r09", {}, old, {})
    first = request_of("r09")
    first.resource_spans[0].scope_spans.append(request.resource_spans[0].scope_spans[1])
    for body in (first, request, request):  # the second is new in part
        assert not send(client, body).HasField("partial_success")
    line = line_of("r09")
    assert line.counts == {"accepted": 3, "duplicate": 4, "late": 1}
    engine = open_engine(database)
    with read(engine) as db:
        found = ledger.claim(db, "default", clock.now() - clock.HOUR)
    engine.dispose()
    assert found.stored == found.rows


def test_o40_what_an_sdk_dropped_is_counted(client: httpx.Client, line_of: LineOf) -> None:
    dropped = {"dropped_attributes_count": 3, "dropped_events_count": 2}
    send(client, request_of("o40", dropped, {"dropped_attributes_count": 4}, {}))
    line = line_of("o40")
    assert (line.stored, line.sdk_dropped) == (3, {"attributes": 7, "events": 2})


def test_r10_late_future_and_wrong_clocks_are_stored_and_counted(
    client: httpx.Client, line_of: LineOf
) -> None:
    now = time.time_ns()

    def at(start: int, lasts: int = S) -> dict[str, int]:
        return {"start_time_unix_nano": start, "end_time_unix_nano": start + lasts}

    send(
        client,
        request_of(
            "r10",
            at(now - 7 * 86_400 * S),  # late
            at(now - 3500 * S),
            at(now + 1200 * S),  # ahead
            at(now + 7200 * S),  # so far ahead that its clock is wrong
            at(9 * 10**18),  # the year 2255
            at(0),  # no time at all
            at(now, -S),  # ended before it started
        ),
    )
    line = line_of("r10")
    assert (line.received, line.stored) == (7, 7)
    assert line.counts["late"] == 1
    assert line.counts["future"] == 3
    assert line.counts["clock_skewed"] >= 4


@pytest.mark.slow
def test_r30_a_database_that_hangs_shows_in_every_answer_within_ten_seconds() -> None:
    with Postgres() as postgres, Collector(postgres.url) as collector:
        with httpx.Client(base_url=f"http://{collector.http}", timeout=5) as client:

            def ready() -> bool:
                began = time.monotonic()
                answer = client.get("/readyz")
                alive = client.get("/healthz")
                assert time.monotonic() - began < 1.5
                assert alive.status_code == 200
                return answer.status_code == 200

            def trouble() -> bool:
                return 'tidegauge_trouble{kind="database"} 1.0' in client.get("/metrics").text

            assert until(ready, 10)
            assert not trouble()
            server = psutil.Process(postgres._process.pid)
            stopped = [server, *server.children(recursive=True)]
            for one in stopped:
                os.kill(one.pid, signal.SIGSTOP)
            try:
                assert until(trouble, 10)
                assert not ready()
            finally:
                for one in stopped:
                    os.kill(one.pid, signal.SIGCONT)
            assert until(ready, 10)
            assert until(lambda: not trouble(), 10)
            bad = [client.post("/v1/traces", content=b"\xff", headers=PROTOBUF) for _ in range(300)]
            assert {one.status_code for one in bad} == {400}
        code, log = collector.stop()
    assert code == 0
    assert log.count("not ready") == log.count("ready again") == 1
    assert "bad_otlp': 300" in log  # one line for all of them
    assert len(log.splitlines()) < 20
