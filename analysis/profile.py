"""The daily and weekly rhythm of one signal: level, hour of day and day type, shrunk and forgetting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.windows import History, Numbers, Times, slot_of
from tidegauge.normal import HOURS_OF_PROFILE

HALF_LIFE_DAYS = 10.0
LONGEST_DAYS = 28
_DAY_S = 86_400
_WINSOR_SD = 3.0
_PASSES = 2
_REPLAYED_DAYS = 14


@dataclass(frozen=True, slots=True)
class Pseudo:
    """Days that must speak for a finer part before it counts half."""

    hour: float
    day_type: float
    slot: float


MEANS = Pseudo(1.0, 1.0, 2.0)
SHARES = Pseudo(4.0, 4.0, 8.0)  # a rate's hours are noisier


@dataclass(frozen=True, slots=True)
class Replayed:
    """What each past hour deviated from what was known before its day began."""

    error: Numbers
    predicted: Numbers
    n: Numbers
    recent_weight: float  # how much of yesterday's deviation today repeats, 0 to 1
    recent: float  # the deviation of the last day, already weighted


def fit(past: History, variance: Numbers, now_s: int, pseudo: Pseudo) -> Numbers:
    """Return the 48 hours of the profile, from hours weighted by age and sampling variance."""
    value = past.total / past.n
    age_days = (now_s - past.start) / _DAY_S
    # an hour with twice the usual calls says hardly more: the hours' own wander dominates
    trust = np.minimum(np.median(variance) / np.maximum(variance, 1e-300), 2.0)
    weight = 0.5 ** (age_days / HALF_LIFE_DAYS) * trust
    slot = slot_of(past.start)
    profile = _shrunk(value, weight, slot, pseudo)
    for _ in range(_PASSES):
        rest = value - profile[slot]
        limit = _WINSOR_SD * 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
        clipped = profile[slot] + np.clip(rest, -limit, limit) if limit > 0 else value
        profile = _shrunk(clipped, weight, slot, pseudo)
    return profile


def _shrunk(value: Numbers, weight: Numbers, slot: Times, pseudo: Pseudo) -> Numbers:
    """Return level + hour of day + day type + slot; each finer part explains what is left."""
    level = float((weight * value).sum() / weight.sum())
    rest = value - level
    hours = _part(rest, weight, slot % 24, 24, pseudo.hour)
    rest = rest - hours[slot % 24]
    types = _part(rest, weight, slot // 24, 2, pseudo.day_type * 24)
    rest = rest - types[slot // 24]
    slots = _part(rest, weight, slot, HOURS_OF_PROFILE, pseudo.slot)
    return level + np.tile(hours, 2) + np.repeat(types, 24) + slots


def _part(rest: Numbers, weight: Numbers, index: Times, size: int, pseudo: float) -> Numbers:
    total = np.bincount(index, weight * rest, size)
    return np.asarray(total / (np.bincount(index, weight, size) + pseudo), dtype=np.float64)


def replay(past: History, variance: Numbers, now_s: int, pseudo: Pseudo) -> Replayed:
    """Return how each of the last days looked to someone who knew only the days before it."""
    first, last = int(past.start[0]), now_s
    days = [
        day
        for day in range(last - _DAY_S, max(first, last - _REPLAYED_DAYS * _DAY_S), -_DAY_S)
        if np.count_nonzero(past.start < day) >= 12
    ]
    errors, predicted, counts, before = [], [], [], []
    for day in reversed(days):
        known = past.start < day
        today = (past.start >= day) & (past.start < day + _DAY_S)
        if not today.any():
            continue
        profile = fit(past.where(known), variance[known], day, pseudo)
        usual = profile[slot_of(past.start[today])]
        errors.append(past.total[today] / past.n[today] - usual)
        predicted.append(usual)
        counts.append(past.n[today])
        before.append(np.full(len(usual), _last_day(past, profile, day)))
    return _with_recent(past, variance, now_s, pseudo, (errors, predicted, counts, before))


def _with_recent(
    past: History,
    variance: Numbers,
    now_s: int,
    pseudo: Pseudo,
    parts: tuple[list[Numbers], list[Numbers], list[Numbers], list[Numbers]],
) -> Replayed:
    profile = fit(past, variance, now_s, pseudo)
    if not parts[0]:
        nothing = np.zeros(0)
        return Replayed(nothing, nothing, nothing, 0.0, 0.0)
    error, predicted, n, before = (np.concatenate(part) for part in parts)
    weight = _repeat_share(error, before, float(np.median(variance)))
    recent = weight * _last_day(past, profile, now_s)
    return Replayed(error - weight * before, predicted + weight * before, n, weight, recent)


def _repeat_share(error: Numbers, before: Numbers, noise: float) -> float:
    """Return the share of yesterday's deviation that today repeats, shrunk towards none."""
    prior = 2 * noise  # as if two more days had repeated nothing but sampling noise
    share = float((error * before).sum() / (np.square(before).sum() + prior + 1e-300))
    return min(max(share, 0.0), 1.0)


def _last_day(past: History, profile: Numbers, now_s: int) -> float:
    """Return the median deviation over the 24 hours before ``now_s``; 0 without calls."""
    day = (past.start >= now_s - _DAY_S) & (past.start < now_s)
    if not day.any():
        return 0.0
    rest = past.total[day] / past.n[day] - profile[slot_of(past.start[day])]
    return float(np.median(rest))
