"""A mergeable exponential histogram, on OpenTelemetry's base-2 scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SCALE = 5  # bucket bounds grow by 2 ** (1 / 32): a value is known to about 1.1 %
_PER_DOUBLING = 1 << SCALE


def bucket_index(value: float) -> int:
    """Return the bucket of a positive ``value``: bucket i holds (2**(i/32), 2**((i+1)/32)].

    >>> bucket_index(1.0), bucket_index(1.001), bucket_index(2.0)
    (-1, 0, 31)
    """
    return math.ceil(math.log2(value) * _PER_DOUBLING) - 1


def bucket_middle(index: int) -> float:
    """Return the geometric middle of a bucket.

    >>> round(bucket_middle(bucket_index(100.0)), 1)
    99.8
    """
    return float(2 ** ((index + 0.5) / _PER_DOUBLING))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket. Merging is exact: it does not matter in which order parts are added.

    Source: OpenTelemetry metrics data model, "ExponentialHistogram", scale 5.

    >>> h = Histogram.of([1.0, 2.0, 4.0, 0.0])
    >>> h.n, h.zeros, (h + h).n
    (4, 1, 8)
    """

    counts: Mapping[int, int] = field(default_factory=dict)
    zeros: int = 0  # values that are 0 or below

    @classmethod
    def of(cls, values: Iterable[float]) -> Histogram:
        """Return the histogram of ``values``."""
        counts: Counter[int] = Counter()
        zeros = 0
        for value in values:
            if value > 0:
                counts[bucket_index(value)] += 1
            else:
                zeros += 1
        return cls(dict(counts), zeros)

    @property
    def n(self) -> int:
        """Return how many values were counted."""
        return self.zeros + sum(self.counts.values())

    def __add__(self, other: Histogram) -> Histogram:
        """Return both taken together."""
        counts = dict(self.counts)
        for index, count in other.counts.items():
            counts[index] = counts.get(index, 0) + count
        return Histogram(counts, self.zeros + other.zeros)

    def quantile(self, q: float) -> float | None:
        """Return the value below which a share ``q`` lies, to a bucket's width. If empty, None.

        >>> round(Histogram.of([10.0] * 99 + [1000.0]).quantile(0.5), 0)
        10.0
        >>> Histogram().quantile(0.5) is None
        True
        """
        rank = q * self.n
        if not self.n:
            return None
        seen = self.zeros
        if seen and rank <= seen:
            return 0.0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank:
                return bucket_middle(index)
        return bucket_middle(max(self.counts))

    def pack(self) -> bytes:
        """Return the histogram as bytes; ``unpack`` reads them back.

        Zeros, then pairs (step to the next index, count), all as zigzag or plain varints.
        """
        out = bytearray(_varint(self.zeros))
        last = 0
        for index in sorted(self.counts):
            step = index - last
            out += _varint((step << 1) ^ (step >> 63)) + _varint(self.counts[index])
            last = index
        return bytes(out)

    @classmethod
    def unpack(cls, packed: bytes) -> Histogram:
        """Return the histogram that ``pack`` wrote.

        >>> h = Histogram.of([0.003, 1.5, 1.5, 900.0, 0.0])
        >>> Histogram.unpack(h.pack()) == h
        True
        """
        zeros, at = _read_varint(packed, 0)
        counts: dict[int, int] = {}
        index = 0
        while at < len(packed):
            step, at = _read_varint(packed, at)
            count, at = _read_varint(packed, at)
            index += (step >> 1) ^ -(step & 1)
            counts[index] = count
        return cls(counts, zeros)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(packed: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while packed[at] & 0x80:
        value |= (packed[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | packed[at] << shift, at + 1
