"""What one series did in one minute or hour: counts, sums and shapes that merge exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegauge.finding import Series
from tidegauge.histogram import Histogram


class Measure(StrEnum):
    """A number that a call carries and a bucket sums up."""

    LATENCY = "latency"  # s
    TTFT = "ttft"  # time to first token, s
    TPOT = "tpot"  # time per output token, s
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure over the calls of a bucket that carry it. Logarithms are natural, of values > 0."""

    n: int = 0
    total: float = 0.0
    log_n: int = 0  # how many values were above 0
    log_sum: float = 0.0
    log_square_sum: float = 0.0
    histogram: Histogram = field(default_factory=Histogram)

    @classmethod
    def of(cls, values: Iterable[float]) -> Measured:
        """Return the sums over ``values``.

        >>> m = Measured.of([1.0, math.e])
        >>> m.n, round(m.log_sum, 6)
        (2, 1.0)
        """
        known = list(values)
        logs = [math.log(value) for value in known if value > 0]
        return cls(
            n=len(known),
            # fsum: the same values in another order must give the same sum, to the last bit
            total=math.fsum(known),
            log_n=len(logs),
            log_sum=math.fsum(logs),
            log_square_sum=math.fsum(log * log for log in logs),
            histogram=Histogram.of(known),
        )

    def __add__(self, other: Measured) -> Measured:
        """Return both taken together."""
        return Measured(
            self.n + other.n,
            self.total + other.total,
            self.log_n + other.log_n,
            self.log_sum + other.log_sum,
            self.log_square_sum + other.log_square_sum,
            self.histogram + other.histogram,
        )


@dataclass(frozen=True, slots=True)
class LengthClass:
    """Latency of the calls whose output length falls into one half-octave of tokens.

    Latency mostly measures output length, so it is compared within equal lengths.
    """

    n: int = 0
    log_latency_sum: float = 0.0
    log_latency_square_sum: float = 0.0
    length_sum: float = 0.0  # output tokens

    def __add__(self, other: LengthClass) -> LengthClass:
        """Return both taken together."""
        return LengthClass(
            self.n + other.n,
            self.log_latency_sum + other.log_latency_sum,
            self.log_latency_square_sum + other.log_latency_square_sum,
            self.length_sum + other.length_sum,
        )


#: The length class of calls whose output length is not known (embeddings, errors, no usage sent).
UNKNOWN_LENGTH = -1


def length_class(output_tokens: int | None) -> int:
    """Return the half-octave that an output length falls into.

    >>> [length_class(n) for n in (None, 0, 1, 100, 141, 200)]
    [-1, 0, 2, 13, 14, 15]
    """
    if output_tokens is None:
        return UNKNOWN_LENGTH
    return math.floor(2 * math.log2(output_tokens + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One series over one step (a minute or an hour)."""

    series: Series
    start: datetime  # UTC
    calls: int = 0
    errors: int = 0
    truncated: int = 0
    truncation_known: int = 0  # calls of which it is known whether they were truncated
    cost_usd: float = 0.0
    cost_known: int = 0  # calls with a price
    measures: Mapping[Measure, Measured] = field(default_factory=dict)
    lengths: Mapping[int, LengthClass] = field(default_factory=dict)

    def measured(self, measure: Measure) -> Measured:
        """Return the sums of one measure; empty sums where no call carried it."""
        return self.measures.get(measure, Measured())


def merge(buckets: Iterable[Bucket], series: Series, start: datetime) -> Bucket:
    """Return ``buckets`` taken together as one, named ``series`` and ``start``."""
    parts = list(buckets)
    measures: dict[Measure, Measured] = {}
    lengths: dict[int, LengthClass] = {}
    for part in parts:
        for measure, sums in part.measures.items():
            measures[measure] = measures[measure] + sums if measure in measures else sums
        for key, row in part.lengths.items():
            lengths[key] = lengths[key] + row if key in lengths else row
    return Bucket(
        series=series,
        start=start,
        calls=sum(part.calls for part in parts),
        errors=sum(part.errors for part in parts),
        truncated=sum(part.truncated for part in parts),
        truncation_known=sum(part.truncation_known for part in parts),
        cost_usd=math.fsum(part.cost_usd for part in parts),
        cost_known=sum(part.cost_known for part in parts),
        measures=measures,
        lengths=lengths,
    )
