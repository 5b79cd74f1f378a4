"""Scores: written once, read by call, trace or session."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import orjson
from sqlalchemy import ColumnElement, Row, select, tuple_

from tidegauge.call import Call
from tidegauge.score import MOST, Score, ScoreSource
from tidegauge.store.bulk import insert_new
from tidegauge.store.engine import Connection
from tidegauge.store.schema import score, span
from tidegauge.store.times import from_s, to_s

_COLUMNS = (
    "project",
    "trace_id",
    "span_id",
    "score_id",
    "session_id",
    "response_id",
    "name",
    "source",
    "annotator",
    "value",
    "label",
    "error_type",
    "at_s",
    "received_s",
)
_ASKED = 500  # keys in one statement

Values = tuple[Any, ...]  # of _COLUMNS without the last
Key = tuple[bytes, bytes]  # trace, span
_key = itemgetter(0, 1, 2, 3)
T = TypeVar("T")


def values_of(one: Score) -> Values:
    """Return what is stored of a score, of types that both drivers and pickle know."""
    said = [one.name, one.value, one.label, one.error_type, one.annotator, one.source, one.mark]
    of = [one.trace_id, one.span_id, one.session_id, one.response_id]
    return (
        one.project,
        bytes.fromhex(one.trace_id),
        bytes.fromhex(one.span_id),
        hashlib.blake2b(orjson.dumps([said, of]), digest_size=16).digest(),
        one.session_id,
        one.response_id,
        one.name,
        one.source.value,
        one.annotator,
        one.value,
        one.label,
        one.error_type,
        to_s(one.at),
    )


def insert(db: Connection, values: Iterable[Values], *, received_at: datetime) -> int:
    """Store scores, as ``values_of`` gives them, and return how many were new.

    One that is there already changes nothing; above MOST of one call, trace or session it is left
    out.
    """
    unique = {_key(one): one for one in values}
    if not unique:
        return 0
    kept = _within(db, [unique[key] for key in sorted(unique)])
    received_s = to_s(received_at)
    return insert_new(db, score, _COLUMNS, [(*one, received_s) for one in kept]) if kept else 0


def of_calls(db: Connection, calls: Sequence[Call]) -> dict[str, list[Score]]:
    """Return the scores of calls of one project, by trace and span as 48 hex digits.

    A score belongs to the call whose response it names, whenever and over whatever trace it came;
    one that names none, to the call of its span, or to the call that its span only repeats.
    """
    found: dict[str, list[Score]] = {}
    for some in _batched(calls, _ASKED):
        found.update(_of_some(db, some))
    return found


def of_around(db: Connection, call: Call) -> list[Score]:
    """Return the scores of a call's whole trace and of its session, by time."""
    whole = (score.c.trace_id == bytes.fromhex(call.trace_id)) & (score.c.span_id == b"")
    rows = [*_rows(db, call.project, whole & score.c.session_id.is_(None))]
    if call.session_id:
        rows += _rows(db, call.project, score.c.session_id == call.session_id)
    return _ordered(rows)


def _within(db: Connection, values: Sequence[Values]) -> list[Values]:
    """Return what is not there yet and still has room."""
    by_subject: dict[tuple[Any, ...], list[Values]] = defaultdict(list)
    for one in values:
        by_subject[_subject(one)].append(one)
    known = _known(db, by_subject)
    new: list[Values] = []
    for subject, theirs in by_subject.items():
        there = known.get(subject, set())
        fresh = [one for one in theirs if one[3] not in there]
        new += fresh[: max(0, MOST - len(there))]
    return sorted(new, key=_key)


def _subject(one: Values | Row[Any]) -> tuple[Any, ...]:
    """Return what a score is of: of a response, whoever tells of it and over whatever trace."""
    project, trace_id, span_id, _, session_id, response_id = one[:6]
    if response_id is not None:
        return project, "response", response_id
    if session_id is not None:
        return project, "session", session_id
    return project, "span", (trace_id, span_id)


