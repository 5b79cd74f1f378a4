"""Which past is normal for this hour: baseline and current window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from tidegauge.bucket import UNKNOWN_LENGTH, Bucket, LengthClass, Measure, merge
from tidegauge.finding import Series, Signal
from tidegauge.normal import HOURS_OF_PROFILE

Numbers = NDArray[np.float64]
Times = NDArray[np.int64]

RATES = frozenset({Signal.TRUNCATION, Signal.ERRORS})
_MEASURES = {Signal.INPUT_TOKENS: Measure.INPUT_TOKENS, Signal.OUTPUT_TOKENS: Measure.OUTPUT_TOKENS}
#: Fewer calls than this say nothing about a length class's place on the line.
_MIN_CLASS_CALLS = 20
_HOUR_S = 3600
# not tidegauge.clock's: who is pure cannot even import the time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LengthLine:
    """Usual latency by output length: ``base_s + per_token_s * output tokens``.

    A line, not a table of classes, so that lengths never seen before have a usual latency too.
    """

    base_s: float  # seconds
    per_token_s: float  # seconds per output token
    reference: float  # ln s: what the line says of the baseline's calls, on average
    unknown: float | None = None  # ln s: usual latency of calls whose length is not known

    def expected(self, length_class: int, mean_length: float) -> float | None:
        """Return the usual ln latency of calls of this length; None where nothing is known."""
        if length_class == UNKNOWN_LENGTH:
            return self.unknown
        seconds = self.base_s + self.per_token_s * mean_length
        return math.log(seconds) if seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Sums:
    """A signal's sufficient numbers; windows and hours are made by adding them."""

    n: int = 0  # calls that carry the signal
    total: float = 0.0
    squares: float = 0.0

    @property
    def value(self) -> float:
        """Return the mean: of ln values, or the share."""
        return self.total / self.n

    @property
    def call_variance(self) -> float:
        """Return the variance between single calls."""
        return max(self.squares / self.n - self.value**2, 0.0)


