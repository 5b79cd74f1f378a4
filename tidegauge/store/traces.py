"""Traces to put together: marked by who writes a span of theirs, settled later, exactly.

Every transaction that writes spans marks their traces. Whoever sees a mark sees the spans that were
committed with it, so the last one to settle a trace has seen all of it, however many wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, select, text

from tidegauge.call import Operation, UseCaseFrom
from tidegauge.member import Key, Member, Place
from tidegauge.pricing import cost_usd
from tidegauge.settle import Cost
from tidegauge.store import said
from tidegauge.store.engine import Connection, Engine, StoreBusy, attempt, read, write
from tidegauge.store.partners import partners
from tidegauge.store.records import CHANGED, PLACE, rewrite
from tidegauge.store.said import SPAN, Said
from tidegauge.store.schema import span, unsettled_trace
from tidegauge.store.spans import batched, mark_unsettled
from tidegauge.whole_trace import places

AT_ONCE = 200  # marks in one transaction: the writer waits for it, some 20 ms
_LOCK = 7_412_883  # of PostgreSQL, for one transaction: two settlers could wait for each other
_MARK = ("project", "trace_id", "mark")
_KEYS_ASKED = 500  # in one statement
MOST_SPANS = 5_000  # of a trace; one that is longer stays as its spans said
SPANS_AT_ONCE = 10_000  # in one transaction
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
    failed: Callable[[Exception], None] | None = None,
) -> int:
    """Put together every trace that is marked, and return how many marks that were.

    ``done`` is told of each transaction's. Raises StoreBusy. Where ``failed`` is given, it is told
    why a trace was not settled: that one stays as its spans said, and holds up no other.
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
        except Exception:
            if failed is None:
                raise
            found = _settle_each(engine, waiting, cost, at_once, failed)
        total += found
        done(found)


def _settle_some(engine: Engine, project: str, cost: Cost, at_once: int) -> int:
    with write(engine) as db:
        marks = _marks(db, project, at_once)
        settle(db, project, {one.trace_id for one in marks}, cost)
        _forget(db, marks)
    return len(marks)


def _settle_each(
    engine: Engine, project: str, cost: Cost, at_once: int, failed: Callable[[Exception], None]
) -> int:
    with read(engine) as db:
        marks = _marks(db, project, at_once)
    for one in marks:
        with write(engine) as db:
            try:
                with attempt(db):
                    settle(db, project, {one.trace_id}, cost)
            except StoreBusy:
                raise
            except Exception as error:  # noqa: BLE001 - told to the caller
                failed(error)
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
        rewrite(db, project, {key: one.said for key, one in loaded.items()}, due, cost)


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
    if place.fills_from or _FILLED & stored.said.keys():
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
_FILLED = frozenset((*CHANGED, *PLACE)) - _PLACED


def _forget(db: Connection, marks: Sequence[Row[Any]]) -> None:
    """Delete exactly these marks; one that a writer has added since stays."""
    if not marks:
        return
    same = [unsettled_trace.c[name] == bindparam(f"of_{name}") for name in _MARK]
    gone = delete(unsettled_trace).where(*same)
    db.execute(gone, [{f"of_{name}": getattr(one, name) for name in _MARK} for one in marks])
