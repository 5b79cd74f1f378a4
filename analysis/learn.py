"""What is normal: learn every series' rhythm, wander and tail from its own past."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analysis.profile import LONGEST_DAYS, MEANS, SHARES, Replayed, fit, replay
from analysis.tails import Tail, excess_variance, mean_nats, rate_nats, tail_of
from analysis.windows import (
    RATES,
    History,
    LengthLine,
    Numbers,
    Usual,
    fit_line,
    history,
    profile_at,
    profile_over,
    seconds,
)
from tidegauge.bucket import Bucket
from tidegauge.clock import HOUR, floor
from tidegauge.finding import Series, Signal
from tidegauge.normal import Normal

VERSION = 1  # of the method; what another version learned is learned anew
_MIN_HOUR_CALLS = 5  # an hour with fewer calls teaches nothing
_PRIOR_WINDOWS = 6.0
#: Nothing is so steady that it never wanders less: standard deviation on the ln scale.
_FLOOR_LOG = 0.03
#: The same for a rate: a share of the rate itself, and a tenth of a percentage point.
_FLOOR_RATE, _FLOOR_POINTS = 0.3, 0.001
_GROWTH = 0.25  # short windows wander more: variance grows by (60 / minutes) ** 0.25, unless shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What is normal for one signal of one series, and all a detector needs to judge by it."""

    normal: Normal
    call_variance: float  # between single calls
    wander: Mapping[int, float]  # by window length in minutes: variance between ordinary windows
    tail: Tail
    line: LengthLine | None = None

    def usual(self, at: datetime, minutes: int) -> Usual:
        """Return what a window of ``minutes`` around ``at`` usually shows."""
        return Usual(
            value=profile_at(self.normal.profile, at),
            wander=self.wander.get(minutes, self.normal.wander_sd**2),
            call_variance=self.call_variance,
            hours=self.normal.hours,
            tail_from=self.tail.start,
            tail_scale=self.tail.scale,
            line=self.line,
        )

    def state(self) -> dict[str, Any]:
        """Return what the table keeps beside the profile, as JSON values."""
        line = self.line
        return {
            "call_variance": self.call_variance,
            "wander": {str(k): v for k, v in self.wander.items()},
            "tail": [self.tail.start, self.tail.scale],
            "line": [line.base_s, line.per_token_s, line.reference, line.unknown] if line else None,
        }


def restore(normal: Normal, state: Mapping[str, Any]) -> Learned:
    """Return what ``Learned.state`` wrote."""
    return Learned(
        normal=normal,
        call_variance=state["call_variance"],
        wander={int(k): v for k, v in state["wander"].items()},
        tail=Tail(*state["tail"]),
        line=LengthLine(*state["line"]) if state["line"] else None,
    )


def learn(hours: Sequence[Bucket], signal: Signal, series: Series, now: datetime) -> Learned | None:
    """Return what the hour buckets before the hour of ``now`` teach; None where no hour has calls.

    ``hours`` holds none that lie in an open alert of this signal: those must not teach.
    """
    before = floor(now, HOUR)
    known = [b for b in hours if before - timedelta(days=LONGEST_DAYS) <= b.start < before]
    line = fit_line(known) if signal is Signal.LATENCY else None
    past = history(known, signal, line)
    past = past.where(past.n >= _MIN_HOUR_CALLS)
    if not len(past):
        return None
    call_variance = _call_variance(past, signal)
    variance = call_variance / past.n
    pseudo = SHARES if signal in RATES else MEANS
    told = replay(past, variance, seconds(before), pseudo)
    profile = fit(past, variance, seconds(before), pseudo) + told.recent
    if signal in RATES:
        profile = _positive(profile, past)
    wander = _wander(told, call_variance, signal, float(np.mean(profile)))
    normal = Normal(
        series=series,
        signal=signal,
        learned_at=now,
        hours=len(past),
        log_scale=signal not in RATES,
        profile=tuple(profile.tolist()),
        wander_sd=math.sqrt(wander),
        version=VERSION,
    )
    return Learned(
        normal=normal,
        call_variance=call_variance,
        wander={60: wander},
        tail=_tail(told, call_variance, wander, signal),
        line=line,
    )


def with_scales(learned: Learned, minutes: Sequence[Bucket], windows_min: Sequence[int]) -> Learned:
    """Return ``learned`` with the wander of each window length, as the last minutes show it."""
    past = history(minutes, learned.normal.signal, learned.line)
    return replace(
        learned,
        wander={m: _wander_at(learned, past, m) for m in sorted({*windows_min, 60})},
    )


def _wander_at(learned: Learned, minutes: History, length: int) -> float:
    hour = learned.normal.wander_sd**2
    if length >= 60:
        return hour
    prior = hour * (60 / length) ** _GROWTH
    if not len(minutes):
        return prior
    past = minutes.by(60 * length)
    middle = past.start + 30 * length
    usual = profile_over(learned.normal.profile, middle)
    errors = past.total / past.n - usual
    sampling = learned.call_variance / past.n
    shown = excess_variance(errors, sampling, prior, _PRIOR_WINDOWS)
    # Windows with few calls say little of the wander: their own noise hides it.
    doubt = 2 / float(np.sum(1 / np.square(shown + sampling)))
    trust = prior**2 / (prior**2 + doubt)
    return max(hour, prior + trust * (shown - prior))


def _call_variance(past: History, signal: Signal) -> float:
    n = float(past.n.sum())
    if signal in RATES:
        share = (float(past.total.sum()) + 0.5) / (n + 1)
        return share * (1 - share)
    within = past.squares - np.square(past.total) / past.n
    # Two calls at least differ by what the histogram of a quiet model differs by.
    spread = float(within.sum()) / max(n - len(past), 1.0)
    return max(spread, _FLOOR_LOG**2)


def _positive(profile: Numbers, past: History) -> Numbers:
    """Return a rate's profile, nowhere below what so few calls can exclude."""
    floor = 0.5 / (float(past.n.sum()) + 1)
    return np.asarray(np.clip(profile, floor, 1.0))


def _floor(signal: Signal, level: float) -> float:
    if signal in RATES:
        return max(_FLOOR_RATE * level, _FLOOR_POINTS) ** 2
    return _FLOOR_LOG**2


def _wander(told: Replayed, call_variance: float, signal: Signal, level: float) -> float:
    least = _floor(signal, level)
    if not len(told.error):
        return 4 * least  # a first day: nothing yet to hold the profile against
    shown = excess_variance(told.error, call_variance / told.n, least, _PRIOR_WINDOWS)
    return max(shown, least)


def _tail(told: Replayed, call_variance: float, wander: float, signal: Signal) -> Tail:
    if not len(told.error):
        return Tail()
    if signal in RATES:
        events = np.round((told.error + told.predicted) * told.n)
        return tail_of(rate_nats(events, told.n, np.maximum(told.predicted, 1e-6), wander))
    return tail_of(mean_nats(told.error / np.sqrt(wander + call_variance / told.n)))
