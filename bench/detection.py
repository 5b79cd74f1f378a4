"""Planted changes found, how late, and alarms on quiet traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from analysis.detect import decide
from analysis.learn import Learned, learn, with_scales
from bench.fleet import App, Calls, buckets, draw, join, plant
from tidegauge.bucket import Bucket
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Finding, Series, Signal, Verdict
from tidegauge.policy import Policy

SEED = 20260105
START = datetime(2026, 1, 5, tzinfo=UTC)
HISTORY_DAYS, QUIET_DAYS = 14, 7
STEP_MIN = 5  # quiet traffic is looked at this often
WATCHED_MIN = 180  # a planted change counts as found within this time
APPS = tuple(
    App(calls_per_min=rate, output_tokens=out, truncated=cut, failed=bad, drift_sd=drift)
    for rate, out, cut, bad, drift in (
        (60, 220, 0.01, 0.005, 0.03),
        (40, 90, 0.002, 0.01, 0.05),
        (40, 600, 0.03, 0.002, 0.04),
        (90, 300, 0.005, 0.005, 0.06),
        (30, 150, 0.01, 0.02, 0.04),
        (50, 40, 0.001, 0.005, 0.05),
    )
)
PLANTED = {
    "output x2.7": ({"output": 2.7}, Signal.OUTPUT_TOKENS),
    "output +40 %": ({"output": 1.4}, Signal.OUTPUT_TOKENS),
    "truncation +10 pp": ({"truncated": 0.10}, Signal.TRUNCATION),
    "errors +10 pp": ({"failed": 0.10}, Signal.ERRORS),
    "latency x1.3": ({"latency": 1.3}, Signal.LATENCY),
    "latency x2.5": ({"latency": 2.5}, Signal.LATENCY),
}
Known = dict[tuple[Series, Signal], Learned]


@dataclass(frozen=True, slots=True)
class Stream:
    """One series of the fleet: its calls, and the same as buckets."""

    app: App
    series: Series
    calls: Calls
    minutes: list[Bucket]
    hours: list[Bucket]


def stream(index: int, app: App) -> Stream:
    """Return the history and the quiet week of one app."""
    rng = np.random.default_rng([SEED, index])
    series = Series("bench", f"app-{index}", "default", "default", "model")
    calls = draw(rng, app, START, (HISTORY_DAYS + QUIET_DAYS) * 1440)
    return Stream(
        app, series, calls, buckets(calls, series, START, 1), buckets(calls, series, START, 60)
    )


def learned(streams: list[Stream], now: datetime, policy: Policy) -> Known:
    """Return what the fleet's past before ``now`` teaches."""
    known: Known = {}
    for one in streams:
        recent = [b for b in one.minutes if now - DAY <= b.start < now]
        for signal in Signal:
            if found := learn(one.hours, signal, one.series, now):
                known[one.series, signal] = with_scales(found, recent, policy.windows_min)
    return known


def quiet_alarms(streams: list[Stream], policy: Policy) -> list[Finding]:
    """Return the alarms of the quiet week; one per episode, without asking for a second window."""
    alarms: list[Finding] = []
    quiet_until: dict[tuple[Series, Signal], datetime] = {}
    for day in range(QUIET_DAYS):
        first = START + (HISTORY_DAYS + day) * DAY
        known = learned(streams, first, policy)
        for step in range(0, 1440, STEP_MIN):
            now = first + (step + 1) * MINUTE
            for one in _moved(streams, known, policy, now):
                key = (one.series, one.signal)
                if quiet_until.get(key, START) <= now:
                    alarms.append(one)
                quiet_until[key] = now + HOUR
    return alarms


def _moved(streams: list[Stream], known: Known, policy: Policy, now: datetime) -> Iterator[Finding]:
    first = int((now - START) / MINUTE) - max(policy.windows_min) - 4  # they end late
    minutes = {s.series: s.minutes[max(first, 0) : first + 80] for s in streams}
    for finding in decide(known, minutes, policy, now):
        if finding.verdict is Verdict.MOVED:
            yield finding


def delays(
    streams: list[Stream], known: Known, policy: Policy, at: datetime, kind: str
) -> list[int | None]:
    """Return, for each series, how many minutes after its planting the change was found."""
    effect, signal = PLANTED[kind]
    return [_delay(one, known, policy, at, effect, signal) for one in streams]


def _delay(
    one: Stream,
    known: Known,
    policy: Policy,
    at: datetime,
    effect: dict[str, float],
    signal: Signal,
) -> int | None:
    zero = int((at - START) / MINUTE)
    before = one.calls.between(zero - 60, zero)
    changed = plant(
        one.calls.between(zero, zero + WATCHED_MIN), one.app, np.random.default_rng(zero), **effect
    )
    minutes = buckets(join(before, changed), one.series, START, 1)
    mine = {key: value for key, value in known.items() if key[0] == one.series}
    for delay in range(1, WATCHED_MIN):
        findings = decide(mine, {one.series: minutes}, policy, at + (delay + 1) * MINUTE)
        if any(f.signal is signal and f.verdict is Verdict.MOVED for f in findings):
            return delay
    return None


def main() -> None:
    """Run the benchmark and print its table."""
    began = time.perf_counter()
    policy = Policy()
    streams = [stream(i, app) for i, app in enumerate(APPS)]
    drawn = time.perf_counter()
    alarms = quiet_alarms(streams, policy)
    quiet = time.perf_counter()
    table = Table(title=f"{len(APPS)} series, seed {SEED}, budget {policy.alarms_per_week} a week")
    for name in ("planted", "found", "median delay, min", "slowest"):
        table.add_column(name)
    known = learned(streams, START + HISTORY_DAYS * DAY, policy)
    # one share of the budget for all: a delay must not gain from asking about one series alone
    fair = Policy(alarms_per_week=policy.alarms_per_week / len(APPS))
    for kind in PLANTED:
        found = [
            delay
            for hour in (3, 15)
            for delay in delays(
                streams, known, fair, START + HISTORY_DAYS * DAY + hour * HOUR, kind
            )
        ]
        hits = [delay for delay in found if delay is not None]
        table.add_row(
            kind,
            f"{len(hits)} of {len(found)}",
            f"{median(hits):.0f}" if hits else "-",
            f"{max(hits)}" if hits else "-",
        )
    out = Console()
    out.print(table)
    out.print(f"quiet week: {len(alarms)} alarms (no second window asked for)")
    for one in alarms:
        out.print(f"  {one.series.service} {one.signal} {one.since:%a %H:%M} {one.ratio:.2f}x")
    out.print(
        f"drawn {drawn - began:.0f} s, quiet week {quiet - drawn:.0f} s, "
        f"planted {time.perf_counter() - quiet:.0f} s"
    )


if __name__ == "__main__":
    main()
