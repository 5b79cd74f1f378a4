"""What a process needs is not there: one line says what and why, the exit code is not 0."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.ports import free_ports
from tidegauge.store.migrate import upgrade

WITHIN_S = 60


def start(verb: Sequence[str], url: str, given: Mapping[str, str]) -> tuple[int, list[str], str]:
    """Run a verb that cannot start; return its exit code, its lines of error, what it said."""
    http, grpc, page = free_ports(3)
    environment = {
        **os.environ,
        "TIDEGAUGE_DATABASE_URL": url,
        "TIDEGAUGE_OTLP_HTTP_PORT": str(http),
        "TIDEGAUGE_OTLP_GRPC_PORT": str(grpc),
        "TIDEGAUGE_DASHBOARD_PORT": str(page),
        **given,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge", *verb],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line and "[info" not in line]
    return done.returncode, lines, done.stdout


def says(words: str, found: tuple[int, list[str], str]) -> None:
    """Assert that it ended with one line that holds ``words``, and began nothing."""
    code, lines, out = found
    assert code not in (0, 1)
    assert words in lines[-1]
    assert len([line for line in lines if line.startswith("tidegauge")]) == 1
    assert not any("Traceback" in line for line in lines)
    assert "collects OTLP" not in out


VERBS = pytest.mark.parametrize("verb", [["collect"], ["up"]], ids=["collect", "up"])


@VERBS
def test_r29_a_folder_that_cannot_be_entered(verb: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    says("cannot be written", start(verb, f"sqlite:///{tmp_path / 'file' / 't.db'}", {}))


@VERBS
def test_r29_a_file_that_is_no_database(verb: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("these are my notes\n" * 1000)
    says("not a database", start(verb, f"sqlite:///{tmp_path / 't.db'}", {}))


@VERBS
def test_r29_a_schema_of_a_later_version(verb: list[str], sqlite_url: str) -> None:
    upgrade(sqlite_url)
    with sqlite.connect(sqlite_url.removeprefix("sqlite:///")) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    says("newer than this Tidegauge", start(verb, sqlite_url, {}))


@VERBS
@pytest.mark.parametrize("port", ["TIDEGAUGE_OTLP_HTTP_PORT", "TIDEGAUGE_OTLP_GRPC_PORT"])
def test_r29_a_port_that_is_taken(verb: list[str], port: str, sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        says(str(taken), start(verb, sqlite_url, {port: str(taken)}))


@VERBS
def test_r29_a_setting_that_does_not_exist(verb: list[str], sqlite_url: str) -> None:
    says("TIDEGAUGE_HOSTT", start(verb, sqlite_url, {"TIDEGAUGE_HOSTT": "x"}))


def test_r29_a_policy_that_is_not_there(sqlite_url: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "tidegauge.toml")
    says("tidegauge.toml", start(["up"], sqlite_url, {"TIDEGAUGE_POLICY_FILE": missing}))


def test_r29_a_postgres_that_is_not_there() -> None:
    (port,) = free_ports(1)
    url = f"postgresql://nobody:secret@127.0.0.1:{port}/none"
    found = start(["up"], url, {})
    says("does not answer", found)
    assert "secret" not in "".join(found[1])


@VERBS
def test_r29_a_folder_in_the_place_of_the_file(verb: list[str], tmp_path: Path) -> None:
    says("cannot be written", start(verb, f"sqlite:///{tmp_path}", {}))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write whatever its rights are")
def test_r29_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    says("cannot be written", start(["collect"], f"sqlite:///{tmp_path / 't.db'}", {}))
