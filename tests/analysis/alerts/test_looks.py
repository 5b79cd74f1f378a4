from __future__ import annotations

from datetime import datetime

import pytest

from analysis.alerts.looks import Look, looks, out
from tests.alert_world import BOT, moved, unknown, usual
from tidegauge.alert import Member, Severity
from tidegauge.finding import Finding, Signal, Verdict

LENGTH = Signal.OUTPUT_TOKENS
MEMBER = Member("output_tokens", BOT)


def one(*findings: Finding) -> Look:
    found = looks(findings)
    assert set(found) == {MEMBER}
    return found[MEMBER]


def test_the_strongest_window_that_moved_speaks(now: datetime) -> None:
    strong = moved(LENGTH, now, minutes=15, strength=30.0)
    found = one(moved(LENGTH, now), strong, unknown(LENGTH, now, minutes=60))

    assert found.finding == strong
    assert found.start == moved(LENGTH, now)  # the shortest says best when it began
    assert found.out


def test_unknown_windows_do_not_hide_a_usual_one(now: datetime) -> None:
    found = one(unknown(LENGTH, now), usual(LENGTH, now, minutes=60))

    assert (found.verdict, found.back) == (Verdict.USUAL, True)


def test_only_unknown_windows_are_unknown(now: datetime) -> None:
    found = one(unknown(LENGTH, now), unknown(LENGTH, now, minutes=60))

    assert (found.verdict, found.out, found.back) == (Verdict.UNKNOWN, False, False)


def test_only_members_that_are_out_count(now: datetime) -> None:
    seen = looks([moved(LENGTH, now), usual(Signal.ERRORS, now)])

    assert [look.finding.signal for look in out(seen, seen)] == [LENGTH]
    assert out([Member("latency", BOT)], seen) == []


@pytest.mark.parametrize(
    ("signal", "value", "severity"),
    [
        (Signal.ERRORS, 0.25, Severity.CRITICAL),
        (Signal.ERRORS, 0.05, Severity.ERROR),
        (Signal.TRUNCATION, 0.18, Severity.ERROR),
        (Signal.TRUNCATION, 0.04, Severity.WARNING),
        (Signal.LATENCY, 6.0, Severity.ERROR),
        (Signal.LATENCY, 4.0, Severity.WARNING),
        (Signal.OUTPUT_TOKENS, 1140.0, Severity.ERROR),
        (Signal.OUTPUT_TOKENS, 200.0, Severity.WARNING),
        (Signal.INPUT_TOKENS, 9000.0, Severity.WARNING),
    ],
)
def test_severity_follows_from_how_much_users_are_hurt(
    now: datetime, signal: Signal, value: float, severity: Severity
) -> None:
    found = looks([moved(signal, now, now=value)])[Member(signal.value, BOT)]

    assert found.severity is severity


def test_how_it_is_now_is_what_the_shortest_known_window_says(now: datetime) -> None:
    short = usual(LENGTH, now, minutes=15)
    found = one(unknown(LENGTH, now), short, moved(LENGTH, now, minutes=60))

    assert found.newest == short
    assert one(unknown(LENGTH, now)).newest == unknown(LENGTH, now)
