"""``tidegauge prices``: rates, where they come from, what has none, and what apps say."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.world import a_call
from tidegauge import clock
from tidegauge.cli import app
from tidegauge.pricing import price
from tidegauge.store import spans
from tidegauge.store.engine import Engine, write

OWN = '[prices."our-llama"]\ninput_usd_per_mtok = 0.5\noutput_usd_per_mtok = 1.25\n'


def run(*words: str, **env: str) -> str:
    result = CliRunner().invoke(app, ("prices", *words), env={"COLUMNS": "220", **env})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def database(sqlite_engine: Engine, sqlite_url: str) -> str:
    now = clock.now()
    recent: dict[str, Any] = {"started_at": now - timedelta(hours=1)}
    ours: dict[str, Any] = {"response_model": None, "request_model": "our-llama"}
    calls = [
        price(a_call(1, **recent, app_cost_usd=Decimal("0.000264"))),
        price(a_call(2, **recent)),
        price(a_call(3, **recent, **ours, provider="vllm")),
        price(a_call(4, **recent, project="other")),
        price(a_call(5, started_at=now - timedelta(days=20), request_model="old")),
        price(a_call(6, **recent, response_model="\x1b[2Jbad", request_model=None)),
    ]
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=now)
    return sqlite_url


def records(text: str) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    return {one["request_model"] or one["response_model"]: one for one in found}


def test_a_listed_model_shows_its_rates_and_how_the_apps_cost_compares(database: str) -> None:
    found = records(run("--database-url", database, "--format", "jsonl"))

    listed = found["gpt-4o-mini"]
    assert (listed["price_from"], listed["price_name"]) == ("list", "openai/gpt-4o-mini")
    assert (listed["input_usd_per_mtok"], listed["output_usd_per_mtok"]) == (0.15, 0.6)
    assert (listed["calls"], listed["calls_with_both_costs"], listed["unpriced_calls"]) == (2, 1, 0)
    assert listed["cost_usd"] == pytest.approx(2 * 0.000132)
    assert listed["app_to_ours"] == pytest.approx(2)
    assert set(found) == {"gpt-4o-mini", "our-llama", "\x1b[2Jbad"}


def test_a_model_without_a_price_is_counted_until_it_has_one(database: str, tmp_path: Path) -> None:
    ours = records(run("--database-url", database, "--format", "jsonl"))["our-llama"]
    assert (ours["price_from"], ours["cost_usd"], ours["input_usd_per_mtok"]) == (None, None, None)
    assert (ours["unpriced_calls"], ours["unpriced_tokens"]) == (1, 520)

    path = tmp_path / "tidegauge.toml"
    path.write_text(OWN, encoding="utf-8")
    given = {"TIDEGAUGE_POLICY_FILE": str(path)}
    ours = records(run("--database-url", database, "--format", "jsonl", **given))["our-llama"]
    assert (ours["price_from"], ours["price_name"]) == ("own", "our-llama")
    assert ours["output_usd_per_mtok"] == 1.25
    assert ours["unpriced_calls"] == 1  # what is stored keeps what it cost


def test_the_table_says_it_in_words_and_steers_no_terminal(database: str) -> None:
    shown = run("--database-url", database)

    assert "list: openai/gpt-4o-mini" in shown
    assert "no price" in shown
    assert "Without a price: 2 calls with 1,040 tokens under 2 names." in shown
    assert "Applications told the cost of 1 priced calls: $0.0003, 200.0% of ours" in shown
    assert "\x1b" not in shown


def test_since_and_project_choose_the_calls(database: str) -> None:
    assert "old" in run("--database-url", database, "--since", "30d")
    other = records(run("--database-url", database, "--project", "other", "--format", "jsonl"))
    assert [one["calls"] for one in other.values()] == [1]
    assert "No call was stored" in run("--database-url", database, "--project", "nobody")
