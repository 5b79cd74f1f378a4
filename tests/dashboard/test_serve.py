"""The dashboard's server: what it binds, what it answers, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.error
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from subprocess import run
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from dashboard import serve
from tests.dashboard.server import Served, environment, serving
from tidegauge.settings import Settings


@pytest.fixture(scope="module")
def served(world_file: Path) -> Iterator[Served]:
    """Return a running dashboard over the world."""
    with serving(f"sqlite:///{world_file}") as one:
        yield one


def test_health_answers_ok_while_the_database_answers(served: Served) -> None:
    with urlopen(f"{served.url}/api/healthz") as answer:  # noqa: S310 (our own address)
        assert json.load(answer) == {"status": "ok"}


def test_health_answers_503_without_a_database(tmp_path: Path) -> None:
    with serving(f"sqlite:///{tmp_path}/not-migrated.db", healthy=503) as one:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urlopen(f"{one.url}/api/healthz")  # noqa: S310 (our own address)
        refused.value.close()
    assert refused.value.code == 503


@pytest.mark.parametrize("path", ["/", "/alerts", "/api/healthz", "/_stcore/health"])
def test_every_answer_carries_the_security_headers(served: Served, path: str) -> None:
    with urlopen(served.url + path) as answer:  # noqa: S310 (our own address)
        headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "'unsafe-eval'" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [("Host", "evil.example", 403), ("Origin", "http://evil.example", 403), ("X", "y", 101)],
)
def test_a_page_of_another_site_cannot_open_the_stream_of_data(
    served: Served, name: str, value: str, status: int
) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        name: value,
    }
    address = urlsplit(served.url)
    connection = HTTPConnection(address.hostname or "", address.port)
    connection.request("GET", "/_stcore/stream", headers=headers)
    with connection.getresponse() as answer:
        assert answer.status == status
    connection.close()


def test_a_port_in_use_is_one_clear_line_and_exit_2(sqlite_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run(
            [sys.executable, "-m", "dashboard"],
            env=environment(sqlite_url, port),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--dashboard-port" in line


def test_a_database_that_cannot_be_used_is_one_clear_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(
        [sys.executable, "-m", "dashboard"],
        env=environment(f"sqlite:///{tmp_path}/file/x.db", 0),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1


def test_sigterm_ends_it_at_once_and_cleanly(world_file: Path) -> None:
    with serving(f"sqlite:///{world_file}") as one:
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(timeout=5) in (0, -signal.SIGTERM)


def test_links_lead_to_the_port_that_was_found(served: Served) -> None:
    assert not served.url.endswith(":0")


def test_the_host_names_allowed_are_our_own() -> None:
    names = serve.allowed_hosts(Settings(host="10.0.0.5", public_url="https://tide.example/x"))
    assert {"10.0.0.5", "tide.example", "localhost"} <= set(names)


def test_nothing_in_the_options_calls_home() -> None:
    options = serve.config(Settings(), 1)
    assert options["browser.gatherUsageStats"] is False
    assert options["logger.hideWelcomeMessage"] is True
    assert options["client.allowedOrigins"] == []


def test_streamlit_s_own_inline_script_is_allowed_by_its_hash_only() -> None:
    hashes = serve.inline_scripts()
    assert hashes
    assert all(one in serve.content_policy(hashes) for one in hashes)
    assert "script-src 'self' 'wasm-unsafe-eval' 'sha256-" in serve.content_policy(hashes)
