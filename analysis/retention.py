"""Old content and old numbers go, as each project's policy says, between the writes of ingest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegauge.policy import Policy, Project
from tidegauge.store import retention
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.retention import SHELVES, Shelf

BATCH_S = 0.01  # a transaction holds SQLite's one write lock about so long, seconds
REST = 8  # and leaves it free this many times as long: ingest comes between
RUN_S = 5.0  # of one run: a process that stops waits for its end, seconds
_LEAST_REST_S = 0.05
_FIRST, _LEAST, _MOST = 20, 5, 2_000  # rows of a batch
_PAGES = 100  # cut off a file in one transaction


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes for one run: ``clock`` in seconds, from any start; ``rest`` waits."""

    clock: Callable[[], float]
    rest: Callable[[float], None]


def expire(engine: Engine, policy: Policy, now: datetime, pace: Pace) -> int:
    """Delete what is past its time, for RUN_S seconds; return how many rows. The next run goes on."""
    ends = pace.clock() + RUN_S
    gone = 0
    for shelf, project, before in _due(engine, policy, now):
        gone += _clear(engine, shelf, project, before, pace, ends)
    _shrink(engine, pace, ends)
    return gone


def _due(engine: Engine, policy: Policy, now: datetime) -> list[tuple[Shelf, str, datetime]]:
    """Return what holds old rows: only there the write lock is asked for."""
    with read(engine) as db:
        names = retention.projects(db)
        limits = [
            (shelf, name, now - _kept(shelf, policy.project(name)))
            for shelf in SHELVES
            for name in names
        ]
        return [due for due in limits if retention.has_old(db, *due)]


def _kept(shelf: Shelf, project: Project) -> timedelta:
    return timedelta(days=project.content_days if shelf.content else project.numbers_days)


def _clear(
    engine: Engine, shelf: Shelf, project: str, before: datetime, pace: Pace, ends: float
) -> int:
    """Delete the old rows of one shelf, batch by batch, until there are none or the time is up."""
    size, gone = _FIRST, 0
    while pace.clock() < ends:
        with write(engine) as db:
            began = pace.clock()  # from here on: while it waits for the lock it holds up nobody
            deleted = retention.delete_batch(db, shelf, project, before, size)
        gone += deleted
        if deleted < size:
            break
        size = _next_size(size, pace.clock() - began)
        _rest(pace, began)
    return gone


def _next_size(size: int, took_s: float) -> int:
    """Return how many rows to delete next, so that it takes BATCH_S; at most doubled at once.

    >>> _next_size(100, 0.01), _next_size(100, 0.02), _next_size(100, 0.001)
    (100, 50, 200)
    """
    wanted = size * BATCH_S / max(took_s, 1e-6)
    return int(min(max(wanted, _LEAST), 2 * size, _MOST))


def _shrink(engine: Engine, pace: Pace, ends: float) -> None:
    """Give the free part of a SQLite file back to the disk, where it is a large one."""
    while pace.clock() < ends and _is_sparse(engine):
        with write(engine) as db:
            began = pace.clock()
            retention.shrink(db, _PAGES)
        _rest(pace, began)


def _is_sparse(engine: Engine) -> bool:
    with read(engine) as db:
        return retention.is_sparse(db)


def _rest(pace: Pace, began: float) -> None:
    pace.rest(max(_LEAST_REST_S, REST * (pace.clock() - began)))
