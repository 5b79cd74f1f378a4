"""Per-bucket counts, sums and histograms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, bindparam, delete, func, select

from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.finding import Series
from tidegauge.histogram import Histogram
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.schema import rollup, stale_minute
from tidegauge.store.schema import series as series_table
from tidegauge.store.times import from_s, to_s

MINUTE_S = 60
HOUR_S = 3600
_DELETE_AT_ONCE = 500  # keeps a statement well below SQLite's limit on variables


@dataclass(frozen=True, slots=True)
class Stale:
    """A minute to count again, and the marks that say so."""

    project: str
    minute: datetime
    marks: tuple[str, ...]


def stale_minutes(db: Connection, limit: int) -> list[Stale]:
    """Return up to ``limit`` minutes that must be counted again, by project, oldest first.

    Whoever sees a mark sees the calls it was written with, in this and every later statement.
    """
    keys = (stale_minute.c.project, stale_minute.c.minute_s)
    minutes = select(*keys).distinct().order_by(*keys).limit(limit).subquery()
    query = (
        select(stale_minute)
        .join(
            minutes,
            (stale_minute.c.project == minutes.c.project)
            & (stale_minute.c.minute_s == minutes.c.minute_s),
        )
        .order_by(*keys)
    )
    marks: dict[tuple[str, int], list[str]] = {}
    for row in db.execute(query):
        marks.setdefault((row.project, row.minute_s), []).append(row.mark)
    return [Stale(project, from_s(at), tuple(names)) for (project, at), names in marks.items()]


def count_stale(db: Connection) -> int:
    """Return how many minutes wait to be counted."""
    keys = select(stale_minute.c.project, stale_minute.c.minute_s).distinct().subquery()
    return int(db.execute(select(func.count()).select_from(keys)).scalar_one())


def clear_marks(db: Connection, stale: Sequence[Stale]) -> None:
    """Forget exactly these marks; one that a writer has added since stays."""
    rows = [
        {"p": one.project, "m": to_s(one.minute), "k": mark} for one in stale for mark in one.marks
    ]
    if rows:
        db.execute(
            delete(stale_minute).where(
                stale_minute.c.project == bindparam("p"),
                stale_minute.c.minute_s == bindparam("m"),
                stale_minute.c.mark == bindparam("k"),
            ),
            rows,
        )


def replace(
    db: Connection, project: str, step_s: int, starts: Sequence[datetime], buckets: Sequence[Bucket]
) -> None:
    """Make ``buckets`` all that is known of the steps at ``starts``."""
    for i in range(0, len(starts), _DELETE_AT_ONCE):
        db.execute(
            delete(rollup).where(
                rollup.c.project == project,
                rollup.c.step_s == step_s,
                rollup.c.start_s.in_([to_s(at) for at in starts[i : i + _DELETE_AT_ONCE]]),
            )
        )
    if buckets:
        db.execute(rollup.insert(), [_row(bucket, step_s) for bucket in buckets])


def read_buckets(
    db: Connection,
    project: str,
    step_s: int,
    since: datetime,
    until: datetime,
    *,
    series: Series | None = None,
    service: str | None = None,
    shapes: bool = True,
) -> list[Bucket]:
    """Return the buckets that start in [since, until), by start; of all series, unless named.

    Without ``shapes`` the histograms are left empty: it takes half the time.
    """
    names = series_of(db, project)
    query = select(rollup).where(
        rollup.c.project == project,
        rollup.c.step_s == step_s,
        rollup.c.start_s >= to_s(since),
        rollup.c.start_s < to_s(until),
    )
    if series is not None:
        query = query.where(rollup.c.series_id == series_id(series))
    elif service is not None:
        ids = [id_ for id_, one in names.items() if one.service == service]
        query = query.where(rollup.c.series_id.in_(ids))
    rows = db.execute(query.order_by(rollup.c.start_s))
    return [_bucket(row, names[row.series_id], shapes) for row in rows]


def series_id(series: Series) -> int:
    """Return a hash of the names, below 2**63: the same on every machine, no counter needed.

    >>> series_id(Series("p", "s", "e", "u", "m")) == series_id(Series("p", "s", "e", "u", "m"))
    True
    """
    names = (series.project, series.service, series.environment, series.use_case, series.model)
    digest = hashlib.blake2b(orjson.dumps(names), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def series_of(db: Connection, project: str) -> dict[int, Series]:
    """Return every series of a project, by its id."""
    rows = db.execute(select(series_table).where(series_table.c.project == project))
    return {
        row.series_id: Series(row.project, row.service, row.environment, row.use_case, row.model)
        for row in rows
    }


def register(db: Connection, series: Iterable[Series], now: datetime) -> None:
    """Give each of ``series`` a row, so that its id has names; one that has a row keeps it."""
    rows = [
        {
            "project": one.project,
            "series_id": series_id(one),
            "service": one.service,
            "environment": one.environment,
            "use_case": one.use_case,
            "model": one.model,
            "first_seen_s": to_s(now),
        }
        for one in sorted(set(series))
    ]
    if rows:
        db.execute(insert_into(db, series_table).on_conflict_do_nothing(), rows)


def projects(db: Connection) -> list[str]:
    """Return the projects that have sent a call."""
    return list(db.execute(select(series_table.c.project).distinct().order_by("project")).scalars())


def _row(bucket: Bucket, step_s: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "project": bucket.series.project,
        "step_s": step_s,
        "start_s": to_s(bucket.start),
        "series_id": series_id(bucket.series),
        "calls": bucket.calls,
        "errors": bucket.errors,
        "truncated": bucket.truncated,
        "truncation_known": bucket.truncation_known,
        "cost_usd": bucket.cost_usd,
        "cost_known": bucket.cost_known,
        "lengths": _pack_lengths(bucket),
    }
    for measure in Measure:
        sums = bucket.measured(measure)
        row[f"{measure}_n"] = sums.n
        row[f"{measure}_total"] = sums.total
        row[f"{measure}_log_n"] = sums.log_n
        row[f"{measure}_log_sum"] = sums.log_sum
        row[f"{measure}_log_square_sum"] = sums.log_square_sum
        row[f"{measure}_histogram"] = sums.histogram.pack()
    return row


def _bucket(row: Row[Any], series: Series, shapes: bool) -> Bucket:
    return Bucket(
        series=series,
        start=from_s(row.start_s),
        calls=row.calls,
        errors=row.errors,
        truncated=row.truncated,
        truncation_known=row.truncation_known,
        cost_usd=row.cost_usd,
        cost_known=row.cost_known,
        measures={
            measure: sums for measure in Measure if (sums := _measured(row, measure, shapes)).n
        },
        lengths={
            key: LengthClass(n, log_sum, log_square_sum, length_sum)
            for key, n, log_sum, log_square_sum, length_sum in orjson.loads(row.lengths)
        },
    )


def _measured(row: Row[Any], measure: Measure, shapes: bool) -> Measured:
    values = row._mapping
    n = values[f"{measure}_n"]
    if not n:
        return Measured()
    return Measured(
        n=n,
        total=values[f"{measure}_total"],
        log_n=values[f"{measure}_log_n"],
        log_sum=values[f"{measure}_log_sum"],
        log_square_sum=values[f"{measure}_log_square_sum"],
        histogram=Histogram.unpack(values[f"{measure}_histogram"]) if shapes else Histogram(),
    )


def _pack_lengths(bucket: Bucket) -> bytes:
    return orjson.dumps(
        [
            [key, one.n, one.log_latency_sum, one.log_latency_square_sum, one.length_sum]
            for key, one in sorted(bucket.lengths.items())
        ]
    )
