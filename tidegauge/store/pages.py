"""What the dashboard's pages read: only the columns that a page shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import RowMapping, select, text

from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.finding import Series, Signal
from tidegauge.histogram import Histogram
from tidegauge.normal import Normal
from tidegauge.store.engine import Connection
from tidegauge.store.rollups import series_id, series_of
from tidegauge.store.schema import ingest_count, normal, rollup
from tidegauge.store.times import from_s, to_s

_COUNTS = ("calls", "errors", "truncated", "truncation_known", "cost_usd", "cost_known")
_SUMS = ("n", "total", "log_n", "log_sum", "log_square_sum", "histogram")


def read_points(
    db: Connection,
    project: str,
    step_s: int,
    since: datetime,
    until: datetime,
    *,
    measures: Collection[Measure],
    series: Collection[Series] | None = None,
    lengths: bool = False,
) -> list[Bucket]:
    """Return the buckets that start in [since, until) with only these measures, by start.

    A bucket's histograms are most of its bytes: a page that shows two numbers must not read five.
    """
    names = series_of(db, project)
    columns = [rollup.c.start_s, rollup.c.series_id, *(rollup.c[name] for name in _COUNTS)]
    columns += [rollup.c[f"{measure}_{name}"] for measure in measures for name in _SUMS]
    query = select(*columns, *([rollup.c.lengths] if lengths else [])).where(
        rollup.c.project == project,
        rollup.c.step_s == step_s,
        rollup.c.start_s >= to_s(since),
        rollup.c.start_s < to_s(until),
    )
    if series is not None:
        query = query.where(rollup.c.series_id.in_([series_id(one) for one in series]))
    rows = db.execute(query.order_by(rollup.c.start_s)).mappings()
    return [_bucket(row, names[row["series_id"]], measures) for row in rows]


def read_normal(
    db: Connection, series: Series, signal: Signal
) -> tuple[Normal, Mapping[str, Any]] | None:
    """Return what was learned of one signal of one series, with the detector's own state."""
    row = db.execute(
        select(normal).where(
            normal.c.project == series.project,
            normal.c.series_id == series_id(series),
            normal.c.signal == signal.value,
        )
    ).first()
    if row is None:
        return None
    learned = Normal(
        series=series,
        signal=signal,
        learned_at=from_s(row.learned_s),
        hours=row.hours,
        log_scale=row.log_scale,
        profile=tuple(orjson.loads(row.profile)),
        wander_sd=row.wander_sd,
        version=row.version,
    )
    return learned, orjson.loads(row.state)


def counts_by_hour(db: Connection, project: str, since: datetime) -> dict[datetime, dict[str, int]]:
    """Return the ingest ledger from the hour ``since`` on: hour, outcome, how many."""
    query = select(ingest_count).where(
        ingest_count.c.project == project, ingest_count.c.hour_s >= to_s(since)
    )
    hours: dict[datetime, dict[str, int]] = {}
    for row in db.execute(query.order_by(ingest_count.c.hour_s, ingest_count.c.outcome)):
        hours.setdefault(from_s(row.hour_s), {})[row.outcome] = row._mapping["count"]
    return hours


def database_bytes(db: Connection) -> int:
    """Return the size of the database, bytes; without SQLite's log."""
    if db.dialect.name == "sqlite":
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    else:
        query = "SELECT pg_database_size(current_database())"
    return int(db.execute(text(query)).scalar_one())


def _bucket(row: RowMapping, series: Series, measures: Collection[Measure]) -> Bucket:
    return Bucket(
        series=series,
        start=from_s(row["start_s"]),
        **{name: row[name] for name in _COUNTS},
        measures={measure: _measured(row, measure) for measure in measures},
        lengths={key: LengthClass(*sums) for key, *sums in orjson.loads(row.get("lengths", b"[]"))},
    )


def _measured(row: RowMapping, measure: Measure) -> Measured:
    n, total, log_n, log_sum, log_square_sum, packed = (row[f"{measure}_{s}"] for s in _SUMS)
    return Measured(n, total, log_n, log_sum, log_square_sum, Histogram.unpack(packed))
