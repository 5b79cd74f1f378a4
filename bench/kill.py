"""kill -9 of the collector under load: how many acknowledged spans are lost, how many are double.

Run: python -m bench.kill [--rounds 5] [--seconds 2]; R-01 in full: --rounds 20 --seconds 5
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.bodies import Body, Key, build
from bench.senders import Senders, over_http
from bench.servers import Collector, Postgres
from tidegauge.store.engine import open_engine, read

THREADS = 8
BODIES_PER_S = 120  # of 50 spans: more than a collector takes on two cores


@dataclass(frozen=True, slots=True)
class Result:
    """What a series of kills did."""

    rounds: int
    acknowledged: int  # spans, by the senders' own record
    stored: int  # rows
    lost: int  # acknowledged and not stored
    counted: int  # accepted by the ledger; more than stored would be a double
    ready_s: float  # longest time from a start to ready, after a kill
    whole: bool  # the database's own check of its files finds nothing


def kill_rounds(url: str, rounds: int, seconds: float) -> Result:
    """Kill a collector ``rounds`` times, each after about ``seconds`` of load.

    What was not acknowledged is sent again in the next round, as an exporter would: it may be
    stored already. The last round is not killed, so that every body ends acknowledged.
    """
    rng = random.Random(7)
    acknowledged: set[Key] = set()
    seeds = itertools.count(1)
    again: list[Body] = []
    ready_s = 0.0
    for number in range(rounds + 1):
        began = time.perf_counter()
        collector = Collector(url)
        ready_s = max(ready_s, time.perf_counter() - began)
        wanted = int(BODIES_PER_S * seconds) if number < rounds else 0
        fresh = [build(50, next(seeds)) for _ in range(wanted)]
        senders = Senders([*again, *fresh], over_http(collector.http), THREADS)
        if number < rounds:
            threading.Event().wait(seconds * rng.uniform(0.6, 1.0))
            collector.kill()
        sent = senders.join()
        acknowledged |= sent.keys
        again = [*sent.unanswered, *sent.refused]
        if number == rounds:
            collector.stop()
    stored, counted = stored_and_counted(url)
    lost = len(acknowledged - stored)
    return Result(rounds, len(acknowledged), len(stored), lost, counted, ready_s, is_whole(url))


def stored_and_counted(url: str) -> tuple[set[Key], int]:
    """Return the keys in the database, read by a fresh connection, and the ledger's total."""
    engine = open_engine(url)
    with read(engine) as db:
        rows = db.exec_driver_sql("SELECT trace_id, span_id FROM span").all()
        counted = db.exec_driver_sql(
            "SELECT sum(count) FROM ingest_count WHERE outcome = 'accepted'"
        ).scalar_one()
    engine.dispose()
    return {(bytes(trace), bytes(span)) for trace, span in rows}, int(counted or 0)


def is_whole(url: str) -> bool:
    """Return whether SQLite finds its file sound; PostgreSQL: whether every table can be read."""
    engine = open_engine(url)
    with read(engine) as db:
        if url.startswith("sqlite"):
            found: str = db.exec_driver_sql("PRAGMA integrity_check").scalar_one()
        else:
            tables = "SELECT table_name FROM information_schema.tables WHERE table_schema='public'"
            for (name,) in db.exec_driver_sql(tables).all():
                db.exec_driver_sql(f'SELECT count(t.*) FROM "{name}" t')  # noqa: S608
            found = "ok"
    engine.dispose()
    return found == "ok"


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Yield an empty SQLite file and an empty PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder, Postgres() as postgres:
        yield {"SQLite": f"sqlite:///{Path(folder) / 'bench.db'}", "PostgreSQL": postgres.url}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    table = Table(title=f"kill -9 under load, {options.rounds} rounds")
    for column in (
        "store",
        "acknowledged",
        "stored",
        "lost",
        "double",
        "ready within",
        "files",
    ):
        table.add_column(column, justify="left" if column == "store" else "right")
    with databases() as urls:
        for store, url in urls.items():
            result = kill_rounds(url, options.rounds, options.seconds)
            table.add_row(
                store,
                f"{result.acknowledged:,}",
                f"{result.stored:,}",
                f"{result.lost:,}",
                f"{result.counted - result.stored:,}",
                f"{result.ready_s:.1f} s",
                "sound" if result.whole else "DAMAGED",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
