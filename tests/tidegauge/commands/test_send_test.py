"""send-test over a real collector: where a span went, or which step failed and what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.servers import Collector
from tests.ports import free_ports
from tests.world import NOON
from tidegauge.cli import app
from tidegauge.commands.send_test import SERVICE, a_span
from tidegauge.store import keys, ledger, spans
from tidegauge.store.engine import open_engine, read, write
from tidegauge.store.keys import Scope
from tidegauge.store.migrate import upgrade
from tidegauge.store.spans import Filter


def send(http: str, grpc: str, url: str, *more: str) -> Result:
    words = ("--endpoint", http, "--grpc", grpc, "--database-url", url, *more)
    return CliRunner().invoke(app, ["send-test", *words], env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('send') / 'tidegauge.db'}"


@pytest.fixture(scope="module")
def collector(database: str) -> Iterator[Collector]:
    with Collector(database) as running:
        yield running


def test_both_spans_are_followed_into_the_database_and_count_as_no_call(
    collector: Collector, database: str
) -> None:
    result = send(f"http://{collector.http}", collector.grpc, database)
    assert result.exit_code == 0, result.output
    assert "✗" not in result.output
    assert result.output.count("✓ answer") == result.output.count("✓ ledger") == 2
    assert f"{SERVICE}: received 1, stored 1, duplicate 0" in result.output

    engine = open_engine(database)
    with read(engine) as db:
        assert spans.count(db, "default") == 0  # calls
        assert spans.count(db, "default", Filter(all_spans=True, service=SERVICE)) == 2
        agents = {line.source.user_agent.split()[-1] for line in ledger.lines(db, "default", NOON)}
    engine.dispose()
    assert len(agents) == 2  # one line for each way


def test_where_nothing_listens_it_says_so_and_what_to_do(database: str) -> None:
    http, grpc = free_ports(2)
    result = send(f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}", database)
    assert result.exit_code == 1
    assert result.output.count("✗ reach") == 2
    for words in ("Connection refused", "tidegauge up", "--endpoint", "--grpc"):
        assert words in result.output
    assert "See them with" not in result.output


def test_an_address_that_is_none_is_no_crash(database: str) -> None:
    result = send("http://nowhere.invalid:x", "::::", database)
    assert result.exit_code == 1
    assert result.output.count("✗ reach") == 2


def test_a_span_that_went_into_another_database_is_missed(
    collector: Collector, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    result = send(f"http://{collector.http}", collector.grpc, other)
    assert result.exit_code == 1
    assert result.output.count("✓ answer") == result.output.count("✗ row") == 2
    assert "--database-url" in result.output


def test_the_wrong_one_of_the_two_ports_is_noticed(collector: Collector, database: str) -> None:
    result = send(f"http://{collector.grpc}", collector.http, database)
    assert result.exit_code == 1
    assert result.output.count("✗ answer") == 2
    assert "OTLP/HTTP port?" in result.output
    assert "OTLP/gRPC port?" in result.output


def test_with_a_key_it_goes_to_the_project_of_the_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    upgrade(url)
    engine = open_engine(url)
    key, token = keys.new("shop", "bot", Scope.INGEST, NOON)
    with write(engine) as db:
        keys.add(db, key)
    with Collector(url, require_keys="true") as collector:
        http = f"http://{collector.http}"
        # A process of its own: an exporter says the same only once in twenty seconds.
        words = ("--endpoint", http, "--grpc", collector.grpc, "--database-url", url)
        refused = subprocess.run(
            [sys.executable, "-m", "tidegauge", "send-test", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1
        assert refused.stdout.count("✗ answer") == 2
        for said in ("code: 401", "UNAUTHENTICATED", "with --key", "tidegauge keys create"):
            assert said in refused.stdout
        sent = send(http, collector.grpc, url, "--key", token)
    assert sent.exit_code == 0, sent.output
    assert sent.output.count("✓ row") == sent.output.count("project shop, trace") == 2
    assert f"tidegauge calls --all --service {SERVICE} --project shop" in sent.output
    assert token not in sent.output
    with read(engine) as db:
        assert {line.source.key_id for line in ledger.lines(db, "shop", NOON)} == {key.key_id}
    engine.dispose()


def test_every_span_has_ids_of_its_own() -> None:
    first, second = (a_span("HTTP", NOON).context for _ in range(2))
    assert (first.trace_id, first.span_id) != (second.trace_id, second.span_id)
