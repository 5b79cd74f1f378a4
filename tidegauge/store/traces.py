"""Traces to put together: marked by who writes a span of theirs, settled later, exactly.

Every transaction that writes spans marks their traces. Whoever sees a mark sees the spans that were
committed with it, so the last one to settle a trace has seen all of it, however many wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, select, text, tuple_, update

from tidegauge import log
from tidegauge.call import Call, Operation, UseCaseFrom
from tidegauge.member import Key, Member, Place
from tidegauge.pricing import cost_usd
from tidegauge.settle import Cost, settled
from tidegauge.store import said
from tidegauge.store.contents import pack, to_json
from tidegauge.store.engine import Connection, Engine, StoreBusy, attempt, read, write
from tidegauge.store.partners import partners
from tidegauge.store.rows import VALUES, call_of
from tidegauge.store.said import SPAN, Said
from tidegauge.store.schema import content_block, span, unsettled_trace
from tidegauge.store.spans import batched, mark_stale, mark_unsettled, with_content
from tidegauge.whole_trace import places

AT_ONCE = 200  # marks in one transaction: the writer waits for it, some 20 ms
_LOCK = 7_412_883  # of PostgreSQL, for one transaction: two settlers could wait for each other
_MARK = ("project", "trace_id", "mark")
_log = log.get(__name__)
_KEYS_ASKED = 500  # in one statement
MOST_SPANS = 5_000  # of a trace; one that is longer stays as its spans said
SPANS_AT_ONCE = 10_000  # in one transaction
_NANO = Decimal("1e-9")
_DAY_S = 86_400
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

    ``done`` is told of each transaction's. Raises StoreBusy. A trace on which it fails stays as its
    spans said: it must hold up no other.
    """
    total = 0
    while True:
        with read(engine) as db:
            waiting = db.execute(select(unsettled_trace.c.project).limit(1)).scalar_one_or_none()
        if waiting is None:
            return total
        try:
            found = _settle_some(engine, waiting, cost, at_once)
        except StoreBusy:
            raise
        except Exception as error:  # noqa: BLE001 - its text may hold content
            _log.error("traces not settled, tried one by one", error=type(error).__name__)
            found = _settle_each(engine, waiting, cost, at_once)
        total += found
        done(found)


def _settle_some(engine: Engine, project: str, cost: Cost, at_once: int) -> int:
    with write(engine) as db:
        marks = _marks(db, project, at_once)
        settle(db, project, {one.trace_id for one in marks}, cost)
        _forget(db, marks)
    return len(marks)


def _settle_each(engine: Engine, project: str, cost: Cost, at_once: int) -> int:
    with read(engine) as db:
        marks = _marks(db, project, at_once)
    for one in marks:
        with write(engine) as db:
            try:
                with attempt(db):
                    settle(db, project, {one.trace_id}, cost)
            except StoreBusy:
                raise
            except Exception as error:  # noqa: BLE001 - its text may hold content
                _log.error("trace not settled", error=type(error).__name__)
            _forget(db, [one])
    return len(marks)


def _marks(db: Connection, project: str, at_once: int) -> Sequence[Row[Any]]:
    """Return marks whose traces are not too much for one transaction, at least those of one trace."""
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    query = select(unsettled_trace).where(unsettled_trace.c.project == project)
    marks = db.execute(query.order_by(unsettled_trace.c.trace_id).limit(at_once)).all()
    sizes = _sizes(db, project, {one.trace_id for one in marks})
    left = SPANS_AT_ONCE
    taken: list[Row[Any]] = []
    for trace_id, group in groupby(marks, key=lambda one: one.trace_id):
        left -= min(sizes.get(trace_id, 0), MOST_SPANS)
        if taken and left < 0:
            break
        taken += group
    return taken


