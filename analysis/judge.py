"""The steps every detector shares: enough data, then the effect, then the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.tails import mean_nats, rate_nats, wilson
from analysis.windows import Sums, Usual, Window
from tidegauge.finding import UNITS, Finding, Signal, Verdict

WARM_UP_HOURS = 24
_BAND = 3.0  # standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a move must pass before it is called one."""

    min_calls: int  # calls that carry the signal, in the window
    threshold: float  # nats
    ratio: float = 0.0  # least relative effect: 0.2 = 20 %
    points: float = 0.0  # least absolute effect of a rate, as a share: 0.02 = 2 percentage points


def judge_mean(
    signal: Signal, usual: Usual | None, now: Window, seen: Sums, gates: Gates, *, rise_only: bool
) -> Finding:
    """Return the verdict on a mean of logarithms."""
    missing = _missing(usual, seen, gates)
    if missing or usual is None:
        return _finding(signal, now, Verdict.UNKNOWN, missing, seen)
    noise = max(usual.call_variance, seen.call_variance) / seen.n
    shift = seen.value - usual.value
    nats = float(mean_nats(np.array([shift / math.sqrt(usual.wander + noise)]))[0])
    if rise_only and shift < 0:
        nats = 0.0
    large = abs(shift) >= math.log1p(gates.ratio)
    verdict, why = _verdict(nats, large, gates)
    width = _BAND * math.sqrt(usual.wander)
    return _finding(
        signal,
        now,
        verdict,
        why,
        seen,
        value=math.exp(seen.value),
        usual=math.exp(usual.value),
        band=(math.exp(usual.value - width), math.exp(usual.value + width)),
        strength=nats,
    )


def judge_rate(
    signal: Signal, usual: Usual | None, now: Window, seen: Sums, gates: Gates
) -> Finding:
    """Return the verdict on a share of calls; only a rise counts as a move."""
    missing = _missing(usual, seen, gates)
    if missing or usual is None:
        return _finding(signal, now, Verdict.UNKNOWN, missing, seen)
    events, n = np.array([seen.total]), np.array([float(seen.n)])
    rise = seen.value - usual.value
    nats = float(rate_nats(events, n, usual.value, usual.wander)[0]) if rise > 0 else 0.0
    large = rise >= gates.points and seen.value >= usual.value * (1 + gates.ratio)
    verdict, why = _verdict(nats, large, gates)
    width = _BAND * math.sqrt(usual.wander)
    return _finding(
        signal,
        now,
        verdict,
        why,
        seen,
        value=seen.value,
        usual=usual.value,
        band=(max(usual.value - width, 0.0), min(usual.value + width, 1.0)),
        interval=wilson(seen.total, seen.n),
        strength=nats,
    )


def _missing(usual: Usual | None, seen: Sums, gates: Gates) -> str:
    """Return what is missing for a verdict, in words; empty when nothing is."""
    hours = usual.hours if usual else 0
    if usual is None or hours < WARM_UP_HOURS:
        return f"still learning: {hours} of {WARM_UP_HOURS} hours with enough calls"
    if seen.n < max(gates.min_calls, 1):
        return f"too few calls: {seen.n} of {max(gates.min_calls, 1)} needed"
    return ""


def _verdict(nats: float, large: bool, gates: Gates) -> tuple[Verdict, str]:
    if nats < gates.threshold:
        return Verdict.USUAL, "within what this hour usually shows"
    if not large:
        return (
            Verdict.USUAL,
            "a real shift, but smaller than the least effect worth a person's time",
        )
    return Verdict.MOVED, "outside what this hour usually shows"


def _finding(
    signal: Signal,
    now: Window,
    verdict: Verdict,
    why: str,
    seen: Sums,
    *,
    value: float | None = None,
    usual: float | None = None,
    band: tuple[float | None, float | None] = (None, None),
    interval: tuple[float | None, float | None] = (None, None),
    strength: float = 0.0,
) -> Finding:
    if value is None and seen.n:  # unknown, but what was seen is still worth showing
        value = seen.value if UNITS[signal] == "share" else math.exp(seen.value)
    return Finding(
        series=now.series,
        signal=signal,
        verdict=verdict,
        why=why,
        since=now.since,
        until=now.until,
        calls=seen.n,
        now=value,
        usual=usual,
        usual_low=band[0],
        usual_high=band[1],
        strength=strength,
        now_low=interval[0],
        now_high=interval[1],
    )
