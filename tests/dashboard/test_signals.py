"""How buckets become the numbers that are drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboard import scope, signals
from dashboard.signals import CATALOG
from tests.world import NOON
from tidegauge.bucket import Bucket, Measure, Measured
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Series, Signal
from tidegauge.histogram import Histogram

BOT = Series("default", "bot", "prod", "answer", "gpt-4o")
BUCKET = Bucket(
    series=BOT,
    start=NOON,
    calls=4,
    errors=1,
    truncated=1,
    truncation_known=2,
    cost_usd=0.5,
    cost_known=3,
    measures={Measure.LATENCY: Measured.of([1.0, 4.0])},
)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latency", 2.0),  # geometric
        ("errors", 0.25),
        ("truncation", 0.5),
        ("requests", 4.0),
        ("cost", 0.5),
        ("ttft", None),
        ("output_tokens_p95", None),
    ],
)
def test_a_number_over_one_hour(key: str, value: float | None) -> None:
    assert signals.value_of(CATALOG[key], [BUCKET], HOUR) == pytest.approx(value)


def test_the_p95_is_that_of_all_calls_and_not_a_mean_of_p95s() -> None:
    slow = replace(BUCKET, measures={Measure.LATENCY: Measured.of([100.0])})
    fast = replace(BUCKET, measures={Measure.LATENCY: Measured.of([1.0] * 99)})
    found = signals.value_of(CATALOG["latency_p95"], [slow, fast], HOUR)
    assert found == pytest.approx(1.0, rel=0.03)


def test_merging_many_shapes_gives_what_adding_them_gives() -> None:
    parts = [
        replace(BUCKET, measures={Measure.LATENCY: Measured.of([i / 7, i + 1.0, 0.0])})
        for i in range(1, 20)
    ]
    added = Histogram()
    for part in parts:
        added = added + part.measured(Measure.LATENCY).histogram
    assert signals.shape(parts, Measure.LATENCY) == added


@pytest.mark.parametrize("key", ["errors", "truncation", "cost", "latency"])
def test_what_no_call_carries_is_unknown_and_not_zero(key: str) -> None:
    assert signals.value_of(CATALOG[key], [], HOUR) is None


def test_steps_without_calls_are_gaps() -> None:
    span = scope.between(NOON, NOON + HOUR)
    late = replace(BUCKET, start=NOON + 3 * MINUTE)
    line = signals.points(CATALOG["errors"], [BUCKET, late], span)
    assert line.value[:4] == (0.25, None, None, 0.25)


def test_five_minute_steps_hold_all_their_minutes() -> None:
    span = scope.between(NOON, NOON + 6 * HOUR)
    minutes = [replace(BUCKET, start=NOON + i * MINUTE) for i in range(5)]
    assert signals.points(CATALOG["requests"], minutes, span).value[0] == 4 * 5 * 12


@pytest.mark.parametrize(
    ("window", "step"), [("1h", MINUTE), ("6h", 5 * MINUTE), ("24h", HOUR), ("7d", HOUR)]
)
def test_a_window_is_drawn_in_steps_that_suit_it(window: str, step: object) -> None:
    assert scope.span(window, NOON).step == step


def test_a_week_earlier_is_the_same_hours() -> None:
    span = scope.span("24h", NOON)
    assert span.week_earlier().since == span.since - 7 * DAY


@pytest.mark.parametrize("signal", list(Signal))
def test_every_signal_that_is_watched_can_be_drawn_under_its_own_name(signal: Signal) -> None:
    assert CATALOG[signal.value].signal is signal
