"""Ports, the children's settings, and the whole of ``tidegauge up`` as a person starts it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import psutil
import pytest
from pydantic import SecretStr

from analysis.schedule import LEASE
from tests.ports import free_ports
from tests.processes import Running, gone, until
from tidegauge.settings import Settings
from tidegauge.store import jobs
from tidegauge.store.engine import Engine, write
from tidegauge.supervise import CannotStart
from tidegauge.up import (
    ANALYST,
    addresses,
    analyses,
    answers,
    check_ports,
    collects,
    environment,
    with_ports,
)

PARTS = ("collect", "analyse", "dashboard")


def test_a_child_reads_exactly_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        otlp_http_port=4999,
        webhook_secret=SecretStr("whsec_abc"),
        webhook_allow_networks=("127.0.0.0/8", "10.0.0.0/8"),
    )

    for name, value in environment(settings, {"TIDEGAUGE_PROJECT": "not this"}).items():
        monkeypatch.setenv(name, value)

    assert Settings() == settings


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that something listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_stops_the_start_and_names_the_way_out(taken: int) -> None:
    http, dashboard = free_ports(2)
    settings = Settings(otlp_http_port=http, otlp_grpc_port=taken, dashboard_port=dashboard)

    with pytest.raises(CannotStart, match=rf":{taken}: .*--otlp-grpc-port"):
        check_ports(settings)


def test_an_address_of_another_machine_stops_the_start() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1:"):
        check_ports(Settings(host="192.0.2.1", otlp_http_port=free_ports(1)[0]))


def test_a_free_port_is_found_where_0_was_asked_for() -> None:
    settings = with_ports(Settings(otlp_http_port=0, otlp_grpc_port=0, dashboard_port=0))

    ports = {settings.otlp_http_port, settings.otlp_grpc_port, settings.dashboard_port}
    assert len(ports) == 3
    assert 0 not in ports
    assert f"http://127.0.0.1:{settings.otlp_http_port}" in addresses(settings)[0]


def test_a_port_in_use_is_replaced_only_where_that_is_wished(taken: int) -> None:
    grpc, dashboard = free_ports(2)
    settings = Settings(otlp_http_port=taken, otlp_grpc_port=grpc, dashboard_port=dashboard)

    replaced = with_ports(settings, replace_taken=True)

    assert with_ports(settings) == settings
    assert replaced.otlp_http_port not in (taken, grpc, dashboard)
    assert (replaced.otlp_grpc_port, replaced.dashboard_port) == (grpc, dashboard)


def test_a_wildcard_is_shown_as_an_address_that_can_be_opened() -> None:
    shown = "\n".join(addresses(Settings(host="0.0.0.0", otlp_http_port=4321)))  # noqa: S104

    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4321 " in shown
    assert "0.0.0.0" not in shown  # noqa: S104


def test_a_server_of_ours_is_asked_without_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports(1)[0]}")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_once() -> None:
            connection = server.accept()[0]
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        serving = Thread(target=answer_once)
        serving.start()
        assert answers(f"http://127.0.0.1:{server.getsockname()[1]}/healthz")
        serving.join()


def test_an_analyst_is_there_once_it_holds_the_lease(
    sqlite_engine: Engine, sqlite_url: str
) -> None:
    assert ANALYST == LEASE
    assert not analyses(sqlite_url)

    with write(sqlite_engine) as db:
        jobs.take_lease(db, ANALYST, "me", jobs.database_time(db), 15.0)
    assert analyses(sqlite_url)

    with write(sqlite_engine) as db:
        jobs.release_lease(db, ANALYST, "me")
    assert not analyses(sqlite_url)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return what starts ``tidegauge up`` on free ports; it is ended afterwards."""
    started: list[Running] = []

    def start(**env: str) -> Running:
        http, grpc, dashboard = free_ports(3)
        words = ["up", "--database-url", f"sqlite:///{tmp_path / 'up.db'}"]
        words += ["--otlp-http-port", str(http), "--otlp-grpc-port", str(grpc)]
        words += ["--dashboard-port", str(dashboard)]
        started.append(Running(words, env, (http, grpc, dashboard)))
        return started[-1]

    yield start
    for one in started:
        one.end()


def children(running: Running) -> dict[str, psutil.Process]:
    """Return the three parts by name."""
    found = psutil.Process(running.pid).children()
    return {part: child for child in found for part in PARTS if part in child.cmdline()}


@pytest.mark.slow
def test_up_serves_restarts_what_dies_and_stops_with_code_0(up: Callable[..., Running]) -> None:
    running = up()
    seen = running.read_until("Ctrl-C stops it.")
    http, grpc, dashboard = running.ports
    assert f"OTLP over HTTP  http://127.0.0.1:{http}\n" in seen
    assert f"OTLP over gRPC  http://127.0.0.1:{grpc}\n" in seen
    assert f"Dashboard       http://127.0.0.1:{dashboard}\n" in seen
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{http} " in seen
    assert answers(f"http://127.0.0.1:{dashboard}/_stcore/health")
    assert "collect   | " in seen
    parts = children(running)
    assert set(parts) == set(PARTS)

    parts["collect"].kill()

    assert "started again in 1 s" in running.read_until("collect ended (signal SIGKILL)")
    assert until(lambda: answers(f"http://127.0.0.1:{http}/healthz"))
    assert children(running)["collect"].pid != parts["collect"].pid
    parts = children(running)
    begun = time.monotonic()
    code, rest = running.stop(signal.SIGINT)
    assert time.monotonic() - begun < 10
    assert (code, "Tidegauge has stopped." in rest) == (0, True), rest
    assert "Traceback" not in rest
    assert gone(parts.values())


@pytest.mark.slow
def test_the_parts_end_when_up_is_killed(up: Callable[..., Running]) -> None:
    running = up()
    running.read_until("Ctrl-C stops it.")
    parts = children(running).values()
    assert len(parts) == 3

    running.stop(signal.SIGKILL)

    assert until(lambda: gone(parts), within_s=15)


@pytest.mark.slow
def test_a_wrong_webhook_secret_ends_the_start_with_the_reason(up: Callable[..., Running]) -> None:
    running = up(TIDEGAUGE_WEBHOOK_URL="https://on.call/", TIDEGAUGE_WEBHOOK_SECRET="whsec_no!")  # noqa: S106

    code, said = running.wait()

    assert code == 2
    assert "analyse   | tidegauge: the webhook secret must be whsec_ and base64" in said
    assert said.endswith("tidegauge: analyse refused to start; its line above says why\n")
    assert "Traceback" not in said


def test_a_collector_with_tls_is_up_once_it_listens(tmp_path: Path) -> None:
    """It may ask for a certificate that we do not have: nothing more can be asked of it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as http,
        socket.create_server(("127.0.0.1", 0)) as rpc,
    ):
        settings = Settings(
            otlp_http_port=http.getsockname()[1],
            otlp_grpc_port=rpc.getsockname()[1],
            tls_cert_file=tmp_path / "server.pem",
            tls_key_file=tmp_path / "server.key",
        )
        assert collects(settings)
        assert any(
            line.endswith(f"https://127.0.0.1:{settings.otlp_http_port}")
            for line in addresses(settings)
        )
    assert not collects(settings)
