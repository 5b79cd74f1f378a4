"""Buckets become numbers that a detector can hold against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from analysis.windows import (
    History,
    LengthLine,
    fit_line,
    history,
    profile_at,
    profile_over,
    seconds,
    settled,
    slot_of,
    sums,
    window,
)
from tests.world import NOON
from tidegauge.bucket import UNKNOWN_LENGTH, Bucket, LengthClass, Measure, Measured, length_class
from tidegauge.clock import HOUR, MINUTE
from tidegauge.finding import Series, Signal
from tidegauge.normal import hour_slot

SERIES = Series("p", "s", "e", "u", "m")


def bucket(calls: Sequence[tuple[int | None, float]], at: int = 0) -> Bucket:
    """Return a bucket of (output tokens, seconds) calls, ``at`` minutes after noon."""
    lengths: dict[int, LengthClass] = {}
    for tokens, latency in calls:
        log = math.log(latency)
        key = length_class(tokens)
        lengths[key] = lengths.get(key, LengthClass()) + LengthClass(1, log, log * log, tokens or 0)
    tokens_known = [tokens for tokens, _ in calls if tokens is not None]
    return Bucket(
        series=SERIES,
        start=NOON + at * MINUTE,
        calls=len(calls),
        measures={Measure.OUTPUT_TOKENS: Measured.of(tokens_known)},
        lengths=lengths,
    )


def on_a_line(base: float, slope: float, lengths: list[int]) -> Bucket:
    return bucket([(n, base + slope * n) for n in lengths for _ in range(30)])


def test_the_line_finds_the_time_to_start_and_the_time_per_token() -> None:
    line = fit_line([on_a_line(0.5, 0.01, [30, 100, 400, 1000])])

    assert line is not None
    assert (line.base_s, line.per_token_s) == pytest.approx((0.5, 0.01), rel=1e-6)


def test_a_length_never_seen_has_a_usual_latency_too() -> None:
    line = fit_line([on_a_line(0.5, 0.01, [30, 100])])
    longer = on_a_line(0.5, 0.01, [4000])

    assert line is not None
    assert sums(longer, Signal.LATENCY, line).value == pytest.approx(line.reference, abs=1e-6)


def test_longer_answers_are_no_slower_model() -> None:
    before = on_a_line(0.5, 0.01, [50, 100, 200])
    line = fit_line([before])

    assert line is not None
    slower = bucket([(200, 2 * 2.5) for _ in range(9)])
    assert sums(slower, Signal.LATENCY, line).value == pytest.approx(
        line.reference + math.log(2), abs=1e-6
    )


def test_one_length_only_is_taken_as_time_per_token() -> None:
    line = fit_line([on_a_line(0.0, 0.02, [100])])

    assert line is not None
    assert (line.base_s, line.per_token_s) == pytest.approx((0.0, 0.02))


def test_calls_of_unknown_length_have_a_usual_latency_of_their_own() -> None:
    line = fit_line([bucket([(None, 2.0)] * 30)])

    assert line is not None
    assert line.expected(UNKNOWN_LENGTH, 0) == pytest.approx(math.log(2))
    assert sums(bucket([(None, 4.0)]), Signal.LATENCY, line).value == pytest.approx(math.log(4))


def test_latency_that_falls_with_length_is_taken_as_constant() -> None:
    line = fit_line([bucket([(10, 2.0)] * 30 + [(1000, 1.0)] * 30)])

    assert line is not None
    assert line.per_token_s == 0.0


def test_no_latency_at_all_has_no_line() -> None:
    assert fit_line([bucket([])]) is None
    assert fit_line([]) is None


def test_the_variance_between_calls_is_that_of_the_adjusted_latencies() -> None:
    line = LengthLine(0.0, 0.01, math.log(1.0))
    seen = sums(bucket([(100, 1.0), (200, 2.0), (400, 4.0)]), Signal.LATENCY, line)

    assert seen.n == 3
    assert seen.call_variance == pytest.approx(0.0, abs=1e-12)


def test_steps_without_the_signal_are_left_out_and_the_rest_is_in_order_of_time() -> None:
    past = history(
        [bucket([(4, 1.0)], 2), bucket([(None, 1.0)], 1), bucket([(4, 1.0)], 0)],
        Signal.OUTPUT_TOKENS,
    )

    assert past.start.tolist() == [seconds(NOON), seconds(NOON + 2 * MINUTE)]


def test_longer_steps_hold_the_sums_of_the_shorter() -> None:
    start = np.array([0, 60, 300, 360], dtype=np.int64)
    past = History(start, np.ones(4), np.arange(4.0), np.arange(4.0) ** 2).by(300)

    assert past.start.tolist() == [0, 300]
    assert past.n.tolist() == [2, 2]
    assert past.total.tolist() == [1, 5]


def test_a_window_holds_its_minutes_and_no_other() -> None:
    minutes = [bucket([(4, 1.0)], at) for at in range(10)]
    found = window(minutes, SERIES, NOON + 8 * MINUTE, 5)

    assert (found.since, found.until) == (NOON + 3 * MINUTE, NOON + 8 * MINUTE)
    assert found.bucket.calls == 5


def test_a_minute_is_settled_when_late_spans_have_had_their_time() -> None:
    assert settled(NOON + timedelta(seconds=59), 60) == NOON - MINUTE
    assert settled(NOON + timedelta(seconds=60), 60) == NOON


def test_profile_hours_are_those_of_the_shared_vocabulary() -> None:
    times = [NOON + i * HOUR for i in range(24 * 8)]
    slots = slot_of(np.array([seconds(at) for at in times], dtype=np.int64))

    assert slots.tolist() == [hour_slot(at) for at in times]


def test_the_usual_value_has_no_step_at_the_full_hour() -> None:
    profile = [float(i % 24) for i in range(48)]
    before, after = (profile_at(profile, NOON + timedelta(seconds=s)) for s in (-1, 1))

    assert after - before < 0.01
    assert profile_at(profile, NOON + HOUR / 2) == 12.0


def test_a_profile_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="48 values, got 3"):
        profile_over([1.0, 2.0, 3.0], np.array([0], dtype=np.int64))
