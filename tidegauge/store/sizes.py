"""How much room the database takes, and how much its disk has left."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tidegauge.store.engine import Engine

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds a SQLite file."""

    free_bytes: int  # that we may use
    used: float  # share of what we may use, 0 to 1, as df tells it

    @property
    def is_full(self) -> bool:
        """Return whether so little is left that writing may fail soon."""
        # By its share alone a disk of 10 TB would be full with 500 GB to spare.
        return self.used >= 0.95 and self.free_bytes < GIB

    @property
    def is_nearly_full(self) -> bool:
        """Return whether it is time to make room."""
        return self.used >= 0.85 and self.free_bytes < 10 * GIB


def file_of(engine: Engine) -> Path | None:
    """Return the SQLite file. If the database is a server's, return None."""
    if engine.dialect.name != "sqlite":
        return None
    return Path(str(engine.url.database))


def disk_of(engine: Engine) -> Disk | None:
    """Return the disk of the SQLite file; None where it is a server's, or cannot be seen."""
    path = file_of(engine)
    if path is None:
        return None
    try:
        told = os.statvfs(path.parent)
    except OSError:
        return None
    taken = told.f_blocks - told.f_bfree
    ours = taken + told.f_bavail
    return Disk(told.f_bavail * told.f_frsize, taken / ours if ours else 1.0)


def log_bytes(engine: Engine) -> int | None:
    """Return the size of SQLite's write-ahead log, 0 where there is none; None: not SQLite."""
    path = file_of(engine)
    if path is None:
        return None
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0
    except OSError:
        return None
