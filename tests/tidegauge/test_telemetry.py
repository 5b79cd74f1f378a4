from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from analysis.schedule import Job, Work, run_job
from bench.bodies import Body, build
from bench.senders import Senders, over_http
from bench.servers import Collector
from tests.ports import free_ports
from tests.processes import until
from tidegauge import clock, telemetry, telemetry_export
from tidegauge.call import Call
from tidegauge.policy import Policy
from tidegauge.store.engine import Engine, open_engine, read
from tidegauge.store.spans import Filter, calls
from tidegauge.telemetry import BadEndpoint

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture(autouse=True)
def _off_afterwards() -> Iterator[None]:
    yield
    telemetry.stop()


@pytest.fixture(scope="module")
def receiver_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('receiver') / 'receiver.db'}"


@pytest.fixture(scope="module")
def receiver(receiver_url: str) -> Iterator[Collector]:
    with Collector(receiver_url) as collector:
        yield collector


def kept(url: str) -> list[Call]:
    engine = open_engine(url)
    try:
        with read(engine) as db:
            return calls(db, "default", Filter(all_spans=True))
    finally:
        engine.dispose()


def kept_of(url: str, service: str, since: int = 0) -> list[Call]:
    return [call for call in kept(url) if call.service == service][since:]


def post(address: str, body: Body, **headers: str) -> int:
    with closing(HTTPConnection(address, timeout=30)) as connection:
        connection.request("POST", "/v1/traces", body.raw, {**PROTOBUF, **headers})
        return connection.getresponse().status


def traced(url: str, receiver: Collector) -> Collector:
    return Collector(url, telemetry_endpoint=f"http://{receiver.http}", telemetry_sample="1")


def work(engine: Engine) -> Work:
    now = clock.now()
    return Work(
        engine=engine,
        policy=Policy(),
        base_url="http://tidegauge.test",
        places={},
        now=now,
        clock=lambda: now,
    )


def test_without_an_endpoint_nothing_is_loaded_and_nothing_is_sent() -> None:
    program = (
        "import sys\n"
        "from tidegauge import telemetry\n"
        "telemetry.start('', 'collector')\n"
        "with telemetry.step('a', bytes=1) as a, a.step('b') as b:\n"
        "    b.note(spans=1)\n"
        "a.since('c', b.ended_ns)\n"
        "telemetry.stop()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_collector_tells_another_of_its_requests_and_nothing_of_their_content(
    sqlite_url: str, receiver: Collector, receiver_url: str
) -> None:
    with traced(sqlite_url, receiver) as collector:
        body = build(8, 1)
        assert post(collector.http, body) == 200
        assert post(collector.http, Body(b"\xff", b"", ())) == 400
        code, log = collector.stop()
    assert code == 0, log
    found = kept_of(receiver_url, "tidegauge-collector")
    names = sorted(call.name for call in found)
    assert names == ["commit", "read", "read", "request", "request"]
    whole = next(call.trace_id for call in found if call.name == "commit")
    inside = {call.name: call for call in found if call.trace_id == whole}
    root = inside["request"]
    assert root.parent_span_id is None
    assert {inside["read"].parent_span_id, inside["commit"].parent_span_id} == {root.span_id}
    assert root.duration_s >= inside["read"].duration_s > 0
    assert root.attributes["tidegauge.step.bytes"] == len(body.raw)
    assert inside["read"].attributes["tidegauge.step.spans"] == 8
    said = {name: value for call in found for name, value in call.attributes.items()}
    ours = {name for name in said if name.startswith("tidegauge.step.")}
    assert ours == {f"tidegauge.step.{name}" for name in ("bytes", "json", "rejected", "spans")}
    assert said["error.type"] == "BadOtlp"
    assert all(call.not_counted for call in found)  # they are no model calls


def test_a_request_with_own_spans_leaves_none_so_that_a_loop_through_a_proxy_ends(
    sqlite_url: str, receiver: Collector, receiver_url: str
) -> None:
    before = len(kept_of(receiver_url, "tidegauge-collector"))
    with traced(sqlite_url, receiver) as collector:
        own = {"User-Agent": f"{telemetry.USER_AGENT}/0.1.0"}
        for seed in range(5):
            assert post(collector.http, build(2, 100 + seed), **own) == 200
        assert post(collector.http, build(2, 200)) == 200  # from anybody else
        collector.stop()
    assert len(kept(sqlite_url)) == 12  # they are stored as any others
    new = kept_of(receiver_url, "tidegauge-collector", before)
    assert sorted(call.name for call in new) == ["commit", "read", "request"]


