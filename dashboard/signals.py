"""The numbers that can be drawn: what each is called, its unit, and how buckets make it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dashboard.charts import Points
from dashboard.scope import Span
from tidegauge.bucket import Bucket, Measure
from tidegauge.clock import HOUR, floor
from tidegauge.finding import Signal
from tidegauge.histogram import Histogram


class Kind(StrEnum):
    """How a number is made of buckets."""

    TYPICAL = "typical"  # geometric mean: what detectors judge, and the usual range is of
    P95 = "p95"
    TRUNCATED = "truncated"
    FAILED = "failed"
    PER_HOUR = "per_hour"
    COST = "cost"  # per hour


@dataclass(frozen=True, slots=True)
class Shown:
    """One number that a page can draw."""

    key: str  # in the URL
    title: str
    unit: str  # s, share, tokens, usd, calls
    kind: Kind
    measure: Measure | None = None
    signal: Signal | None = None  # whose normal is its usual range


CATALOG = {
    one.key: one
    for one in (
        Shown("latency", "Latency", "s", Kind.TYPICAL, Measure.LATENCY, Signal.LATENCY),
        Shown("latency_p95", "Latency, p95", "s", Kind.P95, Measure.LATENCY),
        Shown(
            *("output_tokens", "Output tokens", "tokens", Kind.TYPICAL),
            *(Measure.OUTPUT_TOKENS, Signal.OUTPUT_TOKENS),
        ),
        Shown("output_tokens_p95", "Output tokens, p95", "tokens", Kind.P95, Measure.OUTPUT_TOKENS),
        Shown(
            *("input_tokens", "Input tokens", "tokens", Kind.TYPICAL),
            *(Measure.INPUT_TOKENS, Signal.INPUT_TOKENS),
        ),
        Shown(
            *("truncation", "Cut answers", "share", Kind.TRUNCATED),
            *(None, Signal.TRUNCATION),
        ),
        Shown("errors", "Errors", "share", Kind.FAILED, None, Signal.ERRORS),
        Shown("ttft", "Time to first token", "s", Kind.TYPICAL, Measure.TTFT),
        Shown("tpot", "Time per output token", "s", Kind.TYPICAL, Measure.TPOT),
        Shown("requests", "Requests per hour", "calls", Kind.PER_HOUR),
        Shown("cost", "Cost per hour", "usd", Kind.COST),
    )
}


def value_of(shown: Shown, buckets: Sequence[Bucket], length: timedelta) -> float | None:
    """Return the number over ``buckets`` taken together; None where no call carries it."""
    calls = sum(bucket.calls for bucket in buckets)
    if shown.kind is Kind.PER_HOUR:
        return calls * (HOUR / length)
    if shown.kind is Kind.FAILED:
        return _share(sum(bucket.errors for bucket in buckets), calls)
    if shown.kind is Kind.TRUNCATED:
        known = sum(bucket.truncation_known for bucket in buckets)
        return _share(sum(bucket.truncated for bucket in buckets), known)
    if shown.kind is Kind.COST:
        priced = any(bucket.cost_known for bucket in buckets)
        return math.fsum(b.cost_usd for b in buckets) * (HOUR / length) if priced else None
    if shown.measure is None:
        raise ValueError(f"{shown.key} needs a measure")
    return _measured(shown.kind, shown.measure, buckets)


def points(shown: Shown, buckets: Iterable[Bucket], span: Span) -> Points:
    """Return the number for every step of ``span``; steps without calls are gaps."""
    by_step: dict[datetime, list[Bucket]] = {}
    for bucket in buckets:
        by_step.setdefault(floor(bucket.start, span.step), []).append(bucket)
    steps = _steps(span, by_step)
    return Points(tuple(steps), tuple(_step_value(shown, by_step.get(at), span) for at in steps))


def moved_by(line: Points, length: timedelta) -> Points:
    """Return the same values, ``length`` later."""
    return Points(tuple(at + length for at in line.at), line.value)


def shape(buckets: Iterable[Bucket], measure: Measure) -> Histogram:
    """Return the histograms of ``buckets`` as one; adding them one by one would copy each sum."""
    counts: Counter[int] = Counter()
    zeros = 0
    for bucket in buckets:
        histogram = bucket.measured(measure).histogram
        zeros += histogram.zeros
        for index, count in histogram.counts.items():
            counts[index] += count
    return Histogram(dict(counts), zeros)


def _steps(span: Span, known: Iterable[datetime]) -> list[datetime]:
    # the step under way holds too little to draw, unless there is nothing else
    last = max(known, default=span.since)
    count = int((span.until - span.since) / span.step) + 1
    every = [span.since + i * span.step for i in range(count)]
    return [at for at in every if at < span.until and (at <= last or at + span.step <= span.until)]


def _step_value(shown: Shown, buckets: list[Bucket] | None, span: Span) -> float | None:
    return value_of(shown, buckets, span.step) if buckets else None


def _measured(kind: Kind, measure: Measure, buckets: Sequence[Bucket]) -> float | None:
    if kind is Kind.P95:
        return shape(buckets, measure).quantile(0.95)
    n = sum(bucket.measured(measure).log_n for bucket in buckets)
    total = math.fsum(bucket.measured(measure).log_sum for bucket in buckets)
    return math.exp(total / n) if n else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
