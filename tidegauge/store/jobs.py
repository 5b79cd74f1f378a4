"""Job runs, how far each job has got, and the lease of the one analyst that may work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, event, func, or_, select, text, update

from tidegauge.store.engine import Connection, Engine, insert_into
from tidegauge.store.schema import job_run, lease, watermark
from tidegauge.store.times import from_s, to_s

_EPOCH = from_s(0)
_AHEAD = timedelta(minutes=1)  # so far two machines' clocks may differ


class LeaseLost(Exception):
    """Another analyst has taken over; what this one wrote since was rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a job."""

    job: str
    started_at: datetime
    finished_at: datetime | None  # None: it runs, or its process died
    outcome: str | None  # ok, failed
    looked_at: int | None  # how much it read: minutes, findings, messages
    error: str | None  # the error's class; never its text, which may hold content


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, and until when."""

    name: str
    token: int
    until: datetime


def start(db: Connection, job: str, now: datetime) -> None:
    """Note that ``job`` begins. The same start twice is one run."""
    fresh = {"finished_s": None, "outcome": None, "looked_at": None, "error": None}
    row = insert_into(db, job_run).values(job=job, started_s=_seconds(now), **fresh)
    db.execute(row.on_conflict_do_update(index_elements=["job", "started_s"], set_=fresh))


def finish(
    db: Connection,
    job: str,
    started_at: datetime,
    now: datetime,
    *,
    looked_at: int | None = None,
    error: str | None = None,
) -> None:
    """Note how the run that began at ``started_at`` ended; ``error`` None: well."""
    run = (job_run.c.job == job) & (job_run.c.started_s == _seconds(started_at))
    values = {
        "finished_s": _seconds(now),
        "outcome": "ok" if error is None else "failed",
        "looked_at": looked_at,
        "error": error,
    }
    db.execute(update(job_run).where(run).values(**values))


def last_runs(db: Connection, now: datetime | None = None) -> list[Run]:
    """Return the newest run of every job, by name; with ``now``, none of a clock that was ahead."""
    last = select(job_run.c.job, func.max(job_run.c.started_s).label("started_s"))
    if now is not None:
        last = last.where(job_run.c.started_s <= _seconds(now + _AHEAD))
    newest = last.group_by(job_run.c.job).subquery()
    query = select(job_run).join(
        newest, (job_run.c.job == newest.c.job) & (job_run.c.started_s == newest.c.started_s)
    )
    return [_run(row._mapping) for row in db.execute(query.order_by(job_run.c.job))]


def runs(db: Connection, job: str, limit: int = 100) -> list[Run]:
    """Return the newest runs of one job, newest first."""
    query = select(job_run).where(job_run.c.job == job)
    rows = db.execute(query.order_by(job_run.c.started_s.desc()).limit(limit))
    return [_run(row._mapping) for row in rows]


def last_ok(db: Connection, job: str, now: datetime) -> datetime | None:
    """Return when ``job`` last began a run that ended well. If it never did, return None.

    A run later than ``now`` is one of a clock that was ahead, and says nothing.
    """
    query = select(func.max(job_run.c.started_s)).where(
        job_run.c.job == job,
        job_run.c.outcome == "ok",
        job_run.c.started_s <= _seconds(now + _AHEAD),
    )
    found = db.execute(query).scalar_one()
    return None if found is None else _time(found)


def forget_runs(db: Connection, before: datetime) -> int:
    """Delete runs that began before; return how many."""
    return db.execute(delete(job_run).where(job_run.c.started_s < _seconds(before))).rowcount


def mark(db: Connection, job: str) -> datetime | None:
    """Return how far ``job`` has got. If it has not begun, return None."""
    query = select(watermark.c.at_s).where(watermark.c.job == job)
    found = db.execute(query).scalar_one_or_none()
    return None if found is None else from_s(found)


def set_mark(db: Connection, job: str, at: datetime) -> None:
    """Note how far ``job`` has got; in the transaction that wrote its results."""
    row = insert_into(db, watermark).values(job=job, at_s=to_s(at))
    db.execute(row.on_conflict_do_update(index_elements=["job"], set_={"at_s": to_s(at)}))


def database_time(db: Connection) -> datetime:
    """Return the database's own time: analysts on several machines agree on no other clock."""
    if db.dialect.name == "sqlite":
        query = "SELECT unixepoch('subsec')"
    else:
        query = "SELECT extract(epoch FROM clock_timestamp())::float8"
    return _time(float(db.execute(text(query)).scalar_one()))


def take_lease(db: Connection, name: str, holder: str, now: datetime, seconds: float) -> int | None:
    """Take or prolong a lease, and return its fencing token.

    The token rises whenever the lease changes hands. While another holder's lease lasts, return
    None. One that would last for more than twice ``seconds`` was taken by a clock that was ahead.
    """
    until = _seconds(now) + seconds
    fresh = insert_into(db, lease).values(name=name, holder=holder, token=1, until_s=until)
    if db.execute(fresh.on_conflict_do_nothing()).rowcount == 1:
        return 1
    mine = update(lease).where(lease.c.name == name, lease.c.holder == holder)
    if db.execute(mine.values(until_s=until)).rowcount == 1:
        return _token(db, name)
    lapsed = update(lease).where(
        lease.c.name == name,
        or_(lease.c.until_s <= _seconds(now), lease.c.until_s > _seconds(now) + 2 * seconds),
    )
    values = {"holder": holder, "token": lease.c.token + 1, "until_s": until}
    return _token(db, name) if db.execute(lapsed.values(**values)).rowcount == 1 else None


def release_lease(db: Connection, name: str, holder: str) -> None:
    """Let the next one take over at once. Its token still rises: this holder's is spent."""
    mine = update(lease).where(lease.c.name == name, lease.c.holder == holder)
    db.execute(mine.values(until_s=0.0, holder=""))


def lease_holder(db: Connection, name: str) -> Holder | None:
    """Return who holds the lease. If nobody ever did, return None."""
    row = db.execute(select(lease).where(lease.c.name == name)).one_or_none()
    return None if row is None else Holder(row.holder, row.token, _time(row.until_s))


def fenced(engine: Engine, name: str, token: int) -> Engine:
    """Return the same engine, whose write transactions commit only while ``token`` is the newest.

    An analyst that was stopped for a while and goes on would otherwise write over its successor's
    work. Such a commit raises LeaseLost, and nothing of it is kept.
    """
    guarded = engine.execution_options(tidegauge_fence=token)

    @event.listens_for(guarded, "commit")
    def check(db: Connection) -> None:
        if not db.get_execution_options().get("tidegauge_read", False):
            _hold(db, name, token)

    return guarded


def _hold(db: Connection, name: str, token: int) -> None:
    """Raise LeaseLost unless ``token`` is the newest; it stays so until this transaction ends."""
    # The row lock (PostgreSQL) keeps a successor out between this look and the commit.
    query = select(lease.c.token).where(lease.c.name == name).with_for_update(read=True)
    if db.execute(query).scalar_one_or_none() != token:
        raise LeaseLost(f"lease '{name}' has changed hands")


def _token(db: Connection, name: str) -> int:
    return int(db.execute(select(lease.c.token).where(lease.c.name == name)).scalar_one())


def _run(row: Mapping[Any, Any]) -> Run:
    return Run(
        job=row["job"],
        started_at=_time(row["started_s"]),
        finished_at=None if row["finished_s"] is None else _time(row["finished_s"]),
        outcome=row["outcome"],
        looked_at=row["looked_at"],
        error=row["error"],
    )


def _seconds(at: datetime) -> float:
    return (at - _EPOCH).total_seconds()


def _time(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)
