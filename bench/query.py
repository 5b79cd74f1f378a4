"""What the dashboard asks of a large store: the Overview's queries over 1 M calls of 14 days."""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dashboard import reads, scope
from dashboard.scope import Scope
from dashboard.signals import CATALOG
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured, length_class
from tidegauge.call import Call, Operation
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Finding, Series, Signal, Verdict
from tidegauge.normal import HOURS_OF_PROFILE, Normal
from tidegauge.store import normals, rollups, spans
from tidegauge.store.engine import Connection, Engine, open_engine, read, write
from tidegauge.store.migrate import upgrade
from tidegauge.store.spans import Filter

END = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
DAYS = 14
SERIES = 20
ROUNDS = 15
SEED = 1


def main() -> None:
    """Build the store, time every query, and print the medians."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--calls", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=ROUNDS)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        url = f"sqlite:///{path}"
        upgrade(url)
        engine = open_engine(url)
        began = time.perf_counter()
        build(engine, given.calls)
        built = time.perf_counter() - began
        table = timed(engine, given.rounds)
        size = path.stat().st_size / 1e6
        engine.dispose()
    table.title = (
        f"{given.calls:,} calls, {SERIES} series, {DAYS} days, SQLite, {size:,.0f} MB "
        f"(built in {built:.0f} s)"
    )
    Console().print(table)


def timed(engine: Engine, rounds: int) -> Table:
    """Return the median and the slowest time of each query, ms, as a table."""
    table = Table("Query", "median ms", "slowest ms")
    for name, ask in asked_of(engine).items():
        taken = [_once(ask) * 1000 for _ in range(rounds)]
        table.add_row(name, f"{statistics.median(taken):.1f}", f"{max(taken):.1f}")
    return table


def asked_of(engine: Engine) -> dict[str, Callable[[], object]]:
    """Return what the pages ask, by page and window."""
    found: dict[str, Callable[[], object]] = {}
    for window in scope.WINDOWS:
        found[f"Overview, {window}"] = _overview(engine, window)
    found["Trends, 7d, one series"] = _trend(engine, "7d")
    found["Trends, 1h, one series"] = _trend(engine, "1h")
    found["Requests, newest 50 of 24 h"] = _requests(engine, 0)
    found["Requests, page 100 of 24 h"] = _requests(engine, 5000)
    found["Requests, count of 24 h"] = _count(engine)
    return found


def build(engine: Engine, calls: int) -> None:
    """Write the calls and their rollups in the form that the collector and the jobs leave."""
    dice = random.Random(SEED)
    series = [series_no(i) for i in range(SERIES)]
    with write(engine) as db:
        rollups.register(db, series, END)
        _judge(db, series)
    per_hour = calls // (DAYS * 24)
    for hour in range(DAYS * 24):
        start = END - DAYS * DAY + hour * HOUR
        batch = list(hour_of(series, start, per_hour, dice))
        with write(engine) as db:
            spans.insert(db, batch, received_at=start + HOUR)
            _roll(db, batch, start)


def _judge(db: Connection, series: list[Series]) -> None:
    pairs = [(one, signal) for one in series for signal in Signal]
    normals.write_normals(db, [(_normal(one, signal), {}) for one, signal in pairs])
    normals.write_findings(
        db,
        [
            Finding(
                series=one,
                signal=signal,
                verdict=Verdict.USUAL,
                why="inside its usual range",
                since=END - minutes * MINUTE,
                until=END,
                calls=500,
            )
            for one, signal in pairs
            for minutes in (5, 15, 60)
        ],
    )


def _normal(series: Series, signal: Signal) -> Normal:
    return Normal(
        series=series,
        signal=signal,
        learned_at=END,
        hours=DAYS * 24,
        log_scale=signal not in (Signal.TRUNCATION, Signal.ERRORS),
        profile=(0.5,) * HOURS_OF_PROFILE,
        wander_sd=0.1,
    )


def _roll(db: Connection, calls: list[Call], hour: datetime) -> None:
    by_minute: dict[tuple[datetime, Series], list[Call]] = {}
    by_hour: dict[Series, list[Call]] = {}
    for call in calls:
        one = Series("default", call.service, call.environment, call.use_case, call.model)
        minute = call.started_at.replace(second=0, microsecond=0)
        by_minute.setdefault((minute, one), []).append(call)
        by_hour.setdefault(one, []).append(call)
    minutes = [_bucket(one, at, rows) for (at, one), rows in by_minute.items()]
    rollups.replace(db, "default", 60, [hour + i * MINUTE for i in range(60)], minutes)
    rollups.replace(db, "default", 3600, [hour], [_bucket(s, hour, r) for s, r in by_hour.items()])
    rollups.clear_marks(db, rollups.stale_minutes(db, 1000))


def _bucket(series: Series, start: datetime, rows: list[Call]) -> Bucket:
    lengths: dict[int, LengthClass] = {}
    for row in rows:
        log, tokens = math.log(row.duration_s), row.output_tokens or 0
        key = length_class(row.output_tokens)
        one = LengthClass(1, log, log * log, tokens)
        lengths[key] = lengths[key] + one if key in lengths else one
    return Bucket(
        series=series,
        start=start,
        calls=len(rows),
        truncation_known=len(rows),
        truncated=sum(bool(row.truncated) for row in rows),
        measures={
            Measure.LATENCY: Measured.of(row.duration_s for row in rows),
            Measure.OUTPUT_TOKENS: Measured.of(float(row.output_tokens or 0) for row in rows),
            Measure.INPUT_TOKENS: Measured.of(float(row.input_tokens or 0) for row in rows),
        },
        lengths=lengths,
    )


def hour_of(
    series: list[Series], start: datetime, count: int, dice: random.Random
) -> Iterator[Call]:
    """Yield ``count`` calls spread over the hour that begins at ``start``."""
    first = int(start.timestamp()) * 1_000_000  # ids that no other hour uses
    for i in range(count):
        one = series[min(int(dice.expovariate(0.25)), SERIES - 1)]  # a few busy, many quiet
        tokens = max(1, int(dice.lognormvariate(5.5, 0.7)))
        yield Call(
            project="default",
            trace_id=f"{first + i + 1:032x}",
            span_id=f"{first + i + 1:016x}",
            name="chat gpt-4o-mini",
            dialect="genai",
            operation=Operation.CHAT,
            provider="openai",
            input_tokens=400,
            finish_reasons=("stop",),
            started_at=start + timedelta(seconds=3600 * i / count),
            duration_s=0.3 + tokens * 0.008 * dice.lognormvariate(0, 0.2),
            service=one.service,
            use_case=one.use_case,
            request_model=one.model,
            environment=one.environment,
            output_tokens=tokens,
            truncated=dice.random() < 0.01,
        )


def series_no(i: int) -> Series:
    """Return the i-th series, 0 to SERIES - 1."""
    return Series("default", f"service-{i % 5}", "prod", f"use-case-{i // 5}", "gpt-4o-mini")


def _overview(engine: Engine, window: str) -> Callable[[], object]:
    def ask() -> object:
        with read(engine) as db:
            wanted = Scope(project="default", window=window)
            return reads.read_overview(db, wanted, "bench", END)

    return ask


def _trend(engine: Engine, window: str) -> Callable[[], object]:
    def ask() -> object:
        with read(engine) as db:
            during = scope.span(window, END)
            return reads.story(db, series_no(0), CATALOG["latency"], during, compare=True)

    return ask


def _requests(engine: Engine, offset: int) -> Callable[[], object]:
    def ask() -> object:
        with read(engine) as db:
            wanted = Filter(since=END - DAY, until=END)
            return spans.calls(db, "default", wanted, newest_first=True, limit=50, offset=offset)

    return ask


def _count(engine: Engine) -> Callable[[], object]:
    def ask() -> object:
        with read(engine) as db:
            return spans.count(db, "default", Filter(since=END - DAY, until=END))

    return ask


def _once(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
