"""Faults of the disk and of the file: a call that fails, no room left, a lock that others hold."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from bench.bodies import Body, Key
from bench.clusters import Cluster
from bench.insist import Answer, Insisting, Line, get
from bench.kill import is_whole, stored_and_counted
from bench.servers import Collector
from bench.shim import FOR_EVER, Shim
from tidegauge.store.migrate import upgrade

ERRORS = (errno.EIO, errno.ENOSPC)
_HOLD = """
import sys, time
from pysqlite3 import dbapi2
db = dbapi2.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Swept:
    """One request for each call that can fail while it is stored."""

    points: int  # requests during which a call failed
    answers: Counter[int]  # to them, by status
    recovered: int  # requests after them that were stored at once
    lost: int  # acknowledged and not stored
    whole: bool
    alive: bool


def sweep_sqlite(library: Path, folder: Path, bodies: Sequence[Body], error: int) -> Swept:
    """Fail write or sync number 1, 2, 3 ... of a request until none fails any more."""
    folder.mkdir(parents=True)
    shim = Shim(library, folder)
    url = f"sqlite:///{folder / 't.db'}"
    with (
        Collector(url, preload=shim.environment) as collector,
        Line(collector.http) as line,
    ):
        return _sweep(collector, line, shim, bodies, range(1, len(bodies) + 1), error, url)


def sweep_postgres(library: Path, bodies: Sequence[Body], error: int) -> Swept:
    """Fail write or sync number 1, 2, 3 ... of a PostgreSQL, which may end all its sessions."""
    with Cluster() as cluster:
        upgrade(cluster.url)
        cluster.stop_fast()
        shim = Shim(library, cluster.data)
        cluster.preload = shim.environment
        cluster.start()
        with Collector(cluster.url) as collector, Line(collector.http) as line:
            return _sweep(
                collector,
                line,
                shim,
                bodies,
                range(1, len(bodies) + 1),
                error,
                cluster.url,
                within_s=20,
            )


def _sweep(
    collector: Collector,
    line: Line,
    shim: Shim,
    bodies: Sequence[Body],
    numbers: range,
    error: int,
    url: str,
    within_s: float = 0.0,
) -> Swept:
    answers: Counter[int] = Counter()
    acknowledged: set[Key] = set()
    points = recovered = 0
    for number, body in zip(numbers, bodies, strict=False):
        with shim.failing(number, error=error):
            answer = line.post(body.raw)
            hit = shim.failed
        points += bool(hit)
        answers[answer.status] += 1
        again = _until_stored(line, body, within_s)
        recovered += again.status == 200
        if 200 in (answer.status, again.status):
            acknowledged.update(body.keys)
        if not hit:
            break
    alive = collector.process.poll() is None
    stored, _ = stored_and_counted(url)
    return Swept(points, answers, recovered, len(acknowledged - stored), is_whole(url), alive)


def _until_stored(line: Line, body: Body, within_s: float) -> Answer:
    end = time.monotonic() + within_s
    while (answer := line.post(body.raw)).status != 200 and time.monotonic() < end:
        time.sleep(0.1)
    return answer


def dead_disk(library: Path, folder: Path, bodies: Sequence[Body]) -> tuple[list[Answer], Answer]:
    """Fail every call for the first bodies, none for the last one; return the answers."""
    folder.mkdir(parents=True)
    shim = Shim(library, folder)
    with (
        Collector(f"sqlite:///{folder / 't.db'}", preload=shim.environment) as collector,
        Line(collector.http) as line,
    ):
        with shim.failing(1, times=FOR_EVER):
            refused = [line.post(body.raw) for body in bodies[:-1]]
        return refused, line.post(bodies[-1].raw)


@dataclass(frozen=True, slots=True)
class Filled:
    """A disk without room, and room again."""

    acknowledged: int  # spans before it was full
    refused_in_s: float  # the slowest answer while it was full
    statuses: set[int]  # while it was full
    retry_after: set[str | None]
    reasons: str  # /readyz while it was full
    recovered_s: float  # from the moment there was room again
    lost: int
    whole: bool


