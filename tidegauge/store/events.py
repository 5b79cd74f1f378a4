"""Log records that tell more of a span: kept until they are joined to it, or nobody came for them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import zstandard
from sqlalchemy import Row, bindparam, delete, select, tuple_, update

from tidegauge.call import Call
from tidegauge.log_event import EVALUATION, LogEvent
from tidegauge.store.bulk import insert_new
from tidegauge.store.contents import pack, to_json, unpack
from tidegauge.store.engine import Connection
from tidegauge.store.rows import call_of, place_of, to_ns
from tidegauge.store.schema import content_block, log_event, span
from tidegauge.store.spans import mark_stale
from tidegauge.store.times import to_s

_EVENTS_OF_A_SPAN = 8  # about as many as one has
LOOK_AGAIN = timedelta(seconds=60)  # at the latest, for a span that has not come
_COLUMNS = tuple(column.name for column in log_event.columns)
_EVENT_KEY = tuple(log_event.primary_key.columns)
_OF_SPAN = (log_event.c.project, log_event.c.trace_id, log_event.c.span_id)
_SPAN = (span.c.project, span.c.trace_id, span.c.span_id)
# What an event may fill in, as columns; input, output and attributes are content.
_FILLED = (
    "model",
    "response_model",
    "truncated",
    "prompt_checksum",
    "input_checksum",
    "cost_usd",
    "output_script",
    "output_valid",
    "repetition",
)

Key = tuple[str, bytes, bytes]  # project, trace, span


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it is kept; ``id`` is a hash of all that it says, in hex."""

    id: str
    event: LogEvent
    received_s: int  # since 1970
    due: bool  # it waits to be joined


def insert(db: Connection, events: Iterable[LogEvent], *, received_at: datetime) -> int:
    """Store events and return how many were new; one that is there already changes nothing."""
    rows = sorted(_row(event, to_s(received_at)) for event in events)
    return insert_new(db, log_event, _COLUMNS, rows) if rows else 0


def due(db: Connection, now: datetime, limit: int) -> list[Key]:
    """Return up to ``limit`` spans whose events wait to be joined, the longest due first."""
    query = (
        select(*_OF_SPAN)
        .where(log_event.c.due_s <= to_s(now))
        .order_by(log_event.c.due_s)
        # Of events, not grouped by span: for that SQLite would read all that wait for later.
        .limit(limit * _EVENTS_OF_A_SPAN)
    )
    return list(dict.fromkeys(_key(row) for row in db.execute(query)))[:limit]


def calls_of(db: Connection, keys: Collection[Key]) -> dict[Key, Call]:
    """Return the spans that are there, with their content, locked until the transaction ends.

    Locked first and in one order: two collectors that join the same span would else write what
    each of them knows, and the later one would win.
    """
    query = select(span).where(tuple_(*_SPAN).in_(list(keys))).order_by(*_SPAN).with_for_update()
    rows = db.execute(query).all()
    wanted: dict[tuple[str, int], list[Row[Any]]] = {}
    for row in rows:
        if row.block_id is not None:
            wanted.setdefault((row.project, row.block_id), []).append(row)
    found: dict[Key, dict[str, Any]] = {}
    block = tuple_(content_block.c.project, content_block.c.block_id)
    for stored in db.execute(select(content_block).where(block.in_(list(wanted)))):
        members = wanted[stored.project, stored.block_id]
        texts = unpack(stored.packed, map(place_of, members))
        found.update(zip(map(_key, members), texts, strict=True))
    return {_key(row): call_of(row, found.get(_key(row), {})) for row in rows}


def of(db: Connection, keys: Collection[Key]) -> dict[Key, list[Stored]]:
    """Return all events of these spans, those that were joined before, too."""
    found: dict[Key, list[Stored]] = {}
    for row in db.execute(select(log_event).where(tuple_(*_OF_SPAN).in_(list(keys)))):
        found.setdefault(_key(row), []).append(_stored(row))
    return found


def evaluations(db: Connection, project: str) -> list[LogEvent]:
    """Return the evaluation results of a project, by time."""
    query = (
        select(log_event)
        .where(log_event.c.project == project, log_event.c.name == EVALUATION)
        .order_by(log_event.c.time_ns, log_event.c.event_id)
    )
    return [_stored(row).event for row in db.execute(query)]


