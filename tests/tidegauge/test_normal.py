"""What is normal: by the hour of working days and weekends, on the detector's own scale."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.world import NOON
from tidegauge.finding import Series, Signal
from tidegauge.normal import HOURS_OF_PROFILE, Normal, hour_slot

BOT = Series("default", "bot", "prod", "answer", "gpt-4o-mini")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def a_normal(profile: list[float], **fields: Any) -> Normal:
    usual: dict[str, Any] = {
        "series": BOT,
        "signal": Signal.OUTPUT_TOKENS,
        "learned_at": NOON,
        "hours": 300,
        "log_scale": True,
        "wander_sd": 0.1,
    }
    return Normal(profile=tuple(profile), **(usual | fields))


def test_a_week_visits_every_slot_working_days_apart_from_weekends() -> None:
    slots = [hour_slot(MONDAY + timedelta(hours=n)) for n in range(7 * 24)]

    assert slots[: 24 * 5] == list(range(24)) * 5
    assert slots[24 * 5 :] == list(range(24, HOURS_OF_PROFILE)) * 2


def test_the_usual_of_an_hour_is_in_the_signals_own_unit() -> None:
    profile = [math.log(100.0)] * 24 + [math.log(50.0)] * 24

    assert a_normal(profile).usual(MONDAY) == pytest.approx(100.0)
    assert a_normal(profile).usual(MONDAY - timedelta(days=1)) == pytest.approx(50.0)


def test_the_band_of_a_length_is_a_factor_to_each_side() -> None:
    band = a_normal([math.log(100.0)] * HOURS_OF_PROFILE).band(MONDAY)

    assert band == pytest.approx((100.0 / math.exp(0.3), 100.0 * math.exp(0.3)))


def test_the_band_of_a_rate_is_added_and_never_below_0() -> None:
    rate = {"signal": Signal.ERRORS, "log_scale": False, "wander_sd": 0.01}

    assert a_normal([0.05] * HOURS_OF_PROFILE, **rate).band(MONDAY) == pytest.approx((0.02, 0.08))
    assert a_normal([0.01] * HOURS_OF_PROFILE, **rate).band(MONDAY) == pytest.approx((0.0, 0.04))