_BY = {
    "response": score.c.response_id,
    "session": score.c.session_id,
    "span": tuple_(score.c.trace_id, score.c.span_id),
}


def _known(
    db: Connection, subjects: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], set[bytes]]:
    """Return the ids that are stored of each subject."""
    asked: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for project, kind, of in subjects:
        asked[project, kind].append(of)
    found: dict[tuple[Any, ...], set[bytes]] = defaultdict(set)
    for (project, kind), many in asked.items():
        for some in _batched(many, _ASKED):
            for row in _rows(db, project, _BY[kind].in_(some)):
                found[_subject(row)].add(bytes(row.score_id))
    return found


def _of_some(db: Connection, calls: Sequence[Call]) -> dict[str, list[Score]]:
    by_key = {_call_key(call): call for call in calls}
    by_response: dict[str, list[Key]] = defaultdict(list)
    for key, call in by_key.items():
        if call.response_id:
            by_response[call.response_id].append(key)
    project = calls[0].project
    in_traces = score.c.trace_id.in_({trace for trace, _ in by_key}) & (score.c.span_id != b"")
    own = _rows(db, project, in_traces)
    owners = _owners(db, project, [_row_key(row) for row in own], by_key)
    found: dict[Key, dict[bytes, Row[Any]]] = defaultdict(dict)
    for row in own:
        owner = owners.get(_row_key(row))
        if owner is not None and _may_be_of(row, by_key[owner]):
            found[owner][row.score_id] = row
    for row in _rows(db, project, score.c.response_id.in_(list(by_response))):
        for key in by_response[row.response_id]:
            found[key][row.score_id] = row
    return {(key[0] + key[1]).hex(): _ordered(rows.values()) for key, rows in found.items()}


def _may_be_of(row: Row[Any], call: Call) -> bool:
    """Return whether a score of this span is of this call: a judge's span tells of another one."""
    return None in (row.response_id, call.response_id) or row.response_id == call.response_id


def _owners(
    db: Connection, project: str, keys: Sequence[Key], calls: Mapping[Key, Call]
) -> dict[Key, Key]:
    """Return the call of each span among ``calls``: itself, or the one that counts for it."""
    owners = {key: key for key in keys if key in calls}
    others = sorted({key for key in keys if key not in calls})
    for some in _batched(others, _ASKED):
        query = select(span.c.trace_id, span.c.span_id, span.c.duplicate_of).where(
            span.c.project == project,
            tuple_(span.c.trace_id, span.c.span_id).in_(some),
            span.c.duplicate_of.is_not(None),
        )
        for row in db.execute(query):
            owner = bytes(row.duplicate_of[:16]), bytes(row.duplicate_of[16:])
            if owner in calls:
                owners[row.trace_id, row.span_id] = owner
    return owners


def _rows(db: Connection, project: str, wanted: ColumnElement[bool]) -> Sequence[Row[Any]]:
    columns = [score.c[name] for name in _COLUMNS]
    return db.execute(select(*columns).where(score.c.project == project, wanted)).all()


def _ordered(rows: Iterable[Row[Any]]) -> list[Score]:
    return [_score(row) for row in sorted(rows, key=lambda row: (row.at_s, row.name, row.score_id))]


def _score(row: Row[Any]) -> Score:
    return Score(
        project=row.project,
        trace_id=row.trace_id.hex(),
        span_id=row.span_id.hex(),
        session_id=row.session_id,
        response_id=row.response_id,
        name=row.name,
        source=ScoreSource(row.source),
        annotator=row.annotator,
        value=row.value,
        label=row.label,
        error_type=row.error_type,
        at=from_s(row.at_s),
    )


def _call_key(call: Call) -> Key:
    return bytes.fromhex(call.trace_id), bytes.fromhex(call.span_id)


def _row_key(row: Row[Any]) -> Key:
    return row.trace_id, row.span_id


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
