"""Changes seen in traffic, and every value a watched field has had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from tidegauge.finding import Change, Series
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.rollups import series_id, series_of
from tidegauge.store.schema import change, field_value
from tidegauge.store.times import from_s, to_s


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldValue:
    """One value of one watched field of a series."""

    series: Series
    field: str
    value: str
    first_seen_s: int  # seconds since 1970; of its present stay, after a week's absence anew
    last_seen_s: int
    calls: int  # at least so many: a call that arrives late is not added


def read_values(db: Connection, project: str, *, since: datetime) -> list[FieldValue]:
    """Return the values seen since, of all series of the project."""
    names = series_of(db, project)
    query = select(field_value).where(
        field_value.c.project == project, field_value.c.last_seen_s >= to_s(since)
    )
    return [
        FieldValue(
            series=names[row.series_id],
            field=row.field,
            value=row.value,
            first_seen_s=row.first_seen_s,
            last_seen_s=row.last_seen_s,
            calls=row.calls,
        )
        for row in db.execute(query)
    ]


def write_values(db: Connection, values: Iterable[FieldValue]) -> None:
    """Keep ``values``, in place of what was known of them."""
    rows = [
        {
            "project": one.series.project,
            "series_id": series_id(one.series),
            "field": one.field,
            "value": one.value,
            "first_seen_s": one.first_seen_s,
            "last_seen_s": one.last_seen_s,
            "calls": one.calls,
        }
        for one in values
    ]
    if not rows:
        return
    statement = insert_into(db, field_value)
    given = {name: statement.excluded[name] for name in ("first_seen_s", "last_seen_s", "calls")}
    key = ["project", "series_id", "field", "value"]
    db.execute(statement.on_conflict_do_update(index_elements=key, set_=given), rows)


def read_changes(
    db: Connection, project: str, since: datetime, until: datetime | None = None
) -> list[Change]:
    """Return the changes in [since, until), oldest first."""
    names = series_of(db, project)
    query = select(change).where(change.c.project == project, change.c.at_s >= to_s(since))
    if until is not None:
        query = query.where(change.c.at_s < to_s(until))
    return [
        Change(
            series=names[row.series_id],
            kind=row.kind,
            at=from_s(row.at_s),
            field=row.field,
            before=row.before,
            after=row.after,
            silent=row.silent,
        )
        for row in db.execute(query.order_by(change.c.at_s, change.c.field))
    ]


def write_changes(db: Connection, changes: Iterable[Change]) -> None:
    """Keep ``changes``; one that is known keeps its row."""
    rows = [
        {
            "project": one.series.project,
            "series_id": series_id(one.series),
            "field": one.field,
            "at_s": to_s(one.at),
            "kind": one.kind,
            "before": one.before,
            "after": one.after,
            "silent": one.silent,
        }
        for one in changes
    ]
    if rows:
        db.execute(insert_into(db, change).on_conflict_do_nothing(), rows)
