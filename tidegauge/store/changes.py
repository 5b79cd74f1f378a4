"""Changes seen in traffic, and the minutes they are found in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import zstandard
from sqlalchemy import Row, Select, delete, select

from tidegauge.clock import MINUTE, floor
from tidegauge.finding import Change, Series
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.rollups import HOUR_S, series_id, series_of
from tidegauge.store.schema import change, watched_hour
from tidegauge.store.times import from_s, to_s


@dataclass(frozen=True, slots=True)
class WatchedHour:
    """What one hour of one series carried of the watched fields, as JSON values."""

    series: Series
    hour: datetime
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A change, and the minute that showed it: when that is counted again, so is the change."""

    change: Change
    minute: datetime


def read_hours(
    db: Connection, project: str, since: datetime, until: datetime
) -> dict[tuple[Series, datetime], WatchedHour]:
    """Return the watched hours that start in [since, until)."""
    names = series_of(db, project)
    query = _hours(project).where(
        watched_hour.c.hour_s >= to_s(since), watched_hour.c.hour_s < to_s(until)
    )
    found = [_hour(row, names[row.series_id]) for row in db.execute(query)]
    return {(one.series, one.hour): one for one in found}


def hour_before(
    db: Connection, series: Series, hour: datetime, since: datetime
) -> WatchedHour | None:
    """Return the last watched hour of a series in [since, hour). If there is none, return None."""
    query = _hours(series.project).where(
        watched_hour.c.series_id == series_id(series),
        watched_hour.c.hour_s < to_s(hour),
        watched_hour.c.hour_s >= to_s(since),
    )
    row = db.execute(query.order_by(watched_hour.c.hour_s.desc()).limit(1)).first()
    return _hour(row, series) if row else None


def hours_after(db: Connection, series: Series, hour: datetime) -> list[WatchedHour]:
    """Return the watched hours of a series after ``hour``, oldest first."""
    query = _hours(series.project).where(
        watched_hour.c.series_id == series_id(series), watched_hour.c.hour_s > to_s(hour)
    )
    return [_hour(row, series) for row in db.execute(query.order_by(watched_hour.c.hour_s))]


def series_after(db: Connection, project: str, hour: datetime) -> set[Series]:
    """Return the series that have a watched hour after ``hour``."""
    names = series_of(db, project)
    query = select(watched_hour.c.series_id).where(
        watched_hour.c.project == project, watched_hour.c.hour_s > to_s(hour)
    )
    return {names[id_] for id_ in db.execute(query.distinct()).scalars()}


def write_hours(db: Connection, hours: Iterable[WatchedHour]) -> None:
    """Keep ``hours``, in place of what was known of them."""
    pack = zstandard.ZstdCompressor(level=1)
    rows = [
        {
            "project": one.series.project,
            "hour_s": to_s(one.hour),
            "series_id": series_id(one.series),
            "packed": pack.compress(orjson.dumps(one.body)),
        }
        for one in hours
    ]
    if rows:
        statement = insert_into(db, watched_hour)
        key = ["project", "hour_s", "series_id"]
        given = {"packed": statement.excluded.packed}
        db.execute(statement.on_conflict_do_update(index_elements=key, set_=given), rows)


def forget_hours(db: Connection, before: datetime) -> int:
    """Delete the watched hours that start before; return how many. The changes stay."""
    return db.execute(delete(watched_hour).where(watched_hour.c.hour_s < to_s(before))).rowcount


def read_changes(
    db: Connection, project: str, since: datetime, until: datetime | None = None
) -> list[Change]:
    """Return the changes in [since, until), oldest first."""
    names = series_of(db, project)
    query = select(change).where(change.c.project == project, change.c.at_s >= to_s(since))
    if until is not None:
        query = query.where(change.c.at_s < to_s(until))
    rows = db.execute(query.order_by(change.c.at_s, change.c.field))
    return [_change(row, names[row.series_id]) for row in rows]


def write_changes(db: Connection, changes: Iterable[Change]) -> None:
    """Keep ``changes``, each as found in its own minute; one that is known keeps its row."""
    rows = [_row(Found(one, floor(one.at, MINUTE))) for one in changes]
    if rows:
        db.execute(insert_into(db, change).on_conflict_do_nothing(), rows)


def replace_changes(db: Connection, series: Series, hour: datetime, found: Sequence[Found]) -> None:
    """Make ``found`` all changes that the minutes of ``hour`` show."""
    mine = (
        (change.c.project == series.project)
        & (change.c.series_id == series_id(series))
        & (change.c.found_s >= to_s(hour))
        & (change.c.found_s < to_s(hour) + HOUR_S)
    )
    there = {(_change(row, series), row.found_s) for row in db.execute(select(change).where(mine))}
    if there == {(one.change, to_s(one.minute)) for one in found}:
        return
    db.execute(delete(change).where(mine))
    if found:
        statement = insert_into(db, change)
        key = [column.name for column in change.primary_key]
        given = {c.name: statement.excluded[c.name] for c in change.c if not c.primary_key}
        rows = [_row(one) for one in found]
        db.execute(statement.on_conflict_do_update(index_elements=key, set_=given), rows)


def _hours(project: str) -> Select[Any]:
    return select(watched_hour).where(watched_hour.c.project == project)


def _hour(row: Row[Any], series: Series) -> WatchedHour:
    body = orjson.loads(zstandard.ZstdDecompressor().decompress(row.packed))
    return WatchedHour(series, from_s(row.hour_s), body)


def _change(row: Row[Any], series: Series) -> Change:
    return Change(
        series=series,
        kind=row.kind,
        at=from_s(row.at_s),
        field=row.field,
        before=row.before,
        after=row.after,
        silent=row.silent,
    )


def _row(one: Found) -> dict[str, Any]:
    return {
        "project": one.change.series.project,
        "series_id": series_id(one.change.series),
        "field": one.change.field,
        "at_s": to_s(one.change.at),
        "kind": one.change.kind,
        "before": one.change.before,
        "after": one.change.after,
        "silent": one.change.silent,
        "found_s": to_s(one.minute),
    }
