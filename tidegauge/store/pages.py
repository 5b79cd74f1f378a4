"""What the dashboard's pages read: only the columns that a page shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, func, select, text

from tidegauge.bucket import Bucket, Measure, Measured
from tidegauge.finding import Series, Signal
from tidegauge.histogram import Histogram
from tidegauge.normal import Normal
from tidegauge.store.engine import Connection
from tidegauge.store.rollups import series_id, series_of
from tidegauge.store.schema import normal, rollup
from tidegauge.store.shapes import merge_packed
from tidegauge.store.times import from_s, to_s

_COUNTS = ("calls", "errors", "truncated", "truncation_known", "cost_usd", "cost_known")
_FRACTIONS = {"cost_usd", "total", "log_sum", "log_square_sum"}
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
) -> list[Bucket]:
    """Return the buckets that start in [since, until) with only these measures, by start.

    A bucket's histograms are most of its bytes: a page that shows two numbers must not read five.
    """
    names = series_of(db, project)
    columns = [rollup.c.start_s, rollup.c.series_id, *(rollup.c[name] for name in _COUNTS)]
    columns += [rollup.c[f"{measure}_{name}"] for measure in measures for name in _SUMS]
    query = select(*columns).where(*_inside(project, step_s, since, until))
    if series is not None:
        query = query.where(rollup.c.series_id.in_([series_id(one) for one in series]))
    rows = db.execute(query.order_by(rollup.c.start_s)).mappings()
    return [_bucket(row, names[row["series_id"]], measures) for row in rows]


def read_totals(
    db: Connection,
    project: str,
    step_s: int,
    since: datetime,
    until: datetime,
    *,
    measures: Collection[Measure],
) -> list[Bucket]:
    """Return one bucket a series over all of [since, until), with only these measures."""
    names = series_of(db, project)
    inside = _inside(project, step_s, since, until)
    sums = [rollup.c[name] for name in _COUNTS]
    sums += [rollup.c[f"{measure}_{name}"] for measure in measures for name in _SUMS[:-1]]
    totals = select(rollup.c.series_id, *(func.sum(one).label(one.name) for one in sums))
    rows = db.execute(totals.where(*inside).group_by(rollup.c.series_id)).mappings().all()
    shapes = _shapes(db, inside, measures)
    return [
        Bucket(
            series=names[row["series_id"]],
            start=since,
            # PostgreSQL adds up bigints to a Decimal
            **{name: _number(row[name], name) for name in _COUNTS},
            measures={
                measure: _total(row, measure, shapes[row["series_id"], measure])
                for measure in measures
            },
        )
        for row in rows
    ]


def read_calls(
    db: Connection, project: str, step_s: int, since: datetime, until: datetime, by_s: int
) -> dict[tuple[Series, datetime], int]:
    """Return how many calls each series made in every ``by_s`` seconds of [since, until)."""
    names = series_of(db, project)
    step = (rollup.c.start_s - rollup.c.start_s % by_s).label("at_s")
    query = (
        select(rollup.c.series_id, step, func.sum(rollup.c.calls))
        .where(*_inside(project, step_s, since, until))
        .group_by(rollup.c.series_id, step)
    )
    return {(names[id_], from_s(int(at))): int(calls) for id_, at, calls in db.execute(query)}


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


def database_bytes(db: Connection) -> int:
    """Return the size of the database, bytes; without SQLite's log."""
    if db.dialect.name == "sqlite":
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    else:
        query = "SELECT pg_database_size(current_database())"
    return int(db.execute(text(query)).scalar_one())


def _inside(
    project: str, step_s: int, since: datetime, until: datetime
) -> tuple[ColumnElement[bool], ...]:
    return (
        rollup.c.project == project,
        rollup.c.step_s == step_s,
        rollup.c.start_s >= to_s(since),
        rollup.c.start_s < to_s(until),
    )


def _shapes(
    db: Connection, inside: tuple[ColumnElement[bool], ...], measures: Collection[Measure]
) -> dict[tuple[int, Measure], list[bytes]]:
    packed: dict[tuple[int, Measure], list[bytes]] = defaultdict(list)
    if measures:
        columns = [rollup.c[f"{measure}_histogram"] for measure in measures]
        for id_, *found in db.execute(select(rollup.c.series_id, *columns).where(*inside)):
            for measure, one in zip(measures, found, strict=True):
                packed[id_, measure].append(one)
    return packed


def _total(row: RowMapping, measure: Measure, packed: Sequence[bytes]) -> Measured:
    sums = {name: _number(row[f"{measure}_{name}"], name) for name in _SUMS[:-1]}
    return Measured(**sums, histogram=merge_packed(packed))


def _number(value: Any, name: str) -> Any:
    return float(value) if name in _FRACTIONS else int(value)


def _bucket(row: RowMapping, series: Series, measures: Collection[Measure]) -> Bucket:
    return Bucket(
        series=series,
        start=from_s(row["start_s"]),
        **{name: row[name] for name in _COUNTS},
        measures={measure: _measured(row, measure) for measure in measures},
    )


def _measured(row: RowMapping, measure: Measure) -> Measured:
    n, total, log_n, log_sum, log_square_sum, packed = (row[f"{measure}_{s}"] for s in _SUMS)
    return Measured(n, total, log_n, log_sum, log_square_sum, Histogram.unpack(packed))
