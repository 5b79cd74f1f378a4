"""Traces to put together: marked by who writes a span of theirs, settled later, exactly.

Every transaction that writes spans marks their traces. Whoever sees a mark sees the spans that were
committed with it, so the last one to settle a trace has seen all of it, however many wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, or_, select, text, tuple_, update

from tidegauge.call import Call, Operation, UseCaseFrom
from tidegauge.pricing import cost_usd
from tidegauge.settle import Cost, settled
from tidegauge.store import said
from tidegauge.store.contents import pack, to_json
from tidegauge.store.engine import Connection, Engine, read, write
from tidegauge.store.rows import VALUES, call_of
from tidegauge.store.said import SPAN, Said
from tidegauge.store.schema import content_block, span, unsettled_trace
from tidegauge.store.spans import batched, mark_stale, with_content
from tidegauge.whole_trace import (
    NEAR_NS,
    SDK_SCOPES,
    Key,
    Member,
    Place,
    may_meet,
    places,
)

AT_ONCE = 200  # marks in one transaction: the writer waits for it, some 20 ms
_ROUNDS = 3  # traces that share an answer with one that shares an answer
_MOST_FAILURES = 2_000  # read at once, of spans that failed around the same time
_MOST_SHARED = 4_000  # the same, of spans that bear one of some ids: a mock gives all the same
_LASTS_NS = 600 * 10**9  # how long the outer span of a call lasts at most, to be found here
_LOCK = 7_412_883  # of PostgreSQL, for one transaction: two settlers could wait for each other
_MARK = ("project", "trace_id", "mark")
_KEYS_ASKED = 500  # in one statement
MOST_SPANS = 20_000  # of a trace; one that is longer stays as its spans said
_NANO = Decimal("1e-9")
_ASKED = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "started_ns",
    "duration_s",
    "kind",
    "operation",
    "service",
    "library",
    "model",
    "response_id",
    "error_type",
    "input_checksum",
    "output_tokens",
    "attempts",
    "use_case",
    "use_case_from",
    "user_id",
    "session_id",
    "not_counted",
    "duplicate_of",
)
_PLACE = ("block_id", "block_offset", "block_size")
_KEPT = ("project", "trace_id", "span_id", "parent_span_id", "started_ns", "duration_s", "name")
_CHANGED = tuple(name for name in VALUES if name not in _KEPT)  # columns that others may fill


class _Stored(NamedTuple):
    """A span as it is stored: what it said, and the row as it is now."""

    member: Member
    row: Row[Any]
    said: Said


def count_unsettled(db: Connection) -> int:
    """Return how many marks wait."""
    return int(db.execute(select(func.count()).select_from(unsettled_trace)).scalar_one())


def settle_due(
    engine: Engine,
    *,
    cost: Cost = cost_usd,
    at_once: int = AT_ONCE,
    done: Callable[[int], None] = lambda _: None,
) -> int:
    """Put together every trace that is marked, and return how many marks that were.

    ``done`` is told of each transaction's. Raises StoreBusy.
    """
    total = 0
    while found := _settle_some(engine, cost, at_once):
        total += found
        done(found)
    return total


def _settle_some(engine: Engine, cost: Cost, at_once: int) -> int:
    with read(engine) as db:
        first = db.execute(select(unsettled_trace.c.project).limit(1)).scalar_one_or_none()
    if first is None:
        return 0
    with write(engine) as db:
        if db.dialect.name == "postgresql":
            db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        query = select(unsettled_trace).where(unsettled_trace.c.project == first)
        marks = db.execute(query.order_by(unsettled_trace.c.trace_id).limit(at_once)).all()
        settle(db, first, {one.trace_id for one in marks}, cost)
        _forget(db, marks)
    # Another settler may have been faster: then there is nothing left of what was seen.
    return len(marks)


def settle(
    db: Connection, project: str, trace_ids: Collection[bytes], cost: Cost = cost_usd
) -> None:
    """Put these traces together, and those that tell of the same calls."""
    stored = _load(db, project, trace_ids)
    known = set(trace_ids)
    for _ in range(_ROUNDS):
        others = _partners(db, project, [one.member for one in stored.values()]) - known
        if not others:
            break
        known |= others
        stored |= _load(db, project, others)
    found = places([one.member for one in stored.values()])
    due = {key: place for key, place in found.items() if _differs(stored[key], place)}
    if due:
        _rewrite(db, project, stored, due, cost)


def _load(db: Connection, project: str, trace_ids: Collection[bytes]) -> dict[Key, _Stored]:
    """Return the spans of some traces, locked until the transaction ends."""
    all_of = (span.c.project == project, span.c.trace_id.in_(trace_ids))
    sizes = select(span.c.trace_id).where(*all_of).group_by(span.c.trace_id)
    too_long = db.execute(sizes.having(func.count() > MOST_SPANS)).scalars().all()
    some = (*all_of, span.c.trace_id.not_in(too_long)) if too_long else all_of
    query = select(*(span.c[name] for name in _ASKED)).where(*some)
    rows = db.execute(query.order_by(*SPAN).with_for_update()).all()
    # Only once the rows are ours: who waits for them would else read what was said too early.
    told = said.of_traces(db, project, trace_ids)
    stored = (_stored(row, told.get((row.trace_id, row.span_id), {})) for row in rows)
    return {one.member.key: one for one in stored}


def _stored(row: Row[Any], before: Said) -> _Stored:
    told = said.row_of(row, before) if before else row
    by = told.use_case_from
    return _Stored(
        Member(
            trace_id=row.trace_id.hex(),
            span_id=row.span_id.hex(),
            parent_span_id=row.parent_span_id.hex() if row.parent_span_id else None,
            name=row.name,
            start_ns=row.started_ns,
            end_ns=row.started_ns + round(row.duration_s * 1e9),
            kind=row.kind,
            operation=Operation(told.operation) if told.operation else None,
            service=told.service,
            library=told.library,
            model=told.model,
            response_id=told.response_id,
            error_type=told.error_type,
            input_checksum=told.input_checksum,
            output_tokens=told.output_tokens,
            attempts=told.attempts,
            use_case=told.use_case,
            use_case_from=UseCaseFrom(by) if by else None,
            user_id=told.user_id,
            session_id=told.session_id,
        ),
        row,
        before,
    )


def _partners(db: Connection, project: str, members: Sequence[Member]) -> set[bytes]:
    """Return the traces whose root may tell of the same call as a root among ``members``."""
    roots = [one for one in members if may_meet(one)]
    answers = {one.response_id for one in roots if one.response_id is not None}
    found: set[bytes] = set()
    root = (span.c.project == project, span.c.parent_span_id.is_(None))
    if answers:
        starts = [one.start_ns for one in roots if one.response_id is not None]
        query = select(span.c.trace_id).where(
            *root,
            span.c.response_id.in_(answers),
            span.c.started_ns >= min(starts) - _LASTS_NS,
            span.c.started_ns <= max(starts) + _LASTS_NS,
        )
        found |= set(db.execute(query.limit(_MOST_SHARED)).scalars())
    failed = [one for one in roots if one.error_type is not None]
    if failed:
        found |= _failed_beside(db, root, failed)
    return found


def _failed_beside(db: Connection, root: Any, failed: Sequence[Member]) -> set[bytes]:
    """Return the traces of roots that failed at about the same time: an SDK's own, or beside one."""
    sdk = or_(*(span.c.library.startswith(scope) for scope in SDK_SCOPES))
    around = (
        span.c.error_type.is_not(None),
        span.c.started_ns >= min(one.start_ns for one in failed) - NEAR_NS,
        span.c.started_ns <= max(one.start_ns for one in failed) + NEAR_NS,
    )
    query = select(span.c.trace_id).where(*root, *around).limit(_MOST_FAILURES)
    found = set(db.execute(query.where(sdk)).scalars())
    models = {one.model for one in failed if one.by_sdk}
    if models:
        found |= set(db.execute(query.where(span.c.model.in_(models))).scalars())
    return found


