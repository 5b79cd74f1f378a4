"""The ledger as a table and as lines of JSON, from what the store holds."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from rich.console import Console

from tests.world import NOON
from tidegauge.commands.ledger import print_jsonl, print_table
from tidegauge.source import Source
from tidegauge.store.ledger import Claim, Line

BOT = Line(
    Source("default", "k1", "checkout-bot", "python/opentelemetry 1.45.2", "OTel/1.45.2"),
    {
        "accepted": 1200,
        "duplicate": 50,
        "rejected:bad_span_id": 2,
        "rejected:unreadable": 9,
        "late": 4,
        "sdk_dropped:attributes": 7,
        "json_not_read": 3,
        "json_lenient:snake_case": 8,
        "logs:joined": 6,
    },
    NOON,
    NOON + timedelta(seconds=5),
)
REFUSED = Line(Source("default", user_agent="curl/8"), {"refused:bad_otlp": 3}, NOON, NOON)


def table_of(*lines: Line, claim: Claim | None = None, width: int = 300) -> str:
    out = io.StringIO()
    print_table(lines, claim, Console(file=out, width=width))
    return out.getvalue()


def test_a_line_says_what_became_of_the_spans_of_one_exporter() -> None:
    said = table_of(BOT, REFUSED, claim=Claim(1200, 1200))
    bot = said.splitlines()[1]
    for words in ("checkout-bot", "python/opentelemetry 1.45.2", "k1", "1,261", "1,200", "50"):
        assert words in bot
    assert "9 unreadable, 2 bad_span_id" in bot
    assert "7 attributes" in bot
    assert "8 lenient:snake_case, 3 not_read" in bot
    assert "2026-01-15 12:00:05" in bot
    assert said.splitlines()[2].split()[:4] == ["(not", "read)", "-", "curl/8"]
    assert "3 bad_otlp" in said
    assert "They agree." in said


def test_a_narrow_terminal_leaves_out_what_is_nowhere() -> None:
    said = table_of(BOT, width=120)
    assert "rejected" in said
    assert "future" not in said
    assert "future" in table_of(BOT, width=300)


def test_who_sent_no_span_has_no_line() -> None:
    quiet = Line(Source("default", "k2"), {"logs:joined": 6}, NOON, NOON)
    assert "k2" not in table_of(BOT, quiet)
    assert "send-test" in table_of(quiet)


def test_an_empty_ledger_says_what_to_do() -> None:
    assert "tidegauge send-test" in table_of(claim=Claim(0, 0))


def test_an_empty_ledger_says_from_when_on_it_is_kept_and_what_is_there_all_the_same() -> None:
    said = table_of(claim=Claim(0, 0, NOON))
    assert "Since 2026-01-15 12:00 UTC: No span was received" in said
    assert "Further back" in said
    assert "No span" not in table_of(claim=Claim(0, 3))
    assert "3 were written past the collector" in table_of(claim=Claim(0, 3))


def test_what_a_sender_chose_cannot_steer_the_terminal() -> None:
    hostile = Source("default", service="a\x1b[2Jb", sdk="[red]x\nrm")
    said = table_of(Line(hostile, {"accepted": 1}, NOON, NOON))
    assert "\x1b" not in said
    assert "a?[2Jb" in said
    assert "[red]x?rm" in said


def test_jsonl_has_every_number_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_jsonl([BOT, REFUSED])
    bot, refused = map(json.loads, capsys.readouterr().out.splitlines())
    assert (bot["service"], bot["received"], bot["stored"], bot["duplicate"]) == (
        "checkout-bot",
        1261,
        1200,
        50,
    )
    assert bot["rejected"] == {"bad_span_id": 2, "unreadable": 9}
    assert (bot["late"], bot["future"], bot["dropped_by_sdk"]) == (4, 0, {"attributes": 7})
    assert (bot["json_not_read"], bot["json_lenient"]) == (3, {"snake_case": 8})
    assert (bot["log_records"], bot["metric_points"]) == ({"joined": 6}, {})
    assert bot["last_seen"] == "2026-01-15T12:00:05Z"
    assert (refused["refused_requests"], refused["stored"]) == ({"bad_otlp": 3}, 0)
