"""Wire to committed rows: spans a second, and the wait for the acknowledgement.

Run: python -m bench.ingest [--spans 20000] [--grpc]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from bench.bodies import Body, build
from bench.kill import databases
from bench.senders import Senders, over_grpc, over_http
from bench.servers import Collector

THREADS = 8
SIZES = (512, 50)  # spans in a request
MOST_S = 15.0  # a row ends here, wherever it is
WARM_UP = 2_000  # spans sent before the clock starts


@dataclass(frozen=True, slots=True)
class Row:
    """What one run measured."""

    spans: int
    seconds: float
    waits_ms: Sequence[float]
    cpu_us: float  # of the collector, per span
    rss_mb: float
    bytes_per_span: float

    def cells(self) -> list[str]:
        """Return the figures as they stand in the table."""
        cuts = statistics.quantiles(self.waits_ms, n=100)
        return [
            f"{self.spans / self.seconds:,.0f}",
            f"{cuts[49]:.0f}",
            f"{cuts[98]:.0f}",
            f"{self.cpu_us:.0f}",
            f"{self.rss_mb:.0f}",
            f"{self.bytes_per_span:,.0f}",
        ]


def measure(url: str, size: int, spans: int, *, grpc: bool) -> Row:
    """Send ``spans`` spans in requests of ``size`` to a collector on the empty database ``url``."""
    warm_up = [build(size, 10_000_000 + n) for n in range(max(WARM_UP // size, 1))]
    bodies = [build(size, n) for n in range(spans // size)]
    with Collector(url) as collector:
        connect = over_grpc(collector.grpc) if grpc else over_http(collector.http)
        Senders(warm_up, connect, THREADS).join()
        process = psutil.Process(collector.process.pid)
        before = _cpu_s(process)
        began = time.perf_counter()
        senders = Senders(bodies, connect, THREADS)
        sent = senders.join_within(MOST_S)
        seconds = time.perf_counter() - began
        cpu_s, rss = _cpu_s(process) - before, process.memory_info().rss
    if sent.refused or sent.errors:  # then the figures are not of an undisturbed collector
        raise RuntimeError(f"{len(sent.refused)} requests refused; {sent.errors}")
    done = sum(len(body.keys) for body in sent.acknowledged)
    stored = done + sum(len(body.keys) for body in warm_up)
    return Row(
        done,
        seconds,
        [wait * 1000 for wait in sent.waits_s],
        cpu_s * 1e6 / done,
        rss / 2**20,
        _bytes(url) / stored,
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _bytes(url: str) -> float:
    """Return the size of the database: the closed SQLite file, or what PostgreSQL says."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///")).stat().st_size
    with psycopg.connect(url) as db:
        row = db.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return float(row[0])


def packed_size(body: Body) -> str:
    """Return how large one span is on the wire."""
    number = len(body.keys)
    return f"{len(body.raw) / number:,.0f} B a span, {len(body.packed) / number:,.0f} B gzip"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--grpc", action="store_true", help="send over gRPC instead of HTTP")
    options = parser.parse_args()
    protocol = "gRPC" if options.grpc else "HTTP"
    table = Table(
        title=f"{protocol}, protobuf, gzip, {THREADS} senders; {packed_size(build(512, 0))}"
    )
    for column in ("store", "spans a request"):
        table.add_column(column)
    for column in ("acked spans/s", "p50 ms", "p99 ms", "CPU us/span", "RSS MB", "stored B/span"):
        table.add_column(column, justify="right")
    for size in SIZES:
        with databases() as urls:
            for store, url in urls.items():
                row = measure(url, size, options.spans, grpc=options.grpc)
                table.add_row(store, str(size), *row.cells())
    Console().print(table)


if __name__ == "__main__":
    main()
