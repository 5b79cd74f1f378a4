"""Ports, the children's settings, and the whole of ``tidegauge up`` as a person starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.ports import free_ports
from tidegauge.settings import Settings
from tidegauge.supervise import CannotStart
from tidegauge.up import addresses, answers, check_ports, environment, free_port, with_ports


def test_a_child_reads_exactly_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        otlp_http_port=4999,
        webhook_secret=SecretStr("whsec_abc"),
        webhook_allow_networks=("127.0.0.0/8", "10.0.0.0/8"),
    )

    for name, value in environment(settings, {"TIDEGAUGE_PROJECT": "not this"}).items():
        monkeypatch.setenv(name, value)

    assert Settings() == settings


def test_a_port_in_use_stops_the_start_and_names_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        http, dashboard = free_ports(2)
        settings = Settings(otlp_http_port=http, otlp_grpc_port=port, dashboard_port=dashboard)

        with pytest.raises(CannotStart, match=rf":{port}: .*--otlp-grpc-port"):
            check_ports(settings)
        assert free_port("127.0.0.1", port) != port


def test_a_free_port_is_found_where_0_was_asked_for() -> None:
    settings = with_ports(Settings(otlp_http_port=0, otlp_grpc_port=0, dashboard_port=0))

    ports = {settings.otlp_http_port, settings.otlp_grpc_port, settings.dashboard_port}
    assert len(ports) == 3
    assert 0 not in ports
    assert f"http://127.0.0.1:{settings.otlp_http_port}" in addresses(settings)[0]


@pytest.mark.slow
def test_up_serves_prints_the_exporter_line_and_stops_with_code_0(tmp_path: Path) -> None:
    http, grpc, dashboard = free_ports(3)
    command = [sys.executable, "-m", "tidegauge", "up"]
    command += ["--database-url", f"sqlite:///{tmp_path / 'up.db'}"]
    command += ["--otlp-http-port", str(http), "--otlp-grpc-port", str(grpc)]
    command += ["--dashboard-port", str(dashboard)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    ) as process:
        try:
            assert process.stdout is not None
            seen = ""
            while "Ctrl-C stops it." not in seen:
                line = process.stdout.readline()
                assert line, seen
                seen += line
            assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{http}" in seen
            assert answers(f"http://127.0.0.1:{dashboard}/_stcore/health")
        finally:
            process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()

    assert process.returncode == 0, rest
    assert "Tidegauge has stopped." in rest
    assert not answers(f"http://127.0.0.1:{http}/healthz")
