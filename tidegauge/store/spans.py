"""Spans: written once, read by window."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Row, Select, func, select, tuple_

from tidegauge.call import Call
from tidegauge.store.bulk import insert_new
from tidegauge.store.contents import pack, to_json, unpack
from tidegauge.store.engine import Connection, Engine, read
from tidegauge.store.rows import (
    COLUMNS,
    NS,
    Values,
    call_of,
    from_ns,
    place_of,
    row_of,
    to_ns,
    values_of,
)
from tidegauge.store.schema import content_block, span, stale_minute, unsettled_trace

__all__ = [
    "Filter",
    "calls",
    "count",
    "from_ns",
    "insert",
    "insert_each",
    "last_received",
    "mark_stale",
    "mark_unsettled",
    "numbers",
    "pages",
    "to_ns",
    "trace",
]

_MINUTE_NS = 60 * NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRACE_MARK = ("project", "trace_id", "mark")
_PAGE = 1000  # rows fetched in one transaction: a longer one keeps the SQLite log from shrinking

_BLOCKS = 200  # read at once: some 3 MB
_KEYS_ASKED = 500  # in one statement
_BLOCK_COLUMNS = ("project", "block_id", "received_s", "packed")
_row_key = itemgetter(*map(COLUMNS.index, ("project", "trace_id", "span_id")))
_project = itemgetter(COLUMNS.index("project"))
_row_trace = itemgetter(*map(COLUMNS.index, ("project", "trace_id")))
_row_minute = itemgetter(
    *map(COLUMNS.index, ("project", "started_ns", "not_counted", "clock_invalid"))
)
_row_mark = itemgetter(
    *map(COLUMNS.index, ("project", "trace_id", "span_id", "block_id", "block_offset"))
)
_KEY = (span.c.project, span.c.trace_id, span.c.span_id)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which spans are asked for; None: no matter."""

    since: datetime | None = None  # started at or after, UTC
    until: datetime | None = None  # started before, UTC
    service: str | None = None
    environment: str | None = None
    use_case: str | None = None
    model: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    truncated: bool | None = None
    failed: bool | None = None
    all_spans: bool = False  # also the spans that are no calls


def insert(db: Connection, calls: Sequence[Call], *, received_at: datetime) -> int:
    """Store ``calls`` and return how many were new; one that is there already changes nothing."""
    rows = [values_of(call) for call in calls]
    return sum(insert_each(db, rows, [to_json(call) for call in calls], received_at=received_at))


def insert_each(
    db: Connection, values: Sequence[Values], contents: Sequence[bytes], *, received_at: datetime
) -> list[bool]:
    """Store calls, as ``values_of`` and ``to_json`` give them; return for each whether it was new.

    Also marks the minutes whose rollups are now out of date, in the same transaction.
    """
    if not values:
        return []
    blocks, places = pack(contents, list(map(_project, values)))
    received_s = to_ns(received_at) // NS
    rows = [row_of(one, place, received_s) for one, place in zip(values, places, strict=True)]
    # In one order everywhere: two writers that hold the same keys in another order would deadlock.
    new = insert_new(db, span, COLUMNS, sorted(rows, key=_row_key))
    if new == 0:
        return [False] * len(rows)
    members = [(_project(rows[block.members[0]]), block) for block in blocks]
    block_rows = [(name, block.block_id, received_s, block.packed) for name, block in members]
    insert_new(db, content_block, _BLOCK_COLUMNS, block_rows)
    mark_stale(db, filter(None, map(_counted_minute, rows)))
    mark_unsettled(db, map(_row_trace, rows))
    return [True] * len(rows) if new == len(rows) else _are_ours(db, rows)


def calls(
    db: Connection,
    project: str,
    wanted: Filter = Filter(),
    *,
    newest_first: bool = False,
    limit: int = _PAGE,
    offset: int = 0,
) -> list[Call]:
    """Return the spans that ``wanted`` describes, with their content, by start time."""
    query = _filtered(select(span), project, wanted)
    return with_content(db, db.execute(_ordered(query, newest_first, limit).offset(offset)).all())


def pages(engine: Engine, project: str, wanted: Filter, *, limit: int | None) -> Iterator[Call]:
    """Yield the spans that ``wanted`` describes, oldest first, a short transaction a page."""
    last: tuple[int, bytes, bytes] | None = None
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        query = _filtered(select(span), project, wanted)
        if last is not None:
            query = query.where(
                tuple_(span.c.started_ns, span.c.trace_id, span.c.span_id) > tuple_(*last)
            )
        with read(engine) as db:
            rows = db.execute(_ordered(query, newest_first=False, limit=size)).all()
            found = with_content(db, rows)
        yield from found
        if len(rows) < size:
            return
        last = (rows[-1].started_ns, rows[-1].trace_id, rows[-1].span_id)
        left = None if left is None else left - len(rows)


