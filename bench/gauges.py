"""What a server used and what it kept: CPU, peak memory, rows and bytes in its database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg

_GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started, and those that they have."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_s(pid: int) -> float:
    """Return the CPU time of a whole tree of processes, those that ended included, seconds."""
    spent = 0.0
    for process in tree(pid):
        with suppress(*_GONE):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def peak_rss_mb(pid: int) -> float:
    """Return the most memory that each process of a tree ever had, added up, MiB.

    What processes share is counted once for each of them.
    """
    return sum(_peak_kb(process.pid) for process in tree(pid)) / 1024


def _peak_kb(pid: int) -> int:
    with suppress(*_GONE):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def kill(pid: int) -> None:
    """End a whole tree of processes as the out-of-memory killer would, all at once."""
    processes = tree(pid)
    for process in processes:
        with suppress(*_GONE):
            process.kill()
    psutil.wait_procs(processes, timeout=30)


def end(pid: int, within_s: float = 30.0) -> None:
    """Ask a tree of processes to stop, and end what is left of it after ``within_s``."""
    processes = tree(pid)
    with suppress(*_GONE):
        processes[0].terminate()
    _, left = psutil.wait_procs(processes, timeout=within_s)
    for process in left:
        with suppress(*_GONE):
            process.kill()


def database_bytes(url: str) -> int:
    """Return how large a database is: SQLite's pages, or what PostgreSQL says."""
    if not url.startswith("sqlite:///"):
        with psycopg.connect(url) as db:
            return int(_one(db.execute("SELECT pg_database_size(current_database())").fetchone()))
    with closing(_sqlite(url)) as db:
        pages = _one(db.execute("PRAGMA page_count").fetchone())
        return int(pages) * int(_one(db.execute("PRAGMA page_size").fetchone()))


def span_ids(url: str, table: str) -> set[bytes]:
    """Return the ``span_id`` of every row that a fresh connection finds, as bytes."""
    query = f"SELECT span_id FROM {table}"  # noqa: S608  (a name of our own)
    if not url.startswith("sqlite:///"):
        with psycopg.connect(url) as db:
            return {_id(row[0]) for row in db.execute(query)}
    with closing(_sqlite(url)) as db:
        return {_id(row[0]) for row in db.execute(query)}


def wait_for(spans: Iterable[bytes], url: str, table: str, within_s: float) -> bool:
    """Return whether all ``spans`` came to be in the database in time."""
    wanted, until = set(spans), time.monotonic() + within_s
    while not wanted <= span_ids(url, table):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _id(stored: bytes | str) -> bytes:
    """Return an id as the wire has it: some keep bytes, some hexadecimal text."""
    return bytes.fromhex(stored) if isinstance(stored, str) else bytes(stored)


def _one(row: tuple[int, ...] | None) -> int:
    assert row is not None
    return row[0]


def _sqlite(url: str) -> sqlite3.Connection:
    """Return a connection that can only read: one that checkpoints would change what is measured."""
    return sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True, timeout=30)