def _differs(stored: _Stored, place: Place) -> bool:
    """Return whether a row may not hold what it should: where others fill in, it is made anew."""
    row = stored.row
    if place.fills_from or _CONTENT_FILLED & stored.said.keys():
        return True
    of = bytes.fromhex("".join(place.duplicate_of)) if place.duplicate_of else None
    now = (row.not_counted, row.duplicate_of, row.attempts)
    whose = (row.use_case, row.use_case_from, row.user_id, row.session_id)
    return (*now, *whose) != (place.not_counted, of, *place[3:])


_PLACED = frozenset(
    (
        "not_counted",
        "duplicate_of",
        "attempts",
        "use_case",
        "use_case_from",
        "user_id",
        "session_id",
    )
)
_CONTENT_FILLED = frozenset((*_CHANGED, *_PLACE)) - _PLACED


def _rewrite(
    db: Connection,
    project: str,
    stored: Mapping[Key, _Stored],
    due: Mapping[Key, Place],
    cost: Cost,
) -> None:
    """Write what the rows of ``due`` should hold, and what their spans said."""
    wanted = {key for key, place in due.items() for key in (key, *place.fills_from)}
    rows = _full_rows(db, project, wanted)
    plain = {key: said.row_of(row, stored[key].said) for key, row in rows.items()}
    calls = {key: call_of(row, {}) for key, row in plain.items()}
    lacking = [key for key, place in due.items() if _lacks_content(calls, key, place)]
    if lacking:
        filling = sorted({key for one in lacking for key in (one, *due[one].fills_from)})
        kept = [plain[key] for key in filling]
        calls |= dict(zip(filling, with_content(db, kept), strict=True))
    changed: list[Call] = []
    for key, place in due.items():
        whole = settled(calls[key], place, calls, cost)
        if _columns_of(whole) != {name: _value(rows[key], name) for name in _CHANGED}:
            changed.append(whole)
    _write(db, rows, plain, changed, set(lacking))


