"""Which traces may tell of the same calls as some others: their roots share an answer or a failure.

What a root's partners are depends on the spans around it alone, never on what else is asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import or_, select

from tidegauge.member import SDK_SCOPES, Key, Member
from tidegauge.store.engine import Connection
from tidegauge.store.schema import span
from tidegauge.store.spans import batched
from tidegauge.whole_trace import MOST_TELLERS, NEAR_NS, may_meet

MOST_SHARING = 256  # roots that bear one id: of more, it names no answer
MOST_FAILING = 64  # roots of one model that fail at one time: of more, nothing can be told apart
_IDS_ASKED = 200  # in one statement
_MAX_NS = 2**63 - 1  # that a database holds: a clock may say anything
_MOST_ROWS = 5_000  # of one statement

_COLUMNS = ("trace_id", "started_ns", "duration_s", "response_id", "model", "library")


class Partners(NamedTuple):
    """The traces to look at beside some, and the roots that meet too many for that."""

    trace_ids: set[bytes]
    crowded: set[Key]


def partners(db: Connection, project: str, members: Iterable[Member]) -> Partners:
    """Return the traces whose root may tell of the same call as a root among ``members``."""
    roots = [one for one in members if may_meet(one)]
    found = Partners(set(), set())
    answered: dict[str, list[Member]] = defaultdict(list)
    for one in roots:
        if one.response_id is not None:
            answered[one.response_id].append(one)
    for ids in batched(answered, _IDS_ASKED):
        sharing = _sharing(db, project, ids)
        for id_ in ids:
            _add(found, answered[id_], sharing.get(id_), _overlap, MOST_TELLERS)
    failed = sorted((one for one in roots if one.error_type), key=lambda one: one.start_ns)
    for some in _windows(failed):
        rows = _failing(db, project, some)
        for one in some:
            _add(found, [one], _near(rows, one), _fit, MOST_FAILING)
    return found


def _add(
    found: Partners, roots: Sequence[Member], rows: Sequence[Any] | None, fits: Any, most: int
) -> None:
    """Add the partners of some roots; ``rows`` are those that they may have, None: too many."""
    for one in roots:
        mine = None if rows is None else [row for row in rows if fits(one, row)]
        if mine is None or len(mine) > most:
            found.crowded.add(one.key)
        else:
            found.trace_ids.update(row.trace_id for row in mine)


def _sharing(db: Connection, project: str, ids: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """Return the roots that bear each id; an id that more than MOST_SHARING bear is not there."""
    found: dict[str, list[Any]] = {id_: [] for id_ in ids}
    rows = _rows(db, _roots(project, span.c.response_id.in_(ids)), _MOST_ROWS)
    if len(rows) == _MOST_ROWS:  # one of them is a mock's: ask for each alone
        rows = [
            row
            for id_ in ids
            for row in _rows(db, _roots(project, span.c.response_id == id_), MOST_SHARING + 1)
        ]
    for row in rows:
        found[row.response_id].append(row)
    return {id_: mine for id_, mine in found.items() if len(mine) <= MOST_SHARING}


def _overlap(one: Member, row: Any) -> bool:
    """Return whether a root runs at the same time as one."""
    end_ns = row.started_ns + round(row.duration_s * 1e9)
    return bool(row.started_ns <= one.end_ns + NEAR_NS and one.start_ns <= end_ns + NEAR_NS)


def _windows(failed: Sequence[Member]) -> list[list[Member]]:
    """Return members by start in runs that one statement can ask for: short, and of few."""
    runs: list[list[Member]] = []
    for one in failed:
        last = runs[-1] if runs else None
        if (
            last is None
            or one.start_ns - last[0].start_ns > 10 * NEAR_NS
            or len(last) >= _IDS_ASKED
        ):
            runs.append([one])
        else:
            last.append(one)
    return runs


def _failing(db: Connection, project: str, failed: Sequence[Member]) -> Sequence[Any] | None:
    """Return the roots that failed around these, by start: an SDK's own, or of an SDK's model.

    None where there are too many to look at.
    """
    written = [span.c.library.startswith(scope) for scope in SDK_SCOPES]
    models = {one.model for one in failed if one.by_sdk}
    query = _roots(
        project,
        span.c.error_type.is_not(None),
        span.c.started_ns >= max(failed[0].start_ns - NEAR_NS, -_MAX_NS),
        span.c.started_ns <= min(failed[-1].start_ns + NEAR_NS, _MAX_NS),
        or_(*written, span.c.model.in_(models)) if models else or_(*written),
    )
    rows = _rows(db, query.order_by(span.c.started_ns), _MOST_ROWS)
    return None if len(rows) == _MOST_ROWS else rows


def _near(rows: Sequence[Any] | None, one: Member) -> Sequence[Any] | None:
    if rows is None:
        return None
    starts = [row.started_ns for row in rows]
    first = bisect_left(starts, one.start_ns - NEAR_NS)
    return rows[first : bisect_right(starts, one.start_ns + NEAR_NS)]


def _fit(one: Member, row: Any) -> bool:
    """Return whether one of two failures is an SDK's, and the other is not."""
    by_sdk = row.library is not None and row.library.startswith(SDK_SCOPES)
    return bool(row.model == one.model and by_sdk != one.by_sdk)


def _roots(project: str, *where: Any) -> Any:
    columns = [span.c[name] for name in _COLUMNS]
    root = (span.c.project == project, span.c.parent_span_id.is_(None))
    return select(*columns).where(*root, *where)


def _rows(db: Connection, query: Any, most: int) -> Sequence[Any]:
    return db.execute(query.limit(most)).all()
