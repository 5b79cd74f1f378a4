"""The rhythm is learned, incidents are not, and old habits are forgotten."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analysis.learn import Learned, learn, learn_series, restore
from bench.fleet import App, buckets, draw
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.clock import DAY, HOUR
from tidegauge.finding import Series, Signal
from tidegauge.policy import Policy
from tidegauge.store.normals import AlertSpan

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
SERIES = Series("p", "s", "e", "u", "m")
RNG_SEED = 12


def hour(at: datetime, level: float, calls: int = 100, spread: float = 0.3) -> Bucket:
    """Return an hour whose answers have ``exp(level)`` tokens in the middle."""
    squares = calls * (level**2 + spread**2)
    measured = Measured(calls, calls * math.exp(level), calls, calls * level, squares)
    return Bucket(series=SERIES, start=at, calls=calls, measures={Measure.OUTPUT_TOKENS: measured})


def taught(hours: list[Bucket], now: datetime) -> Learned:
    found = learn(hours, Signal.OUTPUT_TOKENS, SERIES, now)
    assert found is not None
    return found


def noise(count: int, sd: float = 0.03) -> list[float]:
    return list(np.random.default_rng(RNG_SEED).standard_normal(count) * sd)


def test_the_hours_of_a_day_have_their_own_level() -> None:
    level = [5 + 0.5 * math.sin(i / 24 * 2 * math.pi) for i in range(24 * 14)]
    hours = [
        hour(START + i * HOUR, x + e)
        for i, (x, e) in enumerate(zip(level, noise(336), strict=True))
    ]
    found = taught(hours, START + 14 * DAY)

    for at in range(24):
        usual = math.log(found.normal.usual(START + 14 * DAY + at * HOUR))
        assert usual == pytest.approx(level[at], abs=0.06)


def test_a_weekend_has_its_own_level() -> None:
    hours = [
        hour(at, 6.0 if at.weekday() >= 5 else 5.0)
        for at in (START + i * HOUR for i in range(24 * 21))
    ]
    found = taught(hours, START + 21 * DAY)

    assert math.log(found.normal.usual(START + 5 * DAY)) > 5.8
    assert math.log(found.normal.usual(START + 7 * DAY)) < 5.2


def test_a_steady_series_wanders_by_no_more_than_the_floor() -> None:
    hours = [hour(START + i * HOUR, 5.0) for i in range(24 * 10)]

    assert taught(hours, START + 10 * DAY).normal.wander_sd == pytest.approx(0.03)


def test_a_restless_series_wanders_more() -> None:
    hours = [hour(START + i * HOUR, 5 + e, 5000) for i, e in enumerate(noise(336, 0.2))]

    assert taught(hours, START + 14 * DAY).normal.wander_sd == pytest.approx(0.2, rel=0.25)


def test_sampling_noise_is_not_taken_for_wander() -> None:
    rng = np.random.default_rng(RNG_SEED)
    spread, calls = 0.6, 60
    errors = rng.standard_normal(336) * spread / math.sqrt(calls)
    hours = [hour(START + i * HOUR, 5 + e, calls, spread) for i, e in enumerate(errors)]

    assert taught(hours, START + 14 * DAY).normal.wander_sd < 0.06


def test_an_afternoon_s_incident_moves_neither_level_nor_wander_much() -> None:
    quiet = [hour(START + i * HOUR, 5 + e) for i, e in enumerate(noise(240))]
    incident = [hour(b.start, 6.5) if 100 <= i < 105 else b for i, b in enumerate(quiet)]
    one, other = (taught(hours, START + 10 * DAY).normal for hours in (quiet, incident))

    assert np.allclose(one.profile, other.profile, atol=0.12)
    assert other.wander_sd < 1.6 * one.wander_sd


def test_a_new_level_is_the_usual_one_after_some_days() -> None:
    hours = [hour(START + i * HOUR, 5.0 if i < 240 else 5.5) for i in range(24 * 14)]
    found = taught(hours, START + 14 * DAY).normal

    assert math.log(found.usual(START + 14 * DAY)) == pytest.approx(5.5, abs=0.15)


def test_nothing_after_now_teaches() -> None:
    hours = [hour(START + i * HOUR, 5.0 if i < 72 else 9.0) for i in range(24 * 6)]
    now = START + 3 * DAY + timedelta(minutes=59)
    found = taught(hours, now)

    assert found.normal.hours == 72
    assert max(found.normal.profile) == pytest.approx(5.0)


def test_what_is_older_than_four_weeks_does_not_teach() -> None:
    hours = [hour(START + i * HOUR, 5.0) for i in range(24 * 40)]

    assert taught(hours, START + 40 * DAY).normal.hours == 28 * 24


def test_hours_with_few_calls_do_not_teach() -> None:
    hours = [hour(START + i * HOUR, 5.0, calls=4) for i in range(48)]

    assert learn(hours, Signal.OUTPUT_TOKENS, SERIES, START + 2 * DAY) is None


def test_hours_in_an_alert_do_not_teach_its_signal_for_a_day() -> None:
    app = App(calls_per_min=2)
    past = draw(np.random.default_rng(RNG_SEED), app, START, 6 * 1440)
    hours, now = buckets(past, SERIES, START, 60), START + 6 * DAY
    at = START + 3 * DAY
    alert = AlertSpan(SERIES, Signal.OUTPUT_TOKENS, at, None)
    found = {
        x.normal.signal: x.normal.hours
        for x in learn_series(SERIES, hours, [], [alert], Policy(), now)
    }

    assert found[Signal.ERRORS] == 144
    assert found[Signal.OUTPUT_TOKENS] == 144 - 24


def test_a_rate_never_seen_is_small_but_not_zero() -> None:
    calls = draw(np.random.default_rng(RNG_SEED), App(calls_per_min=5, failed=0.0), START, 3 * 1440)
    found = learn(buckets(calls, SERIES, START, 60), Signal.ERRORS, SERIES, START + 3 * DAY)

    assert found is not None
    assert 0 < min(found.normal.profile) < 0.001
    assert not found.normal.log_scale


def test_the_first_day_has_wide_bounds() -> None:
    hours = [hour(START + i * HOUR, 5.0) for i in range(24)]

    assert taught(hours, START + DAY).normal.wander_sd == pytest.approx(0.06)


def test_how_slow_the_slowest_calls_are_is_learned() -> None:
    latency = Measured.of([2.0] * 95 + [90.0] * 5)
    lengths = {13: LengthClass(100, 100 * math.log(2), 100 * math.log(2) ** 2, 10_000)}
    past = [
        Bucket(
            series=SERIES,
            start=START + i * HOUR,
            calls=100,
            measures={Measure.LATENCY: latency},
            lengths=lengths,
        )
        for i in range(24)
    ]
    found = learn(past, Signal.LATENCY, SERIES, START + DAY)

    assert found is not None
    assert found.slow_s == pytest.approx(90.0, rel=0.02)
    assert restore(found.normal, found.state()).slow_s == found.slow_s
    old = {key: value for key, value in found.state().items() if key != "slow_s"}
    assert restore(found.normal, old).slow_s is None


def test_a_series_without_the_signal_learns_nothing_of_it() -> None:
    bare = [replace(hour(START, 5.0), measures={})]

    assert learn(bare, Signal.OUTPUT_TOKENS, SERIES, START + DAY) is None
