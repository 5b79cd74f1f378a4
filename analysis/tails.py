"""How improbable a window is, in nats, and how improbable it must be to spend the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.windows import Numbers

#: E[min(z^2, 6)] of a standard normal z: one window counts for no more than 6.
BOUND, BOUNDED_MEAN = 6.0, 0.8985
TAIL_SHARE = 0.2  # the tail starts where 80 % of the quiet windows end
_CENSORED_FROM = 0.98  # past incidents must not widen the tail
_PRIOR_EXCEEDANCES = 20.0
_MAX_SCALE = 3.0
_LARGEST = 700.0  # nats; exp(-700) is the smallest probability a double holds


@dataclass(frozen=True, slots=True)
class Tail:
    """The null's own tail: P(nats > z) = 0.2 * exp(-(z - start) / scale) for z above start."""

    start: float = -math.log(TAIL_SHARE)
    scale: float = 1.0


def mean_nats(z: Numbers) -> Numbers:
    """Return -ln of the two-sided Gaussian tail beyond ``z`` standard errors.

    >>> [round(float(x), 2) for x in mean_nats(np.array([0.0, 1.96, -5.0]))]
    [0.0, 3.0, 14.37]
    """
    nats = -(math.log(2) + special.log_ndtr(-np.abs(z)))
    return np.clip(np.asarray(nats, dtype=np.float64), 0.0, None)


def rate_nats(events: Numbers, n: Numbers, rate: Numbers | float, wander: float) -> Numbers:
    """Return -ln P(at least this many events): negative binomial around ``rate``.

    ``wander`` is the variance of the rate itself between windows: without it a rate that differs
    a little from hour to hour would alarm at every large window.

    >>> round(float(rate_nats(np.array([10.0]), np.array([100.0]), 0.01, 0.0)[0]), 1)
    16.0
    """
    expected = np.maximum(n * rate, 1e-12)
    size = np.minimum(np.square(rate) / max(wander, 1e-12), 1e7)
    # P(K >= k) of a negative binomial is a regularised incomplete beta function
    tail = special.betainc(np.maximum(events, 1e-12), size, expected / (size + expected))
    nats = -np.log(np.maximum(np.where(events > 0, tail, 1.0), math.exp(-_LARGEST)))
    return np.asarray(nats, dtype=np.float64)


def excess_variance(
    errors: Numbers, sampling: Numbers, prior: float, prior_windows: float
) -> float:
    """Return the variance that ``errors`` show beyond ``sampling``, robustly; 0 or more.

    Solves mean(min(x^2 / (A + v), 6)) = 0.8985 for A, with ``prior_windows`` more windows that
    show exactly ``prior``.
    """
    middle = float(np.median(sampling)) if len(sampling) else 0.0
    squares = np.square(errors)

    def surplus(a: float) -> float:
        seen = float(np.minimum(squares / np.maximum(a + sampling, 1e-300), BOUND).sum())
        expected = BOUNDED_MEAN * (prior + middle) / max(a + middle, 1e-300)
        return seen + prior_windows * expected - (len(errors) + prior_windows) * BOUNDED_MEAN

    if surplus(0.0) <= 0:
        return 0.0
    low, high = 0.0, max(prior, float(squares.max(initial=0.0)), 1e-12)
    while surplus(high) > 0:
        high *= 4
    for _ in range(50):
        half = (low + high) / 2
        low, high = (half, high) if surplus(half) > 0 else (low, half)
    return (low + high) / 2


def tail_of(nats: Numbers) -> Tail:
    """Return the exponential tail of quiet windows' nats, never lighter than the theory's.

    The mean excess is shrunk towards 1, the theory's value, as if 20 more exceedances showed it.
    """
    if not len(nats):
        return Tail()
    low, top = np.quantile(nats, [1 - TAIL_SHARE, _CENSORED_FROM])
    start = max(float(low), Tail().start)  # rare events: most windows show 0 nats
    beyond = nats[nats > start]
    above = np.minimum(beyond, max(top, start)) - start
    whole = int(np.count_nonzero(beyond <= top))  # the censored ones count as time only
    scale = (float(above.sum()) + _PRIOR_EXCEEDANCES) / (whole + _PRIOR_EXCEEDANCES)
    return Tail(start, min(max(scale, 1.0), _MAX_SCALE))


def threshold(tail: Tail, windows_per_week: float, alarms_per_week: float) -> float:
    """Return the nats that quiet windows pass ``alarms_per_week`` times a week.

    >>> round(threshold(Tail(), 168, 168 * 0.2), 2)
    1.61
    """
    if alarms_per_week <= 0:
        return math.inf
    return tail.start + tail.scale * math.log(
        max(windows_per_week * TAIL_SHARE / alarms_per_week, 1.0)
    )


def wilson(events: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share. Source: Wilson 1927.

    >>> [round(x, 3) for x in wilson(18, 100)]
    [0.117, 0.267]
    """
    z = 1.959964
    share, scale = events / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = middle - half if events > 0 else 0.0  # else rounding leaves a trace of 1e-17
    return max(low, 0.0), min(middle + half, 1.0)