def count(db: Connection, project: str, wanted: Filter = Filter()) -> int:
    """Return how many spans ``wanted`` describes."""
    query = _filtered(select(func.count()).select_from(span), project, wanted)
    return int(db.execute(query).scalar_one())


def trace(db: Connection, project: str, trace_id: str) -> list[Call]:
    """Return every span of one trace, wrappers too, by start time."""
    return calls(db, project, Filter(trace_id=trace_id, all_spans=True))


def numbers(db: Connection, project: str, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    """Return the counted calls started in [since, until), without content, by start time.

    A row has the columns of the table ``span`` as attributes. Spans whose clock is invalid are
    left out: no statistic may use them.
    """
    query = (
        select(span)
        .where(
            span.c.project == project,
            span.c.started_ns >= to_ns(since),
            span.c.started_ns < to_ns(until),
            span.c.not_counted.is_(None),
            span.c.clock_invalid.is_(False),
        )
        .order_by(span.c.started_ns)
    )
    return db.execute(query).all()


def last_received(db: Connection, project: str) -> datetime | None:
    """Return when a span was last received, whatever start it bears. If there is none, return None.

    The index span_received answers it with one row.
    """
    query = select(func.max(span.c.received_s)).where(span.c.project == project)
    found = db.execute(query).scalar_one()
    return None if found is None else _EPOCH + timedelta(seconds=found)


def _counted_minute(row: Values) -> tuple[str, int] | None:
    """Return project and start of a row that rollups count. If they do not count it, return None."""
    project, started_ns, not_counted, clock_invalid = _row_minute(row)
    return (project, started_ns) if not_counted is None and not clock_invalid else None


def mark_stale(db: Connection, counted: Iterable[tuple[str, int]]) -> None:
    """Have the minutes of calls, by project and start in ns, counted again."""
    minutes = {(project, started_ns // _MINUTE_NS * 60) for project, started_ns in counted}
    if minutes:
        mark = uuid.uuid4().hex
        db.execute(
            stale_minute.insert(),
            [{"project": p, "minute_s": m, "mark": mark} for p, m in sorted(minutes)],
        )


def mark_unsettled(db: Connection, traces: Iterable[tuple[str, bytes]]) -> None:
    """Have traces, by project and id, put together again: store/traces.py."""
    mark = secrets.token_bytes(8)
    rows = [(project, trace_id, mark) for project, trace_id in sorted(set(traces))]
    if rows:
        insert_new(db, unsettled_trace, _TRACE_MARK, rows)


def with_content(db: Connection, rows: Sequence[Any]) -> list[Call]:
    """Return the calls of rows, each block read and unpacked once."""
    wanted: dict[tuple[str, int], list[Row[Any]]] = {}
    for row in rows:
        if row.block_id is not None:
            wanted.setdefault((row.project, row.block_id), []).append(row)
    found: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for some in batched(wanted, _BLOCKS):
        key = tuple_(content_block.c.project, content_block.c.block_id)
        for block in db.execute(select(content_block).where(key.in_(some))):
            members = wanted[block.project, block.block_id]
            texts = unpack(block.packed, map(place_of, members))
            found.update(zip(((m.trace_id, m.span_id) for m in members), texts, strict=True))
    return [call_of(row, found.get((row.trace_id, row.span_id), {})) for row in rows]


def _are_ours(db: Connection, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
    """Return for each row whether it is the one that is stored: its content has its own place."""
    mark = (*_KEY, span.c.block_id, span.c.block_offset)
    stored: set[tuple[Any, ...]] = set()
    for some in batched(rows, _KEYS_ASKED):
        keys = tuple_(*_KEY).in_([_row_key(row) for row in some])
        stored.update(tuple(row) for row in db.execute(select(*mark).where(keys)))
    return [_row_mark(row) in stored for row in rows]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield items in lists of at most ``size``."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def _filtered(query: Select[Any], project: str, wanted: Filter) -> Select[Any]:
    query = query.where(span.c.project == project)
    if not wanted.all_spans:
        query = query.where(span.c.not_counted.is_(None))
    if wanted.since is not None:
        query = query.where(span.c.started_ns >= to_ns(wanted.since))
    if wanted.until is not None:
        query = query.where(span.c.started_ns < to_ns(wanted.until))
    for name in ("service", "environment", "use_case", "model", "truncated"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(span.c[name] == value)
    for name in ("trace_id", "span_id"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(span.c[name] == bytes.fromhex(value))
    if wanted.failed is not None:
        has_error = span.c.error_type.is_not(None)
        query = query.where(has_error if wanted.failed else ~has_error)
    return query


def _ordered(query: Select[Any], newest_first: bool, limit: int) -> Select[Any]:
    columns = (span.c.started_ns, span.c.trace_id, span.c.span_id)
    order = (column.desc() for column in columns) if newest_first else columns
    return query.order_by(*order).limit(limit)