def test_an_unsampled_request_leaves_no_span(
    sqlite_url: str, receiver: Collector, receiver_url: str
) -> None:
    before = len(kept_of(receiver_url, "tidegauge-collector"))
    endpoint = f"http://{receiver.http}"
    with Collector(sqlite_url, telemetry_endpoint=endpoint, telemetry_sample="0") as collector:
        assert post(collector.http, build(2, 300)) == 200
        collector.stop()
    assert len(kept_of(receiver_url, "tidegauge-collector")) == before


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "2130706433", "{here}"],  # noqa: S104
)
def test_a_collector_that_would_send_to_itself_does_not_start(host: str) -> None:
    here = host.format(here=socket.gethostname())
    with pytest.raises(BadEndpoint, match="is this collector itself"):
        telemetry.start(f"http://{here}:4999/", "collector", own_ports=(4998, 4999))


def test_the_refusal_is_one_line_and_code_2(sqlite_url: str) -> None:
    port = str(free_ports(1)[0])
    endpoint = f"http://localhost:{port}"
    with pytest.raises(RuntimeError, match="is this collector itself") as refused:
        Collector(sqlite_url, otlp_http_port=port, telemetry_endpoint=endpoint)
    assert "Traceback" not in str(refused.value)


def test_the_same_port_of_another_machine_is_no_loop() -> None:
    telemetry.check("http://192.0.2.1:4318", own_ports=(4318,))
    telemetry.check("http://localhost:4318", own_ports=(4317,))


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://a:1", "http://", "http://a:x"])
def test_an_endpoint_that_is_no_address_is_named(endpoint: str) -> None:
    with pytest.raises(BadEndpoint, match="TIDEGAUGE_TELEMETRY_ENDPOINT must be"):
        telemetry.start(endpoint, "analyst")


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False], ids=["silent", "closed"])
def test_an_endpoint_that_is_down_holds_up_nothing(sqlite_url: str, answers: bool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers:  # connections are taken, and nothing is ever said
            silent.listen(50)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Collector(sqlite_url, telemetry_endpoint=endpoint, telemetry_sample="1") as collector:
            bodies = [build(2, seed) for seed in range(400, 1_150)]  # more than may wait
            sent = Senders(bodies, over_http(collector.http), 4).join()
            began = time.monotonic()
            code, log = collector.stop()
    assert (code, len(sent.acknowledged)) == (0, len(bodies)), log
    assert time.monotonic() - began < 6
    assert log.count("own telemetry is not taken") <= 2  # spans, metrics; once each
    assert "Traceback" not in log


def test_each_run_of_a_job_is_a_span(
    sqlite_engine: Engine, receiver: Collector, receiver_url: str
) -> None:
    telemetry.start(f"http://{receiver.http}", "analyst")

    def broken(_: Work) -> int:
        raise ValueError("my card number is 4111 1111")

    run_job(Job("count", lambda _: 7), work(sqlite_engine), clock.now)
    run_job(Job("break", broken), work(sqlite_engine), clock.now)
    telemetry.stop()
    jobs = {call.name: call for call in kept_of(receiver_url, "tidegauge-analyst")}
    assert set(jobs) == {"job count", "job break"}
    assert jobs["job count"].attributes["tidegauge.step.looked_at"] == 7
    assert jobs["job break"].error_type == "ValueError"
    assert "4111" not in repr(jobs)


def test_what_an_endpoint_missed_is_said_once_and_once_that_it_takes_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_export, "ANSWER_S", 0.5)  # else it tries for 10 s each time
    port = free_ports(1)[0]
    telemetry.start(f"http://127.0.0.1:{port}", "analyst")
    pipeline = telemetry._pipeline
    assert pipeline is not None

    def send() -> None:
        with telemetry.step("job a"):
            pass
        pipeline.flush()

    send()
    send()
    url = f"sqlite:///{tmp_path / 'late.db'}"
    with Collector(url, otlp_http_port=str(port)):
        send()
        assert until(lambda: len(kept(url)) == 1)
        telemetry.stop()
    said = capsys.readouterr()
    assert (said.out + said.err).count("is not taken") == 1
    assert (said.out + said.err).count("taken again") == 1
