"""One look of the analyst at a large store: roll up the new minute, learn what is due, detect.

Run: python -m bench.look [--calls 1000000]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis import changes
from analysis.alerting import judge
from analysis.detect import detect
from analysis.learn import relearn
from analysis.rollup import roll
from analysis.sampling import Reviewing
from bench.query import DAYS, END, SEED, SERIES, build, hour_of, series_no
from tidegauge.clock import MINUTE
from tidegauge.policy import Policy
from tidegauge.store import normals, rollups, spans
from tidegauge.store.engine import Engine, open_engine, write
from tidegauge.store.migrate import upgrade

LOOKS = 30
POLICY = Policy()


def main() -> None:
    """Build the store, let the analyst look once a minute, and print how long each job took."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--calls", type=int, default=1_000_000)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bench.db'}"
        upgrade(url)
        engine = open_engine(url)
        build(engine, given.calls)
        with write(engine) as db:
            normals.forget_normals(db, "default", END + MINUTE)  # made up; here they are learned
        first = _timed(lambda: relearn(engine, POLICY, END))
        times = [look(engine, END + n * MINUTE, given.calls) for n in range(1, LOOKS + 1)]
        engine.dispose()
    table = Table("job", "median ms", "slowest ms")
    table.title = f"{given.calls:,} calls, {SERIES} series, {DAYS} days, SQLite; {LOOKS} looks"
    for name in times[0]:
        took = [one[name] * 1000 for one in times]
        table.add_row(name, f"{statistics.median(took):.0f}", f"{max(took):.0f}")
    Console().print(table, f"learning all {SERIES} series at once, at first: {first:.1f} s")


def look(engine: Engine, now: datetime, calls: int) -> dict[str, float]:
    """Store a minute's calls, then time each job of one look, seconds."""
    per_minute = max(calls // (DAYS * 24 * 60), 1)
    start = now - MINUTE
    fresh = hour_of(
        [series_no(i) for i in range(SERIES)], start, per_minute * 60, random.Random(SEED)
    )
    with write(engine) as db:
        minute = [call for call in fresh if call.started_at < now]
        rollups.register(db, [series_no(i) for i in range(SERIES)], now)
        spans.insert(db, minute, received_at=now)
    watchers = (changes.watch, Reviewing(POLICY))
    took = {
        "roll": _timed(lambda: roll(engine, now, max_series=2000, limit=1440, watchers=watchers)),
        "learn": _timed(lambda: relearn(engine, POLICY, now)),
    }
    began = time.perf_counter()
    judge(engine, detect(engine, POLICY, now), POLICY, "http://127.0.0.1:8501", now)
    took["detect"] = time.perf_counter() - began
    return {**took, "all": sum(took.values())}


def _timed(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