def replace(db: Connection, calls: Sequence[Call], now: datetime) -> None:
    """Write what was filled in of stored spans, and have their minutes counted again.

    Only the columns that an event can fill are written: what others write of a span stays.
    """
    if not calls:
        return
    blocks, places = pack([to_json(call) for call in calls], [call.project for call in calls])
    db.execute(
        content_block.insert(),
        [
            {
                "project": calls[block.members[0]].project,
                "block_id": block.block_id,
                "received_s": to_s(now),
                "packed": block.packed,
            }
            for block in blocks
        ],
    )
    rows = []
    for call, place in zip(calls, places, strict=True):
        row = {name: getattr(call, name) for name in _FILLED} | _named(_key_of(call))
        row["finish_reasons"] = ",".join(call.finish_reasons)
        row["output_kind"] = call.output_kind and call.output_kind.value
        row["truncation_evidence"] = call.truncation_evidence and call.truncation_evidence.value
        row |= {"block_id": place.block_id, "block_offset": place.offset}
        rows.append(row | {"block_size": place.size})
    same = [column == bindparam(f"of_{column.name}") for column in _SPAN]
    db.execute(update(span).where(*same), rows)
    mark_stale(
        db,
        [
            (call.project, to_ns(call.started_at))
            for call in calls
            if call.not_counted is None and not call.clock_invalid
        ],
    )


def settle(db: Connection, joined: Iterable[Stored]) -> None:
    """Look no more for the span of these events: they are joined, or too late to be."""
    _set_due(db, [(one, None) for one in joined if one.due])


def postpone(db: Connection, waiting: Iterable[Stored], now: datetime) -> None:
    """Look again for spans that have not come: soon for a young event, ever later for an old one."""
    now_s, longest = to_s(now), LOOK_AGAIN // timedelta(seconds=1)
    _set_due(
        db,
        [(one, now_s + min(max(now_s - one.received_s, 1), longest)) for one in waiting if one.due],
    )


def prune(db: Connection, before: datetime, limit: int) -> tuple[int, Counter[str]]:
    """Delete up to ``limit`` events received before ``before``; evaluations stay.

    Returns how many that were, and by project for how many of them no span had come.
    """
    old = (
        select(*_EVENT_KEY)
        .where(log_event.c.received_s < to_s(before), log_event.c.name != EVALUATION)
        .order_by(log_event.c.received_s)
        .limit(limit)
    )
    gone = delete(log_event).where(tuple_(*_EVENT_KEY).in_(old))
    rows = db.execute(gone.returning(log_event.c.project, log_event.c.due_s)).all()
    return len(rows), Counter(row.project for row in rows if row.due_s is not None)


def _row(event: LogEvent, received_s: int) -> tuple[Any, ...]:
    content = _content(event)
    return (
        event.project,
        bytes.fromhex(event.trace_id),
        bytes.fromhex(event.span_id),
        hashlib.blake2b(_identity(event, content), digest_size=16).digest(),
        event.name,
        event.time_ns,
        received_s,
        received_s if event.joins else None,
        zstandard.ZstdCompressor(level=1).compress(content),
    )


def _content(event: LogEvent) -> bytes:
    return orjson.dumps([event.attributes, event.body], option=orjson.OPT_SORT_KEYS)


def _identity(event: LogEvent, content: bytes) -> bytes:
    # Of a record without a span the ids are empty: its name and content still tell it apart.
    return orjson.dumps([event.trace_id, event.span_id, event.name, event.time_ns]) + content


def _stored(row: Row[Any]) -> Stored:
    attributes, body = orjson.loads(zstandard.ZstdDecompressor().decompress(row.packed))
    event = LogEvent(
        project=row.project,
        trace_id=row.trace_id.hex(),
        span_id=row.span_id.hex(),
        name=row.name,
        time_ns=row.time_ns,
        attributes=attributes,
        body=body,
    )
    return Stored(row.event_id.hex(), event, row.received_s, row.due_s is not None)


def _key(row: Any) -> Key:
    return row.project, row.trace_id, row.span_id


def _key_of(of: Call | LogEvent) -> Key:
    return of.project, bytes.fromhex(of.trace_id), bytes.fromhex(of.span_id)


def _named(key: Key) -> dict[str, Any]:
    return dict(zip(("of_project", "of_trace_id", "of_span_id"), key, strict=True))


def _set_due(db: Connection, events: Sequence[tuple[Stored, int | None]]) -> None:
    rows: list[Mapping[str, Any]] = [
        {**_named(_key_of(one.event)), "of_event_id": bytes.fromhex(one.id), "due_s": due_s}
        for one, due_s in sorted(events, key=lambda pair: (_key_of(pair[0].event), pair[0].id))
    ]
    if rows:
        same = [column == bindparam(f"of_{column.name}") for column in _EVENT_KEY]
        db.execute(update(log_event).where(*same).values(due_s=bindparam("due_s")), rows)
