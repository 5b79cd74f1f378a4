"""A synthetic fleet: seeded calls with a daily rhythm, autocorrelated drift and overdispersed rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.clock import MINUTE
from tidegauge.finding import Series

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """How one application's traffic looks on quiet days."""

    calls_per_min: float = 40.0
    output_tokens: float = 220.0  # median
    output_sd: float = 0.6  # ln
    input_tokens: float = 900.0
    base_s: float = 0.4
    per_token_s: float = 0.011
    latency_sd: float = 0.2  # ln, between calls
    truncated: float = 0.01
    failed: float = 0.005
    drift_sd: float = 0.04  # ln, autocorrelated, of lengths and of speed
    rate_drift_sd: float = 0.3  # ln, autocorrelated, of the two rates
    rhythm: float = 0.6  # how much the night falls below the day, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One series' calls, one entry each."""

    minute: NDArray[np.int64]  # since the start
    input: Numbers
    output: Numbers
    latency: Numbers
    truncated: NDArray[np.bool_]
    failed: NDArray[np.bool_]

    def between(self, first: int, last: int) -> Calls:
        """Return the calls of the minutes [first, last)."""
        keep = (self.minute >= first) & (self.minute < last)
        return Calls(**{name: getattr(self, name)[keep] for name in self.__slots__})


def draw(rng: np.random.Generator, app: App, start: datetime, minutes: int) -> Calls:
    """Return ``minutes`` of quiet traffic."""
    hour = (start.hour + start.minute / 60 + np.arange(minutes) / 60) % 24
    day = 1 - app.rhythm * (0.5 + 0.5 * np.cos(2 * np.pi * (hour - 14) / 24 + np.pi))
    n = rng.poisson(app.calls_per_min * day)
    minute = np.repeat(np.arange(minutes, dtype=np.int64), n)
    drift = [_drift(rng, minutes)[minute] for _ in range(5)]
    rise = 0.1 * (day - day.mean())[minute]  # lengths and speed have a rhythm too
    calls = len(minute)
    output = np.round(
        app.output_tokens
        * np.exp(rise + app.drift_sd * drift[0] + app.output_sd * rng.standard_normal(calls))
    )
    spent = app.base_s + app.per_token_s * output
    noise = app.drift_sd * drift[1] + app.latency_sd * rng.standard_normal(calls)
    return Calls(
        minute=minute,
        input=np.round(
            app.input_tokens
            * np.exp(rise + app.drift_sd * drift[2] + 0.5 * rng.standard_normal(calls))
        ),
        output=output,
        latency=spent * np.exp(rise + noise),
        truncated=rng.random(calls) < app.truncated * np.exp(app.rate_drift_sd * drift[3]),
        failed=rng.random(calls) < app.failed * np.exp(app.rate_drift_sd * drift[4]),
    )


def _drift(rng: np.random.Generator, minutes: int, memory_min: float = 90.0) -> Numbers:
    """Return an autocorrelated stream of variance 1 that forgets within ``memory_min``."""
    keep = np.exp(-1 / memory_min)
    steps = rng.standard_normal(minutes) * np.sqrt(1 - keep**2)
    out = np.empty(minutes)
    at = rng.standard_normal()
    for i, step in enumerate(steps):
        at = keep * at + step
        out[i] = at
    return out


def plant(
    calls: Calls,
    app: App,
    rng: np.random.Generator,
    *,
    output: float = 1.0,
    latency: float = 1.0,
    truncated: float = 0.0,
    failed: float = 0.0,
) -> Calls:
    """Return ``calls`` with a change in all of them: factors, and points added to the rates.

    Longer outputs take longer by the app's own time per token: the model is not slower.
    """
    longer = np.round(calls.output * output)
    usual = app.base_s + app.per_token_s * calls.output
    slower = latency * (app.base_s + app.per_token_s * longer) / usual
    chance = rng.random(len(calls.minute))
    return replace(
        calls,
        output=longer,
        latency=calls.latency * slower,
        truncated=calls.truncated | (chance < truncated),
        failed=calls.failed | (chance < failed),
    )


def join(before: Calls, after: Calls) -> Calls:
    """Return both taken together."""
    names = Calls.__slots__
    return Calls(**{n: np.concatenate([getattr(before, n), getattr(after, n)]) for n in names})


def buckets(calls: Calls, series: Series, start: datetime, step_min: int) -> list[Bucket]:
    """Return the calls as buckets of ``step_min`` minutes, without histograms."""
    step = calls.minute // step_min
    order = np.argsort(step, kind="stable")
    steps, first = np.unique(step[order], return_index=True)
    parts = np.split(order, first[1:])
    return [
        _bucket(calls, part, series, start + int(at) * step_min * MINUTE)
        for at, part in zip(steps, parts, strict=False)  # no calls: one empty part
        if len(part)
    ]


def _bucket(calls: Calls, part: NDArray[np.int64], series: Series, start: datetime) -> Bucket:
    good = part[~calls.failed[part]]
    return Bucket(
        series=series,
        start=start,
        calls=len(part),
        errors=len(part) - len(good),
        truncated=int(calls.truncated[good].sum()),
        truncation_known=len(good),
        measures={
            Measure.LATENCY: _measured(calls.latency[good]),
            Measure.INPUT_TOKENS: _measured(calls.input[good]),
            Measure.OUTPUT_TOKENS: _measured(calls.output[good]),
        },
        lengths=_lengths(calls.output[good], np.log(calls.latency[good])),
    )


def _measured(values: Numbers) -> Measured:
    logs = np.log(values[values > 0])
    return Measured(
        n=len(values),
        total=float(values.sum()),
        log_n=len(logs),
        log_sum=float(logs.sum()),
        log_square_sum=float(np.square(logs).sum()),
    )


def _lengths(output: Numbers, log_latency: Numbers) -> Mapping[int, LengthClass]:
    keys = np.floor(2 * np.log2(output + 1)).astype(np.int64)
    size = int(keys.max(initial=0)) + 1
    n = np.bincount(keys, minlength=size)
    columns = [np.bincount(keys, x, size) for x in (log_latency, np.square(log_latency), output)]
    return {
        int(k): LengthClass(int(n[k]), *(float(column[k]) for column in columns))
        for k in np.flatnonzero(n)
    }
