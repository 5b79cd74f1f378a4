"""What is normal for one signal of one series: a level for every hour, and how far it wanders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from tidegauge.finding import Series, Signal

HOURS_OF_PROFILE = 48  # 24 hours of a working day, then 24 of a weekend day


def hour_slot(at: datetime) -> int:
    """Return which of the 48 profile hours ``at`` (UTC) lies in.

    >>> hour_slot(datetime(2026, 1, 5, 10)), hour_slot(datetime(2026, 1, 4, 10))
    (10, 34)
    """
    return at.hour + (24 if at.weekday() >= 5 else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """The learned past of one signal. Log scale for durations and lengths, plain for rates.

    ``profile`` and ``wander_sd`` are on the detector's own scale: the natural logarithm of the
    value for latency and tokens, the share itself for rates.
    """

    series: Series
    signal: Signal
    learned_at: datetime  # UTC
    hours: int  # hours of history that held enough calls
    log_scale: bool
    profile: tuple[float, ...]  # HOURS_OF_PROFILE values
    wander_sd: float  # standard deviation between ordinary hours, beyond sampling noise
    version: int = 1  # of the method; another version is learned anew

    def usual(self, at: datetime) -> float:
        """Return the value that the hour of ``at`` usually shows, in the signal's unit."""
        return self._value(self.profile[hour_slot(at)])

    def band(self, at: datetime, width: float = 3.0) -> tuple[float, float]:
        """Return the range that ordinary hours stay in: ``width`` sd to each side."""
        middle = self.profile[hour_slot(at)]
        low, high = middle - width * self.wander_sd, middle + width * self.wander_sd
        return (self._value(low), self._value(high)) if self.log_scale else (max(low, 0.0), high)

    def _value(self, x: float) -> float:
        return math.exp(x) if self.log_scale else x
