"""Start and stop of the whole process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.bodies import build
from bench.senders import Senders, over_http
from bench.servers import Collector
from tidegauge.store.engine import open_engine, read, write
from tidegauge.store.migrate import upgrade


def refused_start(url: str, **settings: str) -> str:
    """Start a collector that cannot start; return its one line."""
    environment = {"TIDEGAUGE_DATABASE_URL": url, "TIDEGAUGE_OTLP_HTTP_PORT": "0"}
    environment |= {"TIDEGAUGE_OTLP_GRPC_PORT": "0", **settings}
    done = subprocess.run(
        [sys.executable, "-m", "collector"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("port", ["TIDEGAUGE_OTLP_HTTP_PORT", "TIDEGAUGE_OTLP_GRPC_PORT"])
def test_a_port_in_use_is_named(port: str, sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        line = refused_start(sqlite_url, **{port: number})
    assert f"127.0.0.1:{number}" in line
    assert "in use" in line


def test_two_collectors_never_share_a_port(sqlite_url: str) -> None:
    with Collector(sqlite_url) as first:
        for port, address in (("HTTP", first.http), ("GRPC", first.grpc)):
            number = address.rsplit(":", 1)[1]
            assert number in refused_start(sqlite_url, **{f"TIDEGAUGE_OTLP_{port}_PORT": number})


def test_a_host_that_is_not_ours_is_named(sqlite_url: str) -> None:
    assert "203.0.113.1" in refused_start(sqlite_url, TIDEGAUGE_HOST="203.0.113.1")


def test_a_database_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused_start(f"sqlite:///{tmp_path / 'file' / 'tidegauge.db'}")
    assert "cannot be written" in line


def test_a_schema_of_the_future_is_left_alone(url: str) -> None:
    upgrade(url)
    engine = open_engine(url)
    with write(engine) as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer than this Tidegauge" in refused_start(url)
    with read(engine) as db:
        version = db.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    engine.dispose()
    assert version == "9999"


def test_a_postgres_that_is_not_there_is_said_so() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        port = nobody.getsockname()[1]
        line = refused_start(f"postgresql://tidegauge:secret@127.0.0.1:{port}/tidegauge")
    assert "secret" not in line


def test_a_wrong_setting_is_named(sqlite_url: str) -> None:
    assert "TIDEGAUGE_MAX_BODY_BYTES" in refused_start(sqlite_url, TIDEGAUGE_MAX_BODY_BYTES="x")
    assert "TIDEGAUGE_HOSTT" in refused_start(sqlite_url, TIDEGAUGE_HOSTT="x")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_taken_and_exits_with_0(
    number: signal.Signals, sqlite_url: str
) -> None:
    collector = Collector(sqlite_url)
    bodies = [build(50, seed) for seed in range(100)]
    senders = Senders(bodies, over_http(collector.http), 8)
    while len(senders.sent.acknowledged) < 10:
        assert collector.process.poll() is None
    collector.process.send_signal(number)
    code, log = collector.stop()
    sent = senders.join()
    assert code == 0, log
    assert "Traceback" not in log
    assert 0 < len(sent.acknowledged) < len(bodies)

    engine = open_engine(sqlite_url)
    with read(engine) as db:
        rows = db.exec_driver_sql("SELECT trace_id, span_id FROM span").all()
    engine.dispose()
    assert sent.keys <= {(bytes(trace), bytes(span)) for trace, span in rows}


def test_both_addresses_are_said_once_at_the_start(sqlite_url: str) -> None:
    with Collector(sqlite_url) as collector:
        assert collector.line == (
            f"Tidegauge collects OTLP: HTTP on http://{collector.http}, gRPC on {collector.grpc}\n"
        )
        code, log = collector.stop()
    assert code == 0
    assert log.count(collector.http) == 1
