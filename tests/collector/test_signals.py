from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from bench.servers import Collector
from collector import log_calls
from collector.answers import Signal
from collector.capture import Plan
from collector.inflight import InFlight, Overloaded
from collector.limits import BadOtlp, Limits
from collector.metrics import Metrics
from collector.sender import Sender
from collector.signals import Signals
from collector.writer import Receipt
from tests.collector import signals_corpus
from tests.collector.test_otlp_logs import json_record, json_request, record, request
from tests.collector.test_otlp_metrics import histogram
from tests.collector.test_otlp_metrics import request as metrics_request
from tests.collector.test_wire_walk import BOMBS
from tidegauge.call import Call
from tidegauge.log_event import EVALUATION
from tidegauge.source import Source
from tidegauge.store import events, ledger, spans, token_metrics
from tidegauge.store.engine import Engine, StoreBusy, open_engine, read

SERVICE = "/opentelemetry.proto.collector.{}.v1.{}Service/Export"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
RESPONSES: dict[str, Any] = {
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
LOGS, METRICS = "logs", "metrics"
DAY = timedelta(days=1)

Send = Callable[[str, bytes], Any]  # returns the partial success


@pytest.fixture(params=["http", "http gzip", "grpc", "grpc gzip"])
def send(
    request: pytest.FixtureRequest, collector: Collector, client: httpx.Client
) -> Iterator[Send]:
    """Return what sends protobuf, each way there is."""
    way: str = request.param
    with grpc.insecure_channel(collector.grpc) as channel:

        def by_http(signal: str, body: bytes) -> Any:
            packed = way.endswith("gzip")
            headers = {**PROTOBUF, **({"Content-Encoding": "gzip"} if packed else {})}
            content = gzip.compress(body) if packed else body
            answer = client.post(f"/v1/{signal}", content=content, headers=headers)
            assert answer.status_code == 200, answer.content
            assert answer.headers["content-type"] == "application/x-protobuf"
            return answer.content

        def by_grpc(signal: str, body: bytes) -> Any:
            packed = grpc.Compression.Gzip if way.endswith("gzip") else None
            export = channel.unary_unary(SERVICE.format(signal, signal.title()))
            return export(body, timeout=10, compression=packed)

        def send(signal: str, body: bytes) -> Any:
            answer = (by_http if way.startswith("http") else by_grpc)(signal, body)
            return RESPONSES[signal].FromString(answer).partial_success

        yield send


@pytest.fixture
def store(database: str) -> Iterator[Engine]:
    """Return the collector's database, over a connection of our own."""
    engine = open_engine(database)
    yield engine
    engine.dispose()


def nothing_to_say(partial: Any) -> bool:
    return bool(partial.ByteSize() == 0)


def usage(engine: Engine, service: str) -> dict[str, int | None]:
    now = datetime.now(UTC)
    with read(engine) as db:
        found = token_metrics.compare(db, "default", now - DAY, now + DAY)
    return {one.type: one.by_metric for one in found if one.service == service}


def evaluations(engine: Engine, label: str) -> list[dict[str, Any]]:
    with read(engine) as db:
        found = [event.attributes for event in events.evaluations(db, "default")]
    return [dict(one) for one in found if one.get("label") == label]


def evaluation(label: str, **fields: Any) -> ExportLogsServiceRequest:
    sent = record(EVALUATION, **fields)
    sent.attributes.add(key="label").value.string_value = label
    return ExportLogsServiceRequest.FromString(request(sent))


@pytest.mark.parametrize("signal", [LOGS, METRICS])
def test_o11_o12_an_empty_request_is_a_success_without_a_word(send: Send, signal: str) -> None:
    assert nothing_to_say(send(signal, b""))


def test_o22_a_log_record_is_there_once_it_is_acknowledged(
    send: Send, store: Engine, request: pytest.FixtureRequest
) -> None:
    label = request.node.name
    body = evaluation(label).SerializeToString()
    for _ in range(2):  # sent again, it changes nothing
        assert nothing_to_say(send(LOGS, body))
        assert len(evaluations(store, label)) == 1


def test_a_call_that_only_a_log_tells_of_is_a_span_of_the_ledger(
    send: Send, store: Engine, request: pytest.FixtureRequest
) -> None:
    now = datetime.now(UTC)
    body = ExportLogsServiceRequest()
    group = body.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = request.node.name
    scope = group.scope_logs.add()
    scope.scope.name = log_calls.SCOPE
    told = scope.log_records.add(time_unix_nano=time.time_ns())
    told.body.string_value = '{"type": "LLMCall", "prompt_tokens": 26, "completion_tokens": 15}'
    for _ in range(2):  # sent again, it changes nothing
        assert nothing_to_say(send(LOGS, body.SerializeToString()))

    with read(store) as db:
        (call,) = spans.calls(db, "default", spans.Filter(service=request.node.name))
        lines = ledger.lines(db, "default", now - DAY)
    assert (call.input_tokens, call.output_tokens) == (26, 15)
    (line,) = (one for one in lines if one.source.service == request.node.name)
    assert (line.stored, line.duplicate) == (1, 1)


def test_o22_a_metric_is_there_once_it_is_acknowledged(
    send: Send, store: Engine, request: pytest.FixtureRequest
) -> None:
    now = time.time_ns()
    body = metrics_request(histogram(26.0, began=now - 10**9, until=now), service=request.node.name)
    for _ in range(2):
        assert nothing_to_say(send(METRICS, body))
        assert usage(store, request.node.name) == {"input": 26}


def test_o13_o39_points_without_a_time_are_rejected_and_the_others_kept(
    send: Send, store: Engine, request: pytest.FixtureRequest
) -> None:
    now = time.time_ns()
    year = 365 * 86_400 * 10**9
    body = metrics_request(
        histogram(until=0),
        histogram(7.0, began=now, until=now),
        histogram(until=now + year),
        histogram(-1.0, until=now),
        service=request.node.name,
    )
    partial = send(METRICS, body)
    assert partial.rejected_data_points == 3
    assert partial.error_message.startswith("3 data points rejected: ")
    assert usage(store, request.node.name) == {"input": 7}


def test_o20_all_else_is_accepted_and_counted(client: httpx.Client, store: Engine) -> None:
    def counted() -> dict[str, int]:
        now = datetime.now(UTC)
        with read(store) as db:
            return ledger.read_counts(db, "default", now - DAY, now + DAY)

    wanted = {"logs:not_kept": 3, "metrics:not_kept": 1}
    wanted = {name: number + counted().get(name, 0) for name, number in wanted.items()}
    sent = {
        LOGS: request(record("app.started"), record(""), record(trace_id=b"")),
        METRICS: metrics_request(histogram(name="http.duration")),
    }
    for signal, body in sent.items():
        assert client.post(f"/v1/{signal}", content=body, headers=PROTOBUF).content == b""
    deadline = time.monotonic() + 15
    while (now := counted()) != now | wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert now == now | wanted


def test_o13_json_says_how_many_log_records_were_rejected(client: httpx.Client) -> None:
    body = json_request(json_record(), json_record(timeUnixNano=-1), 3)
    answer = client.post("/v1/logs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedLogRecords"] == "2"
    assert partial["errorMessage"].startswith("2 log records rejected: ")


def test_o13_json_says_how_many_data_points_were_rejected(client: httpx.Client) -> None:
    metric = {"name": "x", "gauge": {"dataPoints": [{"timeUnixNano": 0}, {"timeUnixNano": "5"}]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    answer = client.post("/v1/metrics", json=body)
    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"


@pytest.mark.parametrize("signal", [LOGS, METRICS])
def test_o11_o12_empty_json_is_a_success_without_a_word(client: httpx.Client, signal: str) -> None:
    answer = client.post(f"/v1/{signal}/", json={f"resource{signal.title()}": []})
    assert (answer.status_code, answer.content) == (200, b"{}")


@pytest.mark.parametrize("signal", [LOGS, METRICS])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"nonsense", PROTOBUF, 400),
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"not gzip", {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
        (gzip.compress(bytes(17 * 2**20)), {**PROTOBUF, "Content-Encoding": "gzip"}, 413),
        (b"[" * 2**20, {"Content-Type": "application/json"}, 413),
    ],
)
def test_o17_what_cannot_be_read_is_refused_for_good(
    client: httpx.Client, signal: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert client.post(f"/v1/{signal}", content=body, headers=headers).status_code == status


def test_o17_over_grpc_too(collector: Collector) -> None:
    bomb = BOMBS["values in a body"][1]
    refusals = {b"nonsense": "INVALID_ARGUMENT", bomb: "RESOURCE_EXHAUSTED"}
    with grpc.insecure_channel(collector.grpc) as channel:
        for body, code in refusals.items():
            export = channel.unary_unary(SERVICE.format("logs", "Logs"))
            with pytest.raises(grpc.RpcError) as caught:
                export(body, timeout=10)
            assert caught.value.code().name == code


@pytest.mark.parametrize("first", ["traces", "logs"])
def test_messages_in_log_records_reach_their_span(
    first: str, client: httpx.Client, stored: Callable[[bytes], Sequence[Call]]
) -> None:
    case = {"traces": "otel-openai-v2/chat_tools", "logs": "otel-botocore-bedrock/converse_tools"}[
        first
    ]
    second = {"traces": "logs", "logs": "traces"}[first]
    for signal in (first, second):
        body = signals_corpus.body(f"{case}.{signal}-1.bin")
        assert client.post(f"/v1/{signal}", content=body, headers=PROTOBUF).content == b""
    calls = signals_corpus.calls(case)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [
            one for call in calls for one in stored(bytes.fromhex(call.trace_id)) if one.operation
        ]
        if all(one.output for one in found):
            break
        time.sleep(0.1)
    answers = [one.output[0]["content"] for one in found]
    assert any(str(one).startswith("Paris is the capital") for one in answers)
    assert len(found) == len(calls)


def test_two_real_exports_of_one_stream_count_once(client: httpx.Client, store: Engine) -> None:
    now = time.time_ns()
    for file in ("openlit/chat_basic.metrics-1.bin", "openlit/chat_basic.metrics-2.bin"):
        sent = ExportMetricsServiceRequest.FromString(signals_corpus.body(file))
        (group,) = sent.resource_metrics
        for one in group.resource.attributes:
            if one.key == "service.name":
                one.value.string_value = "exported twice"
        for metric in group.scope_metrics[0].metrics:
            for point in metric.histogram.data_points:
                point.start_time_unix_nano = now
                point.time_unix_nano = now
        answer = client.post("/v1/metrics", content=sent.SerializeToString(), headers=PROTOBUF)
        assert answer.content == b""
    assert usage(store, "exported twice") == {"input": 26, "output": 15}


# Without a server: what the thread does with its queue.


class Parts:
    def __init__(self, engine: Engine, now: datetime) -> None:
        self.noted: list[tuple[str, int, Source | None]] = []
        self.in_flight = InFlight(10**6)
        self.metrics = Metrics()
        self.clock: Callable[[], datetime] = lambda: now
        self.signals = Signals(
            engine,
            plan_of=lambda _: Plan(),
            bounds=Limits(),
            clock=lambda: self.clock(),
            note=lambda outcome, number, source: self.noted.append((outcome, number, source)),
            metrics=self.metrics,
        )

    def put(self, signal: Signal, body: bytes, *, json: bool = False) -> Future[Receipt]:
        held = self.in_flight.open()
        held.add(len(body))
        sender = Sender("p", "key", "agent")
        return self.signals.put(signal, body, held, sender, json=json, encoding=None)


@pytest.fixture
def parts(engine: Engine, now: datetime) -> Iterator[Parts]:
    parts = Parts(engine, now)
    yield parts
    parts.signals.close()


def test_the_ledger_says_what_became_of_every_record(
    parts: Parts, engine: Engine, now: datetime
) -> None:
    body = json_request(json_record(), json_record(eventName="other"), 3)
    for _ in range(2):
        receipt = parts.put(Signal.LOGS, body, json=True).result(10)
        assert [one.kind for one in receipt.rejected] == ["invalid"]
    with read(engine) as db:
        assert ledger.read_counts(db, "p", now - DAY, now + DAY) == {
            "logs:stored": 1,
            "logs:duplicate": 1,
            "logs:not_kept": 2,
            "logs:rejected": 2,
        }
        (line,) = ledger.lines(db, "p", now)
    assert (line.source.key_id, line.source.service, line.received) == ("key", "shop", 0)
    assert parts.noted == []
    told = parts.metrics.value("tidegauge_records_total", signal="logs", outcome="not_kept")
    assert told == 2


def test_points_of_streams_beyond_the_bound_are_counted_as_not_kept(
    parts: Parts, engine: Engine, now: datetime
) -> None:
    at = int(now.timestamp()) * 10**9
    beyond = token_metrics.MOST_STREAMS + 7
    points = [histogram(1.0, began=at, until=at, user=str(n)) for n in range(beyond)]
    parts.put(Signal.METRICS, metrics_request(*points)).result(30)
    with read(engine) as db:
        counts = ledger.read_counts(db, "p", now - DAY, now + DAY)
        (found,) = token_metrics.compare(db, "p", now - DAY, now + DAY)
    assert counts == {"metrics:stored": token_metrics.MOST_STREAMS, "metrics:not_kept": 7}
    assert found.by_metric == token_metrics.MOST_STREAMS


def test_a_request_of_which_nothing_is_kept_needs_no_transaction(
    parts: Parts, engine: Engine, now: datetime
) -> None:
    parts.put(Signal.METRICS, metrics_request(histogram(name="x"), histogram(until=0))).result(10)
    source = Source("p", "key")
    assert parts.noted == [("metrics:not_kept", 1, source), ("metrics:rejected", 1, source)]
    with read(engine) as db:
        assert ledger.read_counts(db, "p", now - DAY, now + DAY) == {}


def test_a_request_gives_back_its_room_however_it_ends(parts: Parts, engine: Engine) -> None:
    went_on = threading.Event()

    def wait() -> datetime:
        went_on.wait(10)
        raise StoreBusy("locked")

    parts.clock = wait
    failed = parts.put(Signal.LOGS, request(record()))
    given_up = parts.put(Signal.LOGS, request(record()))
    bad = parts.put(Signal.METRICS, b"nonsense")
    assert given_up.cancel()  # as the edge does when its sender has waited too long
    went_on.set()
    with pytest.raises(StoreBusy):
        failed.result(10)
    with pytest.raises(BadOtlp):
        bad.result(10)
    assert parts.in_flight.bytes == 0


def test_after_the_end_a_request_is_put_off(parts: Parts) -> None:
    parts.signals.close()
    with pytest.raises(Overloaded):
        parts.put(Signal.LOGS, b"")
    assert parts.in_flight.bytes == 0


def test_json_and_protobuf_come_to_the_same_event(parts: Parts, engine: Engine) -> None:
    parts.put(Signal.LOGS, request(record())).result(10)
    parts.put(Signal.LOGS, json_request(json_record()), json=True).result(10)
    with read(engine) as db:
        keys = events.due(db, datetime(2100, 1, 1, tzinfo=UTC), 9)
        (found,) = events.of(db, keys).values()
    assert len(found) == 1


def test_a_secret_in_a_name_is_not_stored(parts: Parts, engine: Engine, now: datetime) -> None:
    secret = "sk-" + "a1B2c3D4e5F6g7H8" * 2
    at = int(now.timestamp()) * 10**9
    point = histogram(7.0, began=at, until=at, request_model=f"m {secret}")
    parts.put(Signal.METRICS, metrics_request(point, service=f"shop {secret}")).result(10)
    with read(engine) as db:
        (found,) = token_metrics.compare(db, "p", now - DAY, now + DAY)
        (line,) = ledger.lines(db, "p", now)
    assert found.by_metric == 7
    assert "sk-" not in found.service + found.model + line.source.service
