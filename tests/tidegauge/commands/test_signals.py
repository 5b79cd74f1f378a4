"""Logs, metrics and tokens below the ledger, from what the store holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from tidegauge.clock import DAY
from tidegauge.commands.signals import print_ledger, print_signals
from tidegauge.settings import Settings
from tidegauge.source import Source
from tidegauge.store import ledger
from tidegauge.store.engine import Engine, write
from tidegauge.store.token_metrics import TokenCheck
from tidegauge.token_count import TokenType

LESS = TokenCheck("shop", "gpt-4o-mini", TokenType.INPUT, 1_000, 987)
ALONE = TokenCheck("shop", "new", TokenType.OUTPUT, None, 5)


def said(*checks: TokenCheck, counts: Mapping[str, int] = {}) -> str:
    out = io.StringIO()
    print_signals(counts, checks, Console(file=out, width=160))
    return out.getvalue()


def test_nothing_is_said_of_what_was_not_sent() -> None:
    assert said(counts={"accepted": 5, "refused:bad_otlp": 1}) == ""


def test_outcomes_of_logs_and_metrics_stand_apart() -> None:
    counts = {"logs:stored": 1_200, "logs:not_kept": 3, "logs:no_span": 7, "metrics:stored": 2}
    assert said(counts=counts).splitlines() == [
        "Log records: 1,200 stored, 7 no span, 3 not kept.",
        "Metric points: 2 stored.",
    ]


def test_tokens_by_metric_stand_beside_tokens_by_calls() -> None:
    lines = said(LESS, ALONE).splitlines()
    assert lines[1].split() == ["shop", "gpt-4o-mini", "input", "1,000", "987", "98.7%"]
    assert lines[2].split() == ["shop", "new", "output", "-", "5", "-"]
    assert "spans are missing" in lines[3]


def test_what_a_sender_chose_cannot_steer_the_terminal() -> None:
    hostile = TokenCheck("a\x1b[2Jb", "[red]x\nrm", TokenType.INPUT, 1, 1)
    assert "a?[2Jb" in said(hostile)
    assert "[red]x?rm" in said(hostile)


def test_spans_that_the_policy_deletes_are_not_said_to_be_lost(
    sqlite_engine: Engine, now: datetime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "tidegauge.toml"
    policy.write_text("[projects.default]\ncontent_days = 1\nnumbers_days = 1\n")
    with write(sqlite_engine) as db:
        ledger.record(db, now - 2 * DAY, {(Source("default", service="shop"), "accepted"): 9})
    url = sqlite_engine.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, policy_file=policy)
    print_ledger(settings, now - 3 * DAY, now, None, jsonl=False)
    told = " ".join(capsys.readouterr().out.split())
    assert "Claimed as stored: 0; in the table: 0. They agree." in told
    assert "lost" not in told