def settle(
    db: Connection, project: str, trace_ids: Collection[bytes], cost: Cost = cost_usd
) -> None:
    """Put these traces together, and those that tell of the same calls.

    Whether two roots tell of one call is known once the partners of both are: so these are loaded
    with their partners, and with those of their partners. What is written is what is known.
    """
    stored = _load(db, project, trace_ids)
    near = partners(db, project, [one.member for one in stored.values()])
    around = _load(db, project, near.trace_ids - set(trace_ids))
    far = partners(db, project, [one.member for one in around.values()])
    beyond = _load(db, project, far.trace_ids - near.trace_ids - set(trace_ids))
    loaded = stored | around | beyond
    crowded = near.crowded | far.crowded
    found = places([one.member for one in loaded.values()], crowded)
    ours = {trace_id.hex() for trace_id in trace_ids}
    mine = _tied(found, ours)
    left = _tied({key: _now(one) for key, one in loaded.items()}, ours) - mine
    # What was joined to these and no longer is has partners of its own to be asked for.
    mark_unsettled(db, [(project, bytes.fromhex(trace_id)) for trace_id in left])
    due = {
        key: place
        for key, place in found.items()
        if key[0] in mine and _differs(loaded[key], place)
    }
    if due:
        _rewrite(db, project, loaded, due, cost)


def _tied(found: Mapping[Key, Place | _Now], ours: Collection[str]) -> set[str]:
    """Return these traces, and those with a span that is one call with one of theirs."""
    tied = set(ours)
    for key, place in found.items():
        of = place.duplicate_of
        if of is not None and of[0] != key[0] and not tied.isdisjoint((of[0], key[0])):
            tied |= {of[0], key[0]}
    return tied


class _Now(NamedTuple):
    """What the row of a span says of it."""

    duplicate_of: Key | None


def _now(stored: _Stored) -> _Now:
    of = stored.row.duplicate_of
    return _Now(None if of is None else (of[:16].hex(), of[16:].hex()))


def _sizes(db: Connection, project: str, trace_ids: Collection[bytes]) -> dict[bytes, int]:
    """Return how many spans traces have."""
    of = (span.c.project == project, span.c.trace_id.in_(trace_ids))
    query = select(span.c.trace_id, func.count()).where(*of).group_by(span.c.trace_id)
    return {trace_id: number for trace_id, number in db.execute(query)}


def _load(db: Connection, project: str, trace_ids: Collection[bytes]) -> dict[Key, _Stored]:
    """Return the spans of some traces, locked until the transaction ends."""
    found: dict[Key, _Stored] = {}
    for some in batched(sorted(trace_ids), _KEYS_ASKED):
        sizes = _sizes(db, project, some)
        long = [trace_id for trace_id, number in sizes.items() if number > MOST_SPANS]
        said.restore(db, project, long)
        found |= _load_some(db, project, [one for one in some if one not in long])
    return found


def _load_some(db: Connection, project: str, trace_ids: Sequence[bytes]) -> dict[Key, _Stored]:
    of = (span.c.project == project, span.c.trace_id.in_(trace_ids))
    query = select(*(span.c[name] for name in _ASKED)).where(*of)
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
    places_of = _store_contents(db, [one for one in changed if _key(one) in filled], rows)
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
    db: Connection, calls: Sequence[Call], rows: Mapping[Key, Row[Any]]
) -> dict[Key, dict[str, Any]]:
    """Store the content of calls anew, and return where each stands.

    Calls of one day share blocks, which are as old as they are: content that is filled in late must
    be kept no longer, and that of a new call no shorter.
    """
    found: dict[Key, dict[str, Any]] = {}
    by_day = sorted(calls, key=lambda call: rows[_key(call)].received_s)
    for _, group in groupby(by_day, key=lambda call: rows[_key(call)].received_s // _DAY_S):
        some = list(group)
        found |= _store_blocks(db, some, rows[_key(some[0])].received_s)
    return found


def _store_blocks(
    db: Connection, calls: Sequence[Call], received_s: int
) -> dict[Key, dict[str, Any]]:
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
