"""The rhythm of a week: shrunk where little was seen, and learned without looking ahead."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.profile import MEANS, fit, replay
from analysis.windows import History, Numbers, slot_of

HOUR_S, DAY_S = 3600, 86_400
MONDAY = 4 * DAY_S  # 1970-01-05


def past(values: Numbers, first: int = MONDAY) -> History:
    start = first + HOUR_S * np.arange(len(values), dtype=np.int64)
    n = np.full(len(values), 50.0)
    return History(start, n, values * n, values**2 * n)


def learned(values: Numbers) -> Numbers:
    history = past(values)
    end = int(history.start[-1]) + HOUR_S
    return fit(history, np.full(len(values), 0.01), end, MEANS)


def test_one_day_speaks_for_every_day_but_only_half() -> None:
    values = np.zeros(24)
    values[12] = 1.0
    profile = learned(values)

    # winsorised twice, so one hour of one day moves its hour by little; never more than half
    assert 0 <= profile[12] <= 0.55
    assert profile[36] == pytest.approx(profile[12], abs=0.3)


def test_two_weeks_of_the_same_days_are_known_well() -> None:
    day = np.sin(np.arange(24) / 24 * 2 * np.pi)
    profile = learned(np.tile(day, 14))

    assert np.max(np.abs(profile[:24] - day)) < 0.12


def test_the_recent_days_count_more() -> None:
    values = np.concatenate([np.zeros(24 * 14), np.ones(24 * 14)])

    assert learned(values).mean() > 0.6


def test_replay_knows_only_the_days_before() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal(24 * 10) * 0.1
    calm, later = past(values), past(np.concatenate([values[:-24], values[-24:] + 3]))
    end = int(calm.start[-1]) + HOUR_S
    variance = np.full(240, 0.01)
    one, two = (replay(h, variance, end, MEANS) for h in (calm, later))

    assert len(one.error) == len(two.error)
    before = slice(0, -24)  # what was predicted of earlier days cannot know of the last one
    assert np.allclose(one.error[before], two.error[before], atol=0.1)
    assert two.error[-24:].mean() == pytest.approx(3.0, abs=0.3)


def test_a_level_that_moves_slowly_is_followed() -> None:
    level = np.repeat(np.cumsum(np.random.default_rng(4).standard_normal(20)) * 0.5, 24)
    history = past(level)
    end = int(history.start[-1]) + HOUR_S
    told = replay(history, np.full(len(level), 0.001), end, MEANS)

    assert told.recent_weight > 0.3
    profile = fit(history, np.full(len(level), 0.001), end, MEANS)
    without = abs(profile.mean() - level[-1])
    assert abs(profile.mean() + told.recent - level[-1]) < without


def test_a_first_day_has_nothing_to_be_held_against() -> None:
    told = replay(past(np.zeros(20)), np.full(20, 0.01), MONDAY + 20 * HOUR_S, MEANS)

    assert (len(told.error), told.recent) == (0, 0.0)


def test_slots_tell_weekends_from_working_days() -> None:
    assert slot_of(np.array([MONDAY, MONDAY + 5 * DAY_S])).tolist() == [0, 24]
