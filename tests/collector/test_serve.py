"""Start and stop of the whole process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2 as sqlite

from bench.bodies import build
from bench.senders import Senders, over_http
from bench.servers import Collector
from tests.processes import until
from tidegauge.store.engine import open_engine, read, write
from tidegauge.store.migrate import upgrade


def starting(url: str, stderr: int = subprocess.PIPE, /, **settings: str) -> subprocess.Popen[str]:
    """Start a collector on free ports; do not wait for it."""
    environment = {"TIDEGAUGE_DATABASE_URL": url, "TIDEGAUGE_OTLP_HTTP_PORT": "0"}
    environment |= {"TIDEGAUGE_OTLP_GRPC_PORT": "0", **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "collector"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def refused_start(url: str, **settings: str) -> str:
    """Start a collector that cannot start; return its one line."""
    process = starting(url, **settings)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    return str(lines[0])


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


def test_a_postgres_that_is_not_there_is_waited_for_until_the_stop() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        port = nobody.getsockname()[1]
        waiting = starting(f"postgresql://tidegauge:secret@127.0.0.1:{port}/tidegauge")
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        assert waiting.poll() is None
        waiting.terminate()
        _, rest = waiting.communicate(timeout=20)
    assert "does not answer yet" in line
    assert waiting.returncode == 0
    assert "secret" not in line + rest
    assert "Traceback" not in rest


def test_a_collector_starts_while_another_process_writes(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    lock = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with Collector(sqlite_url) as collector:
        lock.rollback()
        lock.close()
        assert collector.stop()[0] == 0


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes\n" * 1000)
    assert "not a database" in refused_start(f"sqlite:///{path}")


def test_a_collector_whose_log_nobody_reads_serves_on(sqlite_url: str, tmp_path: Path) -> None:
    reads, writes = os.pipe()
    process = starting(sqlite_url, writes)
    os.close(writes)
    assert process.stdout is not None
    found = re.search(r"HTTP on (\S+), gRPC on (\S+)", process.stdout.readline())
    assert found
    os.close(reads)  # from here on a line of the log is a broken pipe
    lock = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    body = build(4, 1).raw
    headers = {"Content-Type": "application/x-protobuf"}
    with httpx.Client(base_url=found[1], headers=headers, timeout=20) as client:
        lock.execute("BEGIN IMMEDIATE")
        assert client.post("/v1/traces", content=body).status_code == 503
        assert client.get("/readyz").status_code == 503
        lock.rollback()
        lock.close()
        assert until(lambda: client.post("/v1/logs", content=b"").status_code == 200)
        assert client.post("/v1/traces", content=b"\xff").status_code == 400
        assert client.post("/v1/traces", content=body).status_code == 200
        assert client.get("/readyz").json()["reasons"] == []
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


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
