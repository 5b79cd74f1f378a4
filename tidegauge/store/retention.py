"""Delete what is past its keep-by time, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Delete, Select, Table, delete, select, tuple_, union

from tidegauge.store.engine import Connection
from tidegauge.store.schema import (
    alert,
    alert_event,
    change,
    content_block,
    log_event,
    review_event,
    review_item,
    review_label,
    rollup,
    score,
    series,
    span,
    span_said,
    token_point,
)
from tidegauge.store.times import to_s

SHRINK_SHARE = 5  # a file is cut when one page in so many is free: else new rows take the pages


@dataclass(frozen=True, slots=True)
class Shelf:
    """Rows that grow old together. ``of`` are the rows of other tables that go with them."""

    name: str
    table: Table
    age: Column[int]  # seconds since 1970
    content: bool = False  # messages and attributes, else numbers
    only: ColumnElement[bool] | None = None
    of: Sequence[Table] = ()  # by the one column of the primary key


#: What is deleted, content first: it is what a limit is set for. A call is as old as the time at
#: which it was received: a sender's clock may be years ahead, and its rows would stay for ever.
SHELVES: tuple[Shelf, ...] = (
    Shelf("content", content_block, content_block.c.received_s, content=True),
    Shelf("log events", log_event, log_event.c.received_s, content=True),
    Shelf("spans", span, span.c.received_s),
    Shelf("what spans said", span_said, span_said.c.received_s),
    Shelf("scores", score, score.c.received_s),
    Shelf("minutes", rollup, rollup.c.start_s, only=rollup.c.step_s == 60),
    Shelf("hours", rollup, rollup.c.start_s, only=rollup.c.step_s == 3600),
    Shelf("changes", change, change.c.at_s),
    Shelf("token points", token_point, token_point.c.hour_s),
    Shelf("reviews", review_item, review_item.c.created_s, of=(review_label, review_event)),
    Shelf("alerts", alert, alert.c.ends_s, only=alert.c.state == "resolved", of=(alert_event,)),
)


def projects(db: Connection) -> list[str]:
    """Return every project that has rows which grow old."""
    # Not of the table span: SQLite would read all of its index to tell its few projects.
    few = (series, review_item, alert)
    names = {name for (name,) in db.execute(union(*(select(one.c.project) for one in few)))}
    many = (span, span_said, score, content_block, log_event, token_point)
    return sorted(names | {name for one in many for name in _leaps(db, one)})


def _leaps(db: Connection, table: Table) -> Iterator[str]:
    """Yield the projects of a table, one look into its index each."""
    project = table.c.project
    found = db.execute(select(project).order_by(project).limit(1)).scalar()
    while found is not None:
        yield found
        more = select(project).where(project > found).order_by(project).limit(1)
        found = db.execute(more).scalar()


def has_old(db: Connection, shelf: Shelf, project: str, before: datetime) -> bool:
    """Return whether a project has rows on this shelf that are older than ``before``."""
    return db.execute(_old(shelf, project, before, 1)).first() is not None


def delete_batch(db: Connection, shelf: Shelf, project: str, before: datetime, rows: int) -> int:
    """Delete up to ``rows`` rows of a project that are older than ``before``; return how many.

    On SQLite their bytes are overwritten, not only given free.
    """
    if not shelf.of:
        with _overwriting(db):
            return db.execute(_delete(shelf, project, before, rows)).rowcount
    keys = db.execute(_old(shelf, project, before, rows)).scalars().all()
    (key,) = shelf.table.primary_key.columns
    with _overwriting(db):
        for table in (*shelf.of, shelf.table):
            db.execute(delete(table).where(table.c[key.name].in_(keys)))
    return len(keys)


def _delete(shelf: Shelf, project: str, before: datetime, rows: int) -> Delete:
    key = tuple_(*shelf.table.primary_key.columns)
    return delete(shelf.table).where(key.in_(_old(shelf, project, before, rows)))


def _old(shelf: Shelf, project: str, before: datetime, rows: int) -> Select[tuple[object, ...]]:
    query = select(*shelf.table.primary_key.columns).where(
        shelf.table.c.project == project, shelf.age < to_s(before)
    )
    if shelf.only is not None:
        query = query.where(shelf.only)
    return query.order_by(shelf.age).limit(rows)


@contextmanager
def _overwriting(db: Connection) -> Iterator[None]:
    """Have SQLite write zeros over what is deleted: a free page would keep what it said for weeks."""
    if db.dialect.name != "sqlite":
        yield
        return
    usual = db.exec_driver_sql("PRAGMA secure_delete").scalar_one()
    db.exec_driver_sql("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        db.exec_driver_sql(f"PRAGMA secure_delete = {int(usual)}")


def is_sparse(db: Connection) -> bool:
    """Return whether so much of a SQLite file is free that it should be cut."""
    if db.dialect.name != "sqlite":
        return False  # PostgreSQL's own vacuum does the like
    free = db.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return bool(free * SHRINK_SHARE > db.exec_driver_sql("PRAGMA page_count").scalar_one())


def shrink(db: Connection, pages: int) -> None:
    """Cut up to ``pages`` free pages off a SQLite file."""
    # It cuts a page at each step, and SQLAlchemy does not step through what has no columns.
    cursor = db.connection.cursor()
    cursor.execute(f"PRAGMA incremental_vacuum({pages})")
    cursor.fetchall()
    cursor.close()
