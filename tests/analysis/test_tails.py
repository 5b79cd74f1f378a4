"""How improbable a window is, against probabilities worked out another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.tails import (
    Tail,
    excess_variance,
    mean_nats,
    rate_nats,
    tail_of,
    threshold,
    wilson,
)


def test_a_mean_ten_errors_away_still_has_a_finite_improbability() -> None:
    assert mean_nats(np.array([10.0]))[0] == pytest.approx(-math.log(2 * stats.norm.sf(10)))
    assert np.isfinite(mean_nats(np.array([60.0]))[0])


def test_a_rate_without_wander_is_nearly_poisson() -> None:
    nats = rate_nats(np.array([12.0]), np.array([1000.0]), 0.004, 0.0)[0]

    assert nats == pytest.approx(-stats.poisson.logsf(11, 4.0), rel=0.01)


def test_a_rate_that_wanders_makes_the_same_count_less_improbable() -> None:
    steady, wandering = (
        rate_nats(np.array([40.0]), np.array([1000.0]), 0.01, w)[0] for w in (0.0, 0.01**2)
    )

    assert wandering < steady / 3


def test_no_event_is_never_improbable() -> None:
    assert rate_nats(np.array([0.0]), np.array([1000.0]), 0.2, 1e-4)[0] == 0.0


@pytest.mark.parametrize("wander_sd", [0.0, 0.1, 0.5])
def test_the_excess_variance_is_found_beside_the_sampling_noise(wander_sd: float) -> None:
    rng = np.random.default_rng(7)
    noise = rng.uniform(0.02, 0.2, 2000) ** 2
    errors = rng.standard_normal(2000) * np.sqrt(noise + wander_sd**2)

    assert excess_variance(errors, noise, 0.0, 6) ** 0.5 == pytest.approx(wander_sd, abs=0.03)


def test_a_few_incidents_hardly_widen_the_wander() -> None:
    rng = np.random.default_rng(8)
    errors = rng.standard_normal(300) * 0.1
    with_incident = np.concatenate([errors, np.full(6, 2.0)])

    clean = excess_variance(errors, np.full(300, 1e-4), 1e-3, 6)
    assert excess_variance(with_incident, np.full(306, 1e-4), 1e-3, 6) < 1.4 * clean


def test_without_any_window_the_prior_speaks() -> None:
    assert excess_variance(np.zeros(0), np.zeros(0), 0.04, 6) == pytest.approx(0.04)


def test_an_exponential_tail_is_recognised() -> None:
    rng = np.random.default_rng(9)

    assert tail_of(rng.exponential(1.0, 400)).scale == pytest.approx(1.0, abs=0.2)
    assert 1.6 < tail_of(rng.exponential(2.5, 4000)).scale <= 3.0


def test_rare_events_do_not_make_the_tail_heavy() -> None:
    assert tail_of(np.array([0.0] * 290 + [2.0] * 40 + [4.0] * 6)) == Tail()


def test_no_history_leaves_the_theory_s_tail() -> None:
    assert tail_of(np.zeros(0)) == Tail()


def test_a_smaller_budget_asks_for_more_evidence() -> None:
    generous, strict = threshold(Tail(), 2016, 1.0), threshold(Tail(), 2016, 0.01)

    assert strict - generous == pytest.approx(math.log(100))
    assert threshold(Tail(), 2016, 0.0) == math.inf


def test_quiet_windows_pass_the_threshold_as_often_as_the_budget_says() -> None:
    rng = np.random.default_rng(10)
    nats = mean_nats(rng.standard_normal(200_000))
    asked = threshold(Tail(), 200_000, 50)

    assert 30 < np.count_nonzero(nats > asked) < 75


def test_the_interval_of_no_event_starts_at_zero() -> None:
    low, high = wilson(0, 50)

    assert low == 0.0
    assert high == pytest.approx(0.0713, abs=1e-3)
