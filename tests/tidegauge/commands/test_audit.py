"""``tidegauge audit``: what it prints, and what it exits with."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.world import a_call
from tidegauge import clock
from tidegauge.audit import Audited, Group, Level, Remark
from tidegauge.cli import app
from tidegauge.commands.audit import EMPTY, print_text
from tidegauge.store import spans
from tidegauge.store.engine import Engine, write

ESCAPES = Group("sh\x1bop", "genai", "lib", "1.0", "m")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words])


@pytest.fixture
def database(sqlite_engine: Engine, sqlite_url: str) -> str:
    now = clock.now()
    calls = [
        a_call(n, started_at=now, streaming=True, output_tokens=None if n < 3 else 5, cost_usd=one)
        for n, one in enumerate([Decimal("0.01")] * 4)
    ]
    calls.append(a_call(9, service="quiet", started_at=now, cost_usd=Decimal("0.01")))
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=now - timedelta(minutes=1))
    return sqlite_url


def test_a_group_has_a_line_and_each_remark_its_share_and_remedy(database: str) -> None:
    said = run("--database-url", database).stdout
    assert "checkout-bot | gpt-4o-mini | genai | 4 calls" in said
    assert "! 75.0% (3 of 4): streams without token counts" in said
    assert "stream_options={'include_usage': true}" in said
    assert said.splitlines()[-1] == "1 problem in 2 groups."


def test_jsonl_is_one_object_a_group(database: str) -> None:
    result = run("--database-url", database, "--format", "jsonl")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["service"], first["calls"], first["dialect"]) == ("checkout-bot", 4, "genai")
    problem = first["findings"][0]
    assert (problem["rule"], problem["level"], problem["share"]) == (
        "no_usage_on_streams",
        "problem",
        0.75,
    )
    assert {one["level"] for one in second["findings"]} == {"note"}


def test_only_a_problem_fails_and_only_where_asked(database: str) -> None:
    assert run("--database-url", database).exit_code == 0
    assert run("--database-url", database, "--fail-on-findings").exit_code == 1
    asked = ("--fail-on-findings", "--service", "quiet")
    assert run("--database-url", database, *asked).exit_code == 0


def test_nothing_received_is_explained(database: str) -> None:
    result = run("--database-url", database, "--since", "0s", "--project", "other")
    assert EMPTY in result.stdout
    assert result.exit_code == 0


def test_a_sender_s_names_do_not_steer_the_terminal() -> None:
    remark = Remark(rule="r", level=Level.NOTE, calls=1, of=1, meaning="a\x1b[2J", fix="b\x07")
    out = io.StringIO()
    found = [
        Audited(group=ESCAPES, calls=1, remarks=[remark]),
        Audited(group=ESCAPES, calls=1, remarks=[]),
    ]
    print_text(found, Console(file=out, width=100))
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert "Nothing is missing." in out.getvalue()