class NeedsRoot(Exception):
    """A file system of its own size can be mounted by root only."""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Yield a folder on a disk of ``size`` ("3m"). Raises NeedsRoot."""
    folder.mkdir(parents=True)
    _mount(f"size={size}", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607


def _mount(options: str, folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise NeedsRoot(f"tmpfs cannot be mounted: {done.stderr.strip()}")


def fill(url: str, disk: Path, bodies: Iterable[Body]) -> Filled:
    """Send until the disk is full, three times more, then let the disk grow."""
    with Collector(url) as collector, Line(collector.http) as line:
        acknowledged: set[Key] = set()
        left = iter(bodies)
        refused: list[Answer] = []
        while len(refused) < 3:
            body = next(left)
            answer = line.post(body.raw)
            if answer.status == 200:
                acknowledged.update(body.keys)
            else:
                refused.append(answer)
        _, reasons = get(collector.http, "/readyz")
        _mount("remount,size=400m", disk)
        began = time.monotonic()
        last = _until_stored(line, body, 30)
        acknowledged.update(body.keys if last.status == 200 else ())
        stored, _ = stored_and_counted(url)
        return Filled(
            len(acknowledged),
            max(one.waited_s for one in refused),
            {one.status for one in refused},
            {one.retry_after for one in refused},
            reasons,
            last.at - began,
            len(acknowledged - stored),
            is_whole(url),
        )


@contextmanager
def tables_on(cluster: Cluster, disk: Path) -> Iterator[str]:
    """Yield the URL of a database whose tables, but not whose log, lie on ``disk``."""
    place = disk / "tables"
    place.mkdir()
    about = cluster.data.stat()

    os.chown(place, about.st_uid, about.st_gid)
    with psycopg.connect(cluster.url, autocommit=True) as db:
        db.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        db.execute("CREATE DATABASE small TABLESPACE small")
    yield cluster.url.rsplit("/", 1)[0] + "/small"


@dataclass(frozen=True, slots=True)
class Locked:
    """What senders saw while another process held the database."""

    refused: int
    slowest_s: float
    statuses: set[int]
    threads: int  # more than before, at most
    memory_mb: float  # more than before, at most
    healed_s: float  # from the unlock to the first acknowledgement
    lost: int


def lock(path: Path, seconds: float, bodies: Sequence[Body], answer_within_s: str = "5") -> Locked:
    """Hold a SQLite file for ``seconds`` while eight senders go on."""
    url = f"sqlite:///{path}"
    with Collector(url, answer_within_s=answer_within_s) as collector:
        process = psutil.Process(collector.process.pid)
        first = Insisting(collector.http, bodies[:1], threads=1)
        first.join()
        threads, memory = [process.num_threads()], [process.memory_info().rss]
        with held(path, seconds) as released:
            senders = Insisting(collector.http, bodies[1:])
            while not released():
                threads.append(process.num_threads())
                memory.append(process.memory_info().rss)
                threading.Event().wait(0.1)
            free_at = time.monotonic()
            senders.join()
        stored, _ = stored_and_counted(url)
        during = [one for one in senders.answers if one.status != 200]
        after = [one.at for one in senders.answers if one.status == 200]
        return Locked(
            len(during),
            max((one.waited_s for one in during), default=0.0),
            {one.status for one in during},
            max(threads) - threads[0],
            (max(memory) - memory[0]) / 2**20,
            min(after) - free_at,
            len((senders.acknowledged | first.acknowledged) - stored),
        )


@contextmanager
def held(path: Path, seconds: float) -> Iterator[Callable[[], bool]]:
    """Hold the write lock of a file in another process; yields what says that it ended."""
    holder = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield lambda: holder.poll() is not None
    finally:
        holder.kill()
        holder.communicate()