@dataclass(frozen=True, slots=True)
class History:
    """The past of one signal, one entry per step that has calls, in order of time."""

    start: Times  # seconds since 1970, UTC
    n: Numbers
    total: Numbers
    squares: Numbers

    def __len__(self) -> int:
        """Return how many steps hold calls."""
        return len(self.start)

    def before(self, at: datetime) -> History:
        """Return what lies strictly before ``at``."""
        return self.where(self.start < seconds(at))

    def where(self, keep: NDArray[np.bool_]) -> History:
        """Return the steps that ``keep`` marks."""
        return History(self.start[keep], self.n[keep], self.total[keep], self.squares[keep])

    def by(self, step_s: int) -> History:
        """Return the same past in longer steps."""
        starts, index = np.unique(self.start // step_s * step_s, return_inverse=True)
        add = [np.bincount(index, x, len(starts)) for x in (self.n, self.total, self.squares)]
        return History(starts.astype(np.int64), *(x.astype(np.float64) for x in add))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What one signal of one series usually shows at one moment, over one window length.

    ``value`` and the variances are on the detector's scale: ln for latency and lengths, the share
    itself for rates.
    """

    value: float
    wander: float  # variance between ordinary windows, beyond sampling noise
    call_variance: float  # variance between single calls
    hours: int  # hours of history that taught it
    tail_from: float = 1.6  # nats: 80 % of this series' own quiet windows stay below
    tail_scale: float = 1.0  # nats: mean excess above that
    line: LengthLine | None = None  # latency only


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The minutes a detector looks at, taken together."""

    since: datetime  # UTC
    until: datetime  # UTC, exclusive
    bucket: Bucket

    @property
    def series(self) -> Series:
        """Return the series the calls belong to."""
        return self.bucket.series

    @property
    def middle(self) -> datetime:
        """Return the moment that the usual value is asked for."""
        return self.since + (self.until - self.since) / 2


def seconds(at: datetime) -> int:
    """Return whole seconds since 1970."""
    return int((at - _EPOCH).total_seconds())


def window(minutes: Iterable[Bucket], series: Series, until: datetime, length_min: int) -> Window:
    """Return the last ``length_min`` minutes before ``until`` as one window."""
    since = until - length_min * _MINUTE
    inside = [b for b in minutes if since <= b.start < until]
    return Window(since=since, until=until, bucket=merge(inside, series, since))


def settled(now: datetime, settle_s: float) -> datetime:
    """Return the end of the newest whole minute that late spans no longer reach, as a rule."""
    at = now - timedelta(seconds=settle_s)
    return at - (at - _EPOCH) % _MINUTE


def sums(bucket: Bucket, signal: Signal, line: LengthLine | None = None) -> Sums:
    """Return what ``bucket`` holds of ``signal``; for latency adjusted to the usual length."""
    if signal is Signal.TRUNCATION:
        return Sums(bucket.truncation_known, bucket.truncated, bucket.truncated)
    if signal is Signal.ERRORS:
        return Sums(bucket.calls, bucket.errors, bucket.errors)
    if signal is Signal.LATENCY:
        return _adjusted_latency(bucket.lengths, line) if line else Sums()
    measured = bucket.measured(_MEASURES[signal])
    return Sums(measured.log_n, measured.log_sum, measured.log_square_sum)


def _adjusted_latency(lengths: Mapping[int, LengthClass], line: LengthLine) -> Sums:
    """Return ln latency as if every call had the usual length: reference + residual."""
    n, total, squares = 0, 0.0, 0.0
    for key, row in lengths.items():
        expected = line.expected(key, row.length_sum / row.n) if row.n else None
        if expected is None:
            continue
        shift = line.reference - expected
        n += row.n
        total += row.log_latency_sum + row.n * shift
        squares += row.log_latency_square_sum + shift * (2 * row.log_latency_sum + row.n * shift)
    return Sums(n, total, squares)


def history(buckets: Sequence[Bucket], signal: Signal, line: LengthLine | None = None) -> History:
    """Return the past of ``signal`` as arrays; steps without calls that carry it are left out."""
    rows = [(seconds(b.start), sums(b, signal, line)) for b in buckets]
    rows = [row for row in rows if row[1].n]
    rows.sort(key=lambda row: row[0])
    return History(
        np.array([at for at, _ in rows], dtype=np.int64),
        np.array([s.n for _, s in rows], dtype=np.float64),
        np.array([s.total for _, s in rows], dtype=np.float64),
        np.array([s.squares for _, s in rows], dtype=np.float64),
    )


def fit_line(buckets: Iterable[Bucket]) -> LengthLine | None:
    """Return the line of usual latency over output length; None where no call has a latency.

    Least squares on the geometric mean latency of each length class, weighted by calls and by
    relative error. Both coefficients are held at or above 0: a negative one would make some
    lengths take no time at all.
    """
    classes: dict[int, LengthClass] = {}
    for bucket in buckets:
        for key, row in bucket.lengths.items():
            classes[key] = classes[key] + row if key in classes else row
    unknown = classes.pop(UNKNOWN_LENGTH, None)
    unknown_level = unknown.log_latency_sum / unknown.n if unknown and unknown.n else None
    base, slope = _coefficients(classes)
    line = LengthLine(base, slope, 0.0, unknown_level)
    if unknown:
        classes[UNKNOWN_LENGTH] = unknown
    expected = [(r.n, line.expected(k, r.length_sum / r.n)) for k, r in classes.items() if r.n]
    known = [(n, value) for n, value in expected if value is not None]
    calls = sum(n for n, _ in known)
    if not calls:
        return None
    reference = math.fsum(n * value for n, value in known) / calls
    return LengthLine(base, slope, reference, unknown_level)


def _coefficients(classes: Mapping[int, LengthClass]) -> tuple[float, float]:
    """Return (base, slope); all in the slope where the lengths hardly differ."""
    rows = [row for row in classes.values() if row.n]
    if not rows:
        return 0.0, 0.0
    n = np.array([row.n for row in rows], dtype=np.float64)
    length = np.array([row.length_sum for row in rows]) / n
    latency = np.exp(np.array([row.log_latency_sum for row in rows]) / n)
    weight = n / latency**2
    if np.count_nonzero(n >= _MIN_CLASS_CALLS) >= 2:
        base, slope = _weighted_line(length, latency, weight)
        if base >= 0 and slope >= 0:
            return base, slope
        if slope < 0:
            return float(np.average(latency, weights=weight)), 0.0
    if not length.any():
        return float(np.average(latency, weights=weight)), 0.0
    return 0.0, float((weight * length * latency).sum() / (weight * length**2).sum())


def _weighted_line(x: Numbers, y: Numbers, weight: Numbers) -> tuple[float, float]:
    middle_x, middle_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float((weight * (x - middle_x) ** 2).sum())
    if spread == 0:
        return 0.0, -1.0
    slope = float((weight * (x - middle_x) * (y - middle_y)).sum()) / spread
    return float(middle_y - slope * middle_x), slope


def slot_of(start: Times) -> Times:
    """Return which of the 48 profile hours each time lies in, as ``normal.hour_slot`` does."""
    day = start // 86400
    weekend = (day + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    return np.asarray((start // _HOUR_S) % 24 + 24 * weekend, dtype=np.int64)


def profile_at(profile: Sequence[float], at: datetime) -> float:
    """Return the profile's value at ``at``.

    >>> profile_at([1.0, 2.0] * 24, datetime.fromisoformat("2026-01-05T10:00:00+00:00"))
    1.5
    """
    return float(profile_over(profile, np.array([seconds(at)], dtype=np.int64))[0])


def profile_over(profile: Sequence[float], at_s: Times) -> Numbers:
    """Return the profile's value at each time, linear between the middles of the hours.

    A step at the full hour would look like a change to a five-minute window.
    """
    values = np.asarray(profile, dtype=np.float64)
    if len(values) != HOURS_OF_PROFILE:
        raise ValueError(f"a profile has {HOURS_OF_PROFILE} values, got {len(values)}")
    early = at_s - _HOUR_S // 2
    share = (early % _HOUR_S) / _HOUR_S
    mixed = values[slot_of(early)] * (1 - share) + values[slot_of(early + _HOUR_S)] * share
    return np.asarray(mixed, dtype=np.float64)
