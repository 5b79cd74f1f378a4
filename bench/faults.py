"""Every fault at full size, one line each: what was lost, how soon it was told, how soon it healed.

Run: python -m bench.faults [--only R-03,R-06] [--quick]; kill -9 and power loss have benches of
their own (bench.kill, bench.power), damaged requests too (bench.fuzz).
"""

from __future__ import annotations

import argparse
import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.bodies import build
from bench.clusters import Cluster
from bench.disk_faults import (
    ERRORS,
    Filled,
    Locked,
    NeedsRoot,
    Swept,
    fill,
    lock,
    small_disk,
    sweep_postgres,
    sweep_sqlite,
    tables_on,
)
from bench.server_faults import Outage, Slow, die, endless, failover, outage, restart, slow
from bench.shim import NoCompiler
from bench.shim import build as build_shim


@dataclass(frozen=True, slots=True)
class Line:
    """What one fault did."""

    lost: int
    answers: str
    healed: str
    files: str = "sound"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done of each."""

    requests: int = 100  # of which call number 1, 2, 3 ... fails
    lock_s: float = 30.0
    away_s: float = 60.0
    load_s: float = 10.0


QUICK = Size(requests=30, lock_s=6.0, away_s=3.0, load_s=1.0)


def _swept(found: Swept) -> Line:
    said = ", ".join(f"{status}: {n}" for status, n in sorted(found.answers.items()))
    healed = f"{found.recovered} of {found.answers.total()} at once or on the next try"
    return Line(found.lost, f"{found.points} calls failed; {said}", healed, _files(found.whole))


def _filled(found: Filled) -> Line:
    told = f"{found.statuses} within {found.refused_in_s:.2f} s"
    return Line(found.lost, told, f"{found.recovered_s:.2f} s", _files(found.whole))


def _locked(found: Locked) -> Line:
    told = (
        f"{found.refused} x {found.statuses} within {found.slowest_s:.2f} s; "
        f"+{found.threads} threads, +{found.memory_mb:.0f} MB"
    )
    return Line(found.lost, told, f"{found.healed_s:.2f} s")


def _outage(found: Outage) -> Line:
    told = f"{found.refused} x {found.statuses} within {found.slowest_s:.2f} s"
    more = f" of {found.acknowledged:,} acknowledged, {found.double} double"
    return Line(found.lost, told + more, f"{found.healed_s:.2f} s", _files(found.whole))


def _slow(found: Slow) -> Line:
    told = (
        f"200 ms a round trip: {found.near_status} after {found.near_s:.1f} s; "
        f"6 s: {found.far_status} after {found.far_s:.1f} s; silence: {found.swallowed_status} "
        f"after {found.swallowed_s:.1f} s, given up after {found.noticed_s:.1f} s"
    )
    return Line(found.lost, told, f"{found.healed_s:.2f} s")


def _files(whole: bool) -> str:
    return "sound" if whole else "DAMAGED"


def _full_sqlite() -> Line:
    with _place() as folder, small_disk(folder / "disk", "3m") as disk:
        return _filled(fill(f"sqlite:///{disk / 't.db'}", disk, endless(spans=50)))


def _full_postgres() -> Line:
    with (
        _place() as folder,
        small_disk(folder / "disk", "24m") as disk,
        Cluster() as cluster,
        tables_on(cluster, disk) as url,
    ):
        return _filled(fill(url, disk, endless(spans=100)))


def _locked_sqlite(size: Size) -> Line:
    with _place() as folder:
        bodies = [build(50, seed) for seed in range(100)]
        return _locked(lock(folder / "t.db", size.lock_s, bodies))


def _sweep_sqlite(size: Size, error: int) -> Line:
    with _place() as folder:
        bodies = [build(20, seed) for seed in range(size.requests)]
        return _swept(sweep_sqlite(build_shim(folder), folder / "db", bodies, error))


def _sweep_postgres(size: Size) -> Line:
    with _place() as folder:
        bodies = [build(20, seed) for seed in range(size.requests)]
        return _swept(sweep_postgres(build_shim(folder), bodies, errno.EIO))


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # for PostgreSQL's user
        yield Path(name)


def faults(size: Size) -> Mapping[str, Callable[[], Line]]:
    """Return each fault by its number and name."""
    names = {errno.EIO: "EIO", errno.ENOSPC: "ENOSPC"}
    return {
        **{
            f"R-03 call number n fails with {names[error]}, SQLite": (
                lambda error=error: _sweep_sqlite(size, error)  # type: ignore[misc]
            )
            for error in ERRORS
        },
        "R-03 call number n fails with EIO, PostgreSQL": lambda: _sweep_postgres(size),
        "R-04 disk full, then grown, SQLite": _full_sqlite,
        "R-04 disk full, then grown, PostgreSQL": _full_postgres,
        f"R-05 locked for {size.lock_s:g} s, SQLite": lambda: _locked_sqlite(size),
        "R-06 restart, PostgreSQL": lambda: _outage(outage(restart, 1.0, size.load_s)),
        f"R-06 killed, away {size.away_s:g} s, PostgreSQL": (
            lambda: _outage(outage(die, size.away_s, size.load_s))
        ),
        "R-07 primary lost, standby promoted": lambda: _outage(failover(size.load_s)),
        "R-08 slow line, then silence, PostgreSQL": lambda: _slow(slow()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="such as R-03,R-06")
    parser.add_argument("--quick", action="store_true", help="a minute or two instead of ten")
    options = parser.parse_args()
    table = Table(title="faults under load")
    for column in ("fault", "acknowledged and lost", "answers", "healed", "files"):
        table.add_column(column)
    for name, run in faults(QUICK if options.quick else Size()).items():
        if options.only and name.split()[0] not in options.only.split(","):
            continue
        try:
            found = run()
        except (NeedsRoot, NoCompiler) as why:
            table.add_row(name, "not run", str(why), "", "")
            continue
        table.add_row(name, str(found.lost), found.answers, found.healed, found.files)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
