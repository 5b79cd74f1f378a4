"""The command line as people and scripts use it: help, formats, exit codes, one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.world import NOON, a_call
from tidegauge.call import NotCounted
from tidegauge.cli import app
from tidegauge.commands.calls import FIELDS
from tidegauge.store import spans
from tidegauge.store.engine import Engine, write

VERBS = (
    "up",
    "demo",
    "collect",
    "analyse",
    "dashboard",
    "migrate",
    "check",
    "calls",
    "alerts",
)


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(app, words, env=env)


@pytest.fixture
def database(sqlite_engine: Engine, sqlite_url: str) -> str:
    calls = [
        a_call(1, cost_usd=Decimal("0.000123456"), finish_reasons=("length",)),
        a_call(2, service="billing-bot", started_at=NOON + timedelta(hours=1)),
        a_call(3, not_counted=NotCounted.WRAPPER, operation=None),
    ]
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=NOON)
    return sqlite_url


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = run(verb, "--help")

    assert result.exit_code == 0
    assert f"Example: tidegauge {verb}" in result.output


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"demo"}))
def test_every_verb_that_touches_the_store_takes_a_database_url(verb: str) -> None:
    assert "--database-url" in run(verb, "--help", COLUMNS="120").output


def test_the_version_is_printed() -> None:
    assert run("--version").output.startswith("tidegauge ")


def test_calls_as_jsonl_are_the_record_and_only_counted_calls(database: str) -> None:
    first, second = rows(run("calls", "--format", "jsonl", "--database-url", database))

    assert tuple(first) == FIELDS
    assert first["started_at"] == "2026-01-15T12:00:00Z"
    assert first["cost_usd"] == 0.000123456
    assert first["finish_reasons"] == ["length"]
    assert second["cost_usd"] is None


def test_calls_with_all_say_why_a_span_does_not_count(database: str) -> None:
    found = rows(run("calls", "--format", "jsonl", "--all", "--database-url", database))

    assert sorted(str(row["not_counted"]) for row in found) == ["None", "None", "wrapper"]


def test_calls_are_chosen_by_service_time_and_number(database: str) -> None:
    base = ("calls", "--format", "jsonl", "--database-url", database)

    assert [r["service"] for r in rows(run(*base, "--service", "billing-bot"))] == ["billing-bot"]
    assert len(rows(run(*base, "--since", "2026-01-15T12:30:00Z"))) == 1
    assert len(rows(run(*base, "--limit", "1"))) == 1


def test_calls_as_a_table_show_the_services(database: str) -> None:
    result = run("calls", "--database-url", database, COLUMNS="160")

    assert result.exit_code == 0
    assert "billing-bot" in result.output


def test_alerts_of_an_empty_database_are_no_lines(sqlite_url: str) -> None:
    assert rows(run("alerts", "--format", "jsonl", "--database-url", sqlite_url)) == []


def test_check_of_an_empty_database_cannot_tell(sqlite_url: str) -> None:
    result = run("check", "--database-url", sqlite_url)

    assert result.exit_code == 2
    assert "none has come in yet" in result.output


def test_check_says_that_no_span_came_for_too_long(database: str) -> None:
    assert run("check", "--database-url", database).exit_code == 1


def test_check_of_a_database_that_cannot_be_opened_says_no(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = run("check", "--database-url", f"sqlite:///{tmp_path / 'file' / 'x.db'}")

    assert result.exit_code == 1
    assert "cannot be written" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "env", "part"),
    [
        (("migrate", "--database-url", "mysql://x"), {}, "TIDEGAUGE_DATABASE_URL"),
        (("migrate",), {"TIDEGAUGE_HOSTT": "x"}, "TIDEGAUGE_HOSTT: no such setting"),
        (("up", "--otlp-http-port", "99999"), {}, "TIDEGAUGE_OTLP_HTTP_PORT"),
        (("migrate", "--database-url", "sqlite:////proc/x/y.db"), {}, "cannot be written"),
    ],
)
def test_an_expected_error_is_one_line_and_exit_code_2(
    words: tuple[str, ...], env: dict[str, str], part: str
) -> None:
    result = run(*words, **env)

    assert result.exit_code == 2
    assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_bad_policy_stops_up_before_anything_starts(tmp_path: Path) -> None:
    policy = tmp_path / "tidegauge.toml"
    policy.write_text("[policy]\nmin_cals = 5\n")

    result = run("up", TIDEGAUGE_POLICY_FILE=str(policy))

    assert result.exit_code == 2
    assert "unknown key 'min_cals'" in result.stderr


def test_a_time_that_is_none_is_refused(sqlite_url: str) -> None:
    result = run("calls", "--since", "yesterday-ish", "--database-url", sqlite_url)

    assert result.exit_code == 2
    assert "yesterday-ish" in result.stderr


def test_analyse_at_a_time_needs_once(sqlite_url: str) -> None:
    result = run("analyse", "--at", "2026-01-15T12:00:00Z", "--database-url", sqlite_url)

    assert result.exit_code == 2


def test_a_reader_that_goes_away_leaves_no_traceback(
    sqlite_engine: Engine, sqlite_url: str
) -> None:
    with write(sqlite_engine) as db:
        spans.insert(db, [a_call(n, output="x" * 500) for n in range(900)], received_at=NOON)
    command = [sys.executable, "-m", "tidegauge", "calls", "--format", "jsonl"]
    command += ["--database-url", sqlite_url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == ""