def _lacks_content(calls: Mapping[Key, Call], key: Key, place: Place) -> bool:
    """Return whether another span of the call holds messages that its own does not."""
    mine, others = calls[key], [calls[other] for other in place.fills_from]
    asked = mine.input_checksum is None and any(one.input_checksum for one in others)
    return asked or (mine.output_kind is None and any(one.output_kind for one in others))


def _full_rows(db: Connection, project: str, keys: Collection[Key]) -> dict[Key, Row[Any]]:
    wanted = [(project, bytes.fromhex(trace), bytes.fromhex(one)) for trace, one in sorted(keys)]
    found = (
        row
        for some in batched(wanted, _KEYS_ASKED)
        for row in db.execute(select(span).where(tuple_(*SPAN).in_(some)))
    )
    return {(row.trace_id.hex(), row.span_id.hex()): row for row in found}


def _columns_of(call: Call) -> dict[str, Any]:
    """Return the values of _CHANGED of a call."""
    return {name: _value(call, name) for name in _CHANGED}


def _value(of: Any, name: str) -> Any:
    """Return a column's value, of a row or of a call."""
    value = getattr(of, name)
    if isinstance(value, Decimal):  # as the column holds it: else nothing would ever be the same
        return value.quantize(_NANO)
    if name == "finish_reasons" and not isinstance(value, str):
        return ",".join(value)
    if name == "duplicate_of" and isinstance(value, str):
        return bytes.fromhex(value)
    return value.value if hasattr(value, "value") else value


def _write(
    db: Connection,
    rows: Mapping[Key, Row[Any]],
    plain: Mapping[Key, Any],
    changed: Sequence[Call],
    filled: Collection[Key],
) -> None:
    if not changed:
        return
    # As old as its spans: a trace that is settled again must not keep their content longer.
    oldest_s = min(rows[_key(call)].received_s for call in changed)
    places_of = _store_contents(db, [one for one in changed if _key(one) in filled], oldest_s)
    updates: list[dict[str, Any]] = []
    sayings: list[tuple[Row[Any], Said]] = []
    for call in changed:
        key = _key(call)
        new = _columns_of(call)
        # Back to its own content where nothing is filled in any more.
        new |= places_of.get(key) or {name: getattr(plain[key], name) for name in _PLACE}
        named = {f"of_{name}": getattr(rows[key], name) for name in _KEPT[:3]}
        updates.append(new | named)
        old = {name: _value(plain[key], name) for name, value in new.items()}
        was = {name: value for name, value in old.items() if value != new[name]}
        if was:
            sayings.append((rows[key], was))
    same = [column == bindparam(f"of_{column.name}") for column in SPAN]
    db.execute(update(span).where(*same), updates)
    said.keep(db, [rows[_key(call)] for call in changed], sayings)
    counted = [call for call in changed if not call.clock_invalid]
    mark_stale(db, [(call.project, rows[_key(call)].started_ns) for call in counted])


def _store_contents(
    db: Connection, calls: Sequence[Call], received_s: int
) -> dict[Key, dict[str, Any]]:
    """Store the content of calls anew, and return where each stands."""
    if not calls:
        return {}
    blocks, found = pack([to_json(call) for call in calls], [call.project for call in calls])
    db.execute(
        content_block.insert(),
        [
            {
                "project": calls[block.members[0]].project,
                "block_id": block.block_id,
                "received_s": received_s,
                "packed": block.packed,
            }
            for block in blocks
        ],
    )
    return {
        _key(call): dict(zip(_PLACE, (at.block_id, at.offset, at.size), strict=True))
        for call, at in zip(calls, found, strict=True)
    }


def _key(call: Call) -> Key:
    return call.trace_id, call.span_id


def _forget(db: Connection, marks: Sequence[Row[Any]]) -> None:
    """Delete exactly these marks; one that a writer has added since stays."""
    if not marks:
        return
    same = [unsettled_trace.c[name] == bindparam(f"of_{name}") for name in _MARK]
    gone = delete(unsettled_trace).where(*same)
    db.execute(gone, [{f"of_{name}": getattr(one, name) for name in _MARK} for one in marks])
