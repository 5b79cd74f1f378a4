"""What spans said of themselves, where other spans of their call have changed their rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
from sqlalchemy import Row, delete, select, tuple_, update

from tidegauge.store.bulk import insert_new
from tidegauge.store.engine import Connection
from tidegauge.store.schema import span, span_said
from tidegauge.store.spans import batched, mark_stale, mark_unsettled

Said = Mapping[str, Any]  # column: its value before, as JSON keeps it
SpanId = tuple[str, bytes, bytes]  # project, trace, span

SPAN = (span.c.project, span.c.trace_id, span.c.span_id)
_SAID = (span_said.c.project, span_said.c.trace_id, span_said.c.span_id)
_COLUMNS = ("project", "trace_id", "span_id", "received_s", "said")
_AMOUNTS = ("cost_usd", "app_cost_usd")
_KEYS_ASKED = 500  # in one statement


def of_traces(
    db: Connection, project: str, trace_ids: Collection[bytes]
) -> dict[tuple[bytes, bytes], Said]:
    """Return what spans of some traces said, by trace and span; those whose rows still say it are not there."""
    of = (span_said.c.project == project, span_said.c.trace_id.in_(trace_ids))
    rows = db.execute(select(span_said).where(*of))
    return {(row.trace_id, row.span_id): orjson.loads(row.said) for row in rows}


def keep(
    db: Connection, rows: Sequence[Row[Any]], sayings: Sequence[tuple[Row[Any], Said]]
) -> None:
    """Keep ``sayings``; of the other spans of ``rows`` forget what they said: their rows say it."""
    for some in batched(rows, _KEYS_ASKED):
        db.execute(delete(span_said).where(tuple_(*_SAID).in_([_id(row) for row in some])))
    new = [
        (*_id(row), row.received_s, orjson.dumps(said, default=str).decode())
        for row, said in sayings
    ]
    if new:
        insert_new(db, span_said, _COLUMNS, sorted(new))


def take_back(db: Connection, spans: Collection[SpanId]) -> None:
    """Give rows back what their spans said, and have their traces put together again.

    For who changes what a span said: of a row that others have filled in it would be lost.
    """
    keys = sorted(spans)
    db.execute(select(SPAN[0]).where(tuple_(*SPAN).in_(keys)).order_by(*SPAN).with_for_update())
    rows = db.execute(select(span_said).where(tuple_(*_SAID).in_(keys))).all()
    _give_back(db, rows)
    mark_unsettled(db, [(project, trace_id) for project, trace_id, _ in keys])


def restore(db: Connection, project: str, trace_ids: Collection[bytes]) -> None:
    """Give all rows of some traces back what their spans said."""
    if trace_ids:
        of = (span_said.c.project == project, span_said.c.trace_id.in_(trace_ids))
        _give_back(db, db.execute(select(span_said).where(*of)).all())


def _give_back(db: Connection, rows: Sequence[Row[Any]]) -> None:
    """Write what spans said into their rows, and have their minutes counted again."""
    counted: list[tuple[str, int]] = []
    for row in rows:
        same = [column == value for column, value in zip(SPAN, _id(row), strict=True)]
        changed = update(span).where(*same).values(**_columns(orjson.loads(row.said)))
        started = db.execute(changed.returning(span.c.project, span.c.started_ns))
        counted += [(project, started_ns) for project, started_ns in started]
    mark_stale(db, counted)
    for some in batched(rows, _KEYS_ASKED):
        db.execute(delete(span_said).where(tuple_(*_SAID).in_([_id(row) for row in some])))


def row_of(row: Row[Any], said: Said) -> Any:
    """Return a row as its span alone made it."""
    return SimpleNamespace(**{**row._mapping, **_columns(said)})


def _columns(said: Said) -> dict[str, Any]:
    """Return what was said as columns hold it: JSON knows no decimals and no bytes."""
    return {
        name: Decimal(value) if name in _AMOUNTS and value is not None else value
        for name, value in said.items()
    }


def _id(row: Any) -> SpanId:
    return row.project, row.trace_id, row.span_id
