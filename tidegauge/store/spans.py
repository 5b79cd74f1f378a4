"""Spans: written once, read by window."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import zstandard
from sqlalchemy import Row, Select, and_, func, select, tuple_

from tidegauge.call import Audit, Call, Evidence, NotCounted, Operation
from tidegauge.store.engine import Connection, Engine, insert_into, read
from tidegauge.store.schema import span, span_content, stale_minute

_NS = 1_000_000_000
_MINUTE_NS = 60 * _NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 1000  # rows fetched in one transaction: a longer one keeps the SQLite log from shrinking

# Call's fields that are columns as they are, by the same name.
_PLAIN = (
    "project",
    "name",
    "duration_s",
    "clock_invalid",
    "service",
    "service_version",
    "environment",
    "use_case",
    "model",
    "user_id",
    "session_id",
    "dialect",
    "operation",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "tokens_audit",
    "tokens_audit_rule",
    "streaming",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "truncated",
    "truncation_evidence",
    "error_type",
    "status_code",
    "temperature",
    "top_p",
    "max_tokens",
    "output_type",
    "output_valid",
    "repetition",
    "prompt_name",
    "prompt_version",
    "prompt_checksum",
    "input_checksum",
    "cost_usd",
    "not_counted",
)
_READ_PLAIN = tuple(name for name in _PLAIN if name != "model")
_ENUMS = {
    "operation": Operation,
    "tokens_audit": Audit,
    "truncation_evidence": Evidence,
    "not_counted": NotCounted,
}
_KEY = (span.c.project, span.c.trace_id, span.c.span_id)


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
    """Store ``calls`` and return how many were new; one that is there already changes nothing.

    Also marks the minutes whose rollups are now out of date, in the same transaction.
    """
    if not calls:
        return 0
    # In one order everywhere: two writers that hold the same keys in another order would deadlock.
    ordered = sorted(calls, key=lambda call: (call.project, call.trace_id, call.span_id))
    rows = [_row(call, received_at) for call in ordered]
    statement = insert_into(db, span).on_conflict_do_nothing()
    # Without the option SQLAlchemy gives -1 for many rows at once on PostgreSQL.
    new = db.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount
    if new:
        db.execute(insert_into(db, span_content).on_conflict_do_nothing(), _contents(ordered))
        _mark_stale(db, ordered)
    return int(new)


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
    query = _filtered(_with_content(), project, wanted)
    return [_call(row) for row in db.execute(_ordered(query, newest_first, limit).offset(offset))]


def pages(engine: Engine, project: str, wanted: Filter, *, limit: int | None) -> Iterator[Call]:
    """Yield the spans that ``wanted`` describes, oldest first, a short transaction a page."""
    last: tuple[int, bytes, bytes] | None = None
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        query = _filtered(_with_content(), project, wanted)
        if last is not None:
            query = query.where(
                tuple_(span.c.started_ns, span.c.trace_id, span.c.span_id) > tuple_(*last)
            )
        with read(engine) as db:
            rows = db.execute(_ordered(query, newest_first=False, limit=size)).all()
        yield from (_call(row) for row in rows)
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


def to_ns(at: datetime) -> int:
    """Return nanoseconds since 1970; exact to the microsecond that a datetime holds."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000


def from_ns(ns: int) -> datetime:
    """Return the UTC time of ``ns`` nanoseconds since 1970, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _row(call: Call, received_at: datetime) -> dict[str, Any]:
    row = {name: getattr(call, name) for name in _PLAIN}
    row["trace_id"] = bytes.fromhex(call.trace_id)
    row["span_id"] = bytes.fromhex(call.span_id)
    row["parent_span_id"] = bytes.fromhex(call.parent_span_id) if call.parent_span_id else None
    row["started_ns"] = to_ns(call.started_at)
    row["received_s"] = to_ns(received_at) // _NS
    row["finish_reasons"] = ",".join(call.finish_reasons)
    return row


def _contents(calls: Sequence[Call]) -> list[dict[str, Any]]:
    compress = zstandard.ZstdCompressor(level=1).compress
    return [
        {
            "project": call.project,
            "trace_id": bytes.fromhex(call.trace_id),
            "span_id": bytes.fromhex(call.span_id),
            "content": compress(_content_json(call)),
        }
        for call in calls
    ]


def _content_json(call: Call) -> bytes:
    content = {
        "input": call.input,
        "output": call.output,
        "stop_sequences": list(call.stop_sequences),
        "attributes": call.attributes,
    }
    return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


def _mark_stale(db: Connection, calls: Iterable[Call]) -> None:
    minutes = {
        (call.project, to_ns(call.started_at) // _MINUTE_NS * 60)
        for call in calls
        if call.not_counted is None and not call.clock_invalid
    }
    if minutes:
        mark = uuid.uuid4().hex
        db.execute(
            stale_minute.insert(),
            [{"project": p, "minute_s": m, "mark": mark} for p, m in sorted(minutes)],
        )


def _with_content() -> Select[Any]:
    same = and_(*(column == span_content.c[column.name] for column in _KEY))
    return select(span, span_content.c.content).outerjoin(span_content, same)


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


def _call(row: Row[Any]) -> Call:
    plain = {name: getattr(row, name) for name in _READ_PLAIN}
    for name, enum in _ENUMS.items():
        plain[name] = enum(plain[name]) if plain[name] is not None else None
    content = _read_content(row.content)
    return Call(
        **plain,
        trace_id=row.trace_id.hex(),
        span_id=row.span_id.hex(),
        parent_span_id=row.parent_span_id.hex() if row.parent_span_id else None,
        started_at=from_ns(row.started_ns),
        finish_reasons=tuple(row.finish_reasons.split(",")) if row.finish_reasons else (),
        input=content.get("input"),
        output=content.get("output"),
        stop_sequences=tuple(content.get("stop_sequences") or ()),
        attributes=content.get("attributes") or {},
    )


def _read_content(packed: bytes | None) -> dict[str, Any]:
    if packed is None:
        return {}
    content: dict[str, Any] = orjson.loads(zstandard.ZstdDecompressor().decompress(packed))
    return content
