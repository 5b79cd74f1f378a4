"""Effect and evidence are both needed, and what is missing is said."""

from __future__ import annotations

import math

import pytest

from analysis.judge import Gates, judge_mean, judge_rate
from analysis.windows import Sums, Usual, Window
from tests.world import NOON
from tidegauge.bucket import Bucket
from tidegauge.clock import MINUTE
from tidegauge.finding import Finding, Series, Signal, Verdict

NOW = Window(
    since=NOON,
    until=NOON + 5 * MINUTE,
    bucket=Bucket(series=Series("p", "s", "e", "u", "m"), start=NOON),
)
GATES = Gates(min_calls=50, threshold=10.0, ratio=0.2, points=0.02)


def mean(level: float, n: int = 200, *, hours: int = 48, rise_only: bool = False) -> Finding:
    usual = Usual(value=5.0, wander=0.03**2, call_variance=0.25, hours=hours)
    seen = Sums(n, n * level, n * (level**2 + 0.25))
    return judge_mean(Signal.OUTPUT_TOKENS, usual, NOW, seen, GATES, rise_only=rise_only)


def rate(events: int, n: int = 400, usual: float = 0.01) -> Finding:
    known = Usual(value=usual, wander=(0.3 * usual) ** 2, call_variance=0.01, hours=48)
    return judge_rate(Signal.ERRORS, known, NOW, Sums(n, events, events), GATES)


def test_a_mean_is_given_in_its_unit_with_its_band() -> None:
    found = mean(6.0)

    assert found.verdict is Verdict.MOVED
    assert found.now == pytest.approx(math.exp(6.0))
    assert found.usual == pytest.approx(math.exp(5.0))
    assert found.usual_high == pytest.approx(math.exp(5.09))
    assert (found.since, found.until, found.calls) == (NOON, NOON + 5 * MINUTE, 200)


def test_a_fall_counts_where_it_is_asked_for() -> None:
    assert mean(4.0).verdict is Verdict.MOVED
    assert mean(4.0, rise_only=True).verdict is Verdict.USUAL


def test_a_large_move_of_few_calls_is_not_enough_evidence() -> None:
    assert mean(5.25, n=60).verdict is Verdict.USUAL


def test_a_certain_move_of_little_effect_is_usual_and_says_so() -> None:
    found = mean(5.15, n=100_000)

    assert found.verdict is Verdict.USUAL
    assert "smaller than the least effect" in found.why


def test_what_was_seen_is_shown_even_where_the_answer_is_unknown() -> None:
    found = mean(6.0, hours=3)

    assert found.verdict is Verdict.UNKNOWN
    assert found.why == "still learning: 3 of 24 hours with enough calls"
    assert found.now == pytest.approx(math.exp(6.0))
    assert found.usual is None


def test_one_call_never_has_moved() -> None:
    gates = Gates(min_calls=0, threshold=1.0)
    usual = Usual(value=5.0, wander=0.01, call_variance=0.1, hours=48)
    found = judge_mean(Signal.LATENCY, usual, NOW, Sums(), gates, rise_only=True)

    assert found.verdict is Verdict.UNKNOWN


def test_a_rate_that_rose_by_points_and_by_ratio_has_moved() -> None:
    found = rate(60)

    assert found.verdict is Verdict.MOVED
    assert found.now == pytest.approx(0.15)
    assert found.now_low is not None
    assert found.usual_high is not None
    assert found.now_low > found.usual_high


def test_a_rate_that_rose_by_less_than_the_points_is_usual() -> None:
    assert rate(270, n=10_000).verdict is Verdict.USUAL


def test_a_rate_that_fell_is_usual_without_evidence() -> None:
    found = rate(0, usual=0.3)

    assert (found.verdict, found.strength) == (Verdict.USUAL, 0.0)
