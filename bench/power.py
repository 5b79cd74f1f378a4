"""Power loss under load: what was acknowledged and is not on the disk.

A kill -9 cannot tell `synchronous = NORMAL` from `FULL`: the kernel writes what it was given. Here a
library (bench/shim.c) copies each file when it is synced; what lies in the copy after a kill -9 is
what a power loss would have left. The settings that lose are run beside ours, to prove that this
test would see a loss.

Run: python -m bench.power [--rounds 20] [--seconds 1]
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.bodies import Body, build
from bench.clusters import Cluster
from bench.kill import is_whole, stored_and_counted
from bench.senders import Senders, Sent, over_http
from bench.servers import Collector
from bench.shim import Shim
from bench.shim import build as build_shim
from tidegauge.store.migrate import upgrade

THREADS = 4
# A collector that keeps less than it promises: the same program with one setting changed.
_ENGINE = "import tidegauge.store.engine as e, collector.__main__ as c; "
_NORMAL = "e._SQLITE_PRAGMAS += ('synchronous = NORMAL',); c.main()"
_OFF = "e._wait_for_the_disk = lambda db, _: None; c.main()"
OURS: Sequence[str] = ("-m", "collector")
SQLITE_NORMAL: Sequence[str] = ("-c", _ENGINE + _NORMAL)
POSTGRES_OFF: Sequence[str] = ("-c", _ENGINE + _OFF)


@dataclass(frozen=True, slots=True)
class Loss:
    """What a power loss cost."""

    acknowledged: int  # spans
    lost: int  # of them
    whole: bool  # the database's own check of what is left finds nothing


def sqlite_loss(
    library: Path, folder: Path, bodies: Sequence[Body], seconds: float, program: Sequence[str]
) -> Loss:
    """Cut the power of a collector on SQLite after ``seconds`` of load."""
    live, disk = folder / "live", folder / "disk"
    disk.mkdir(parents=True)
    shim = Shim(library, live, disk)
    # From the start, so that what the schema needs is on the disk, too.
    collector = Collector(f"sqlite:///{live / 't.db'}", program=program, preload=shim.environment)
    sent = _load(collector, bodies, seconds, collector.kill)
    return _compare(sent, f"sqlite:///{disk / 't.db'}")


def postgres_loss(
    library: Path, bodies: Sequence[Body], seconds: float, program: Sequence[str]
) -> Loss:
    """Cut the power of a PostgreSQL after ``seconds`` of load."""
    # The default is changed, not the session: a collector must put it right by itself.
    with Cluster(options={"synchronous_commit": "off"}) as cluster, _disk_of(cluster) as disk:
        shim = Shim(library, cluster.data, disk)
        cluster.preload = shim.environment
        cluster.start()
        collector = Collector(cluster.url, program=program)
        sent = _load(collector, bodies, seconds, cluster.kill_all)
        collector.kill()
        _replace(cluster.data, disk)
        cluster.preload = {}
        cluster.start()
        return _compare(sent, cluster.url)


@contextmanager
def _disk_of(cluster: Cluster) -> Iterator[Path]:
    """Yield a copy of the stopped cluster's files, for its user: what is on the disk so far."""
    upgrade(cluster.url)
    cluster.stop_fast()
    disk = cluster.data.with_name("disk")
    _copy(cluster.data, disk)
    yield disk


def _replace(data: Path, disk: Path) -> None:
    shutil.rmtree(data)
    _copy(disk, data)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with its owners, without what was half copied when the power went."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.part", "postmaster.pid"))
    for path in [source, *source.rglob("*")]:
        copied = target / path.relative_to(source)
        if copied.exists():
            about = path.stat()
            shutil.chown(copied, about.st_uid, about.st_gid)
            copied.chmod(about.st_mode)


def _load(
    collector: Collector, bodies: Sequence[Body], seconds: float, cut: Callable[[], None]
) -> Sent:
    senders = Senders(bodies, over_http(collector.http), THREADS)
    threading.Event().wait(seconds)
    cut()
    senders.stop()
    return senders.join()


def _compare(sent: Sent, url: str) -> Loss:
    upgrade(url)  # a schema that never reached the disk is a loss, not an error of this test
    stored, _ = stored_and_counted(url)
    return Loss(len(sent.keys), len(sent.keys - stored), is_whole(url))


def cases(library: Path) -> Mapping[str, Callable[[Path, Sequence[Body], float], Loss]]:
    """Return what is compared, by name."""
    return {
        "SQLite, FULL (ours)": lambda f, b, s: sqlite_loss(library, f, b, s, OURS),
        "SQLite, NORMAL": lambda f, b, s: sqlite_loss(library, f, b, s, SQLITE_NORMAL),
        "PostgreSQL, on (ours)": lambda _, b, s: postgres_loss(library, b, s, OURS),
        "PostgreSQL, off": lambda _, b, s: postgres_loss(library, b, s, POSTGRES_OFF),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    rng = random.Random(7)
    table = Table(title=f"power loss under load, {options.rounds} rounds")
    for column in ("synchronous", "acknowledged", "lost", "rounds with a loss", "files"):
        table.add_column(column, justify="left" if column == "synchronous" else "right")
    with tempfile.TemporaryDirectory() as folder:
        library = build_shim(Path(folder))
        Path(folder).chmod(0o755)  # PostgreSQL's user loads it, too
        bodies = [build(50, seed) for seed in range(int(300 * options.seconds))]
        for name, lose in cases(library).items():
            losses: list[Loss] = []
            for _ in range(options.rounds):
                place = Path(folder) / f"{len(losses)}-{abs(hash(name))}"
                losses.append(lose(place, bodies, options.seconds * rng.uniform(0.5, 1.0)))
                shutil.rmtree(place, ignore_errors=True)
            table.add_row(
                name,
                f"{sum(one.acknowledged for one in losses):,}",
                f"{sum(one.lost for one in losses):,}",
                f"{sum(one.lost > 0 for one in losses)} of {options.rounds}",
                "sound" if all(one.whole for one in losses) else "DAMAGED",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
