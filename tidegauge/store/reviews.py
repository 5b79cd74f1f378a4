"""The human-review queue and its verdicts."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping, and_, case, func, or_, select, update

from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.schema import review_event, review_item, review_label
from tidegauge.store.times import from_s, to_s

LEASE_S = 300  # how long a claimed item is kept from other reviewers, seconds


class Verdict(StrEnum):
    """What a reviewer answers about one flagged call."""

    REAL_PROBLEM = "real_problem"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


class Submitted(StrEnum):
    """What became of an answer."""

    KEPT = "kept"
    SECOND_OPINION = "second_opinion"  # the lease was gone; the answer is kept beside another's


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedItem:
    """A reason to put one call before a person. ``evidence`` never holds content of the call."""

    project: str
    trace_id: str  # hex
    span_id: str  # hex
    reason: str  # truncated, error, extreme_length, random
    evidence: str  # one sentence, with numbers
    probability: float | None  # with which it was drawn; None: every such call is flagged
    priority: float  # higher comes first
    service: str
    call_started_at: datetime  # UTC

    @property
    def item_id(self) -> str:
        """Return the id that makes a second flag for the same reason the same item."""
        named = f"{self.project}\x00{self.trace_id}\x00{self.span_id}\x00{self.reason}"
        return hashlib.sha256(named.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One item of the queue as a reviewer holds it."""

    item_id: str
    flagged: FlaggedItem
    created_at: datetime  # UTC
    lease_until: datetime | None  # UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the queue is, seen by one reviewer."""

    left: int  # pending items, also those that another reviewer holds
    free: int  # pending items that this reviewer could get now
    done_today: int  # by this reviewer, since midnight UTC
    done_week: int  # by everyone, in the last 7 days
    real_week: int  # of these, how many were a real problem
    oldest_at: datetime | None  # when the oldest pending item was flagged, UTC


def flag(db: Connection, items: Iterable[FlaggedItem], now: datetime) -> int:
    """Put ``items`` into the queue and return how many were new.

    A call flagged again for the same reason keeps its row; its priority only rises, so that
    looking at the same minute twice changes nothing.
    """
    best: dict[str, FlaggedItem] = {}
    for item in sorted(items, key=lambda item: item.priority):
        best[item.item_id] = item  # one statement may not touch a row twice (PostgreSQL)
    if not best:
        return 0
    before = db.execute(select(func.count()).select_from(review_item)).scalar_one()
    db.execute(_upsert_flag(db), [_flag_row(item, now) for item in best.values()])
    return int(db.execute(select(func.count()).select_from(review_item)).scalar_one()) - before


def claim(
    db: Connection, reviewer: str, now: datetime, lease_s: int = LEASE_S
) -> ReviewItem | None:
    """Give ``reviewer`` the best free item for ``lease_s`` seconds, in one UPDATE.

    None: nothing is free at this instant. On PostgreSQL that can also mean that every free item is
    locked by claims under way; ``progress().free`` tells, and trying again settles it.
    """
    held = db.execute(select(review_item.c.item_id).where(_held_by(reviewer, now))).scalars().all()
    row = db.execute(claim_statement(reviewer, now, lease_s)).mappings().first()
    if row is None:
        return None
    if row["item_id"] not in held:
        _record(db, row["item_id"], reviewer, now, "claimed")
    return _item(row)


def claim_statement(reviewer: str, now: datetime, lease_s: int, *, lock: bool = True) -> Any:
    """Return the one statement of a claim. Without ``lock`` PostgreSQL gives items out twice."""
    at = to_s(now)
    best = (
        select(review_item.c.item_id)
        .where(_claimable(reviewer, now))
        .order_by(
            # a reload of the page gives the same item back
            case((_held_by(reviewer, now), 0), else_=1),
            # what was skipped comes back after everything else, oldest skip first
            func.coalesce(review_item.c.skipped_s, 0),
            review_item.c.priority.desc(),
            review_item.c.item_id,
        )
        .limit(1)
    )
    if lock:
        best = best.with_for_update(of=review_item, skip_locked=True)  # SQLite has one writer
    return (
        update(review_item)
        .where(review_item.c.item_id == best.scalar_subquery())
        .values(lease_by=reviewer, lease_until_s=at + lease_s)
        .returning(review_item)
    )


def submit(
    db: Connection, item_id: str, reviewer: str, verdict: Verdict, note: str, now: datetime
) -> Submitted:
    """Keep ``verdict``; close the item if ``reviewer`` still holds it.

    An answer after the lease ran out is kept as a second opinion: it closes nothing, unless the
    item is still free, so no work of a slow reader is lost.
    """
    held = _finish(db, item_id, reviewer, now)
    db.execute(
        _upsert_label(db),
        {
            "item_id": item_id,
            "reviewer": reviewer,
            "verdict": verdict.value,
            "note": note,
            "at_s": to_s(now),
            "undone_s": None,
        },
    )
    _record(db, item_id, reviewer, now, "labelled", verdict)
    return Submitted.KEPT if held else Submitted.SECOND_OPINION


def undo(db: Connection, reviewer: str, now: datetime, lease_s: int = LEASE_S) -> ReviewItem | None:
    """Take back the reviewer's newest verdict and give the item to them again.

    None: there is nothing to undo, or an item that others answered too (it stays done).
    """
    item_id = _newest_label(db, reviewer)
    if item_id is None:
        return None
    mine = (review_label.c.item_id == item_id) & (review_label.c.reviewer == reviewer)
    db.execute(update(review_label).where(mine).values(undone_s=to_s(now)))
    _record(db, item_id, reviewer, now, "undone")
    # else two items would be held at once, and a reload could show the other one
    db.execute(update(review_item).where(_held_by(reviewer, now)).values(_FREE))
    row = db.execute(_reopen(item_id, reviewer, now, lease_s)).mappings().first()
    return _item(row) if row else None


def skip(db: Connection, item_id: str, reviewer: str, now: datetime) -> None:
    """Hand the item back; it returns after everything that was not skipped."""
    freed = db.execute(
        update(review_item)
        .where(review_item.c.item_id == item_id, _held_by(reviewer, now))
        .values(_FREE | {"skipped_s": to_s(now)})
    )
    if freed.rowcount:
        _record(db, item_id, reviewer, now, "skipped")


def renew(
    db: Connection, item_id: str, reviewer: str, now: datetime, lease_s: int = LEASE_S
) -> bool:
    """Keep the item for another ``lease_s`` seconds. False: someone else has it by now."""
    kept = db.execute(
        update(review_item)
        .where(review_item.c.item_id == item_id, _held_by(reviewer, now))
        .values(lease_until_s=to_s(now) + lease_s)
    )
    return bool(kept.rowcount)


def progress(db: Connection, reviewer: str, now: datetime) -> Progress:
    """Return how much is left and what was done."""
    at = to_s(now)
    pending = db.execute(
        select(
            func.count().label("left"),
            func.sum(case((_claimable(reviewer, now), 1), else_=0)).label("free"),
            func.min(review_item.c.created_s).label("oldest"),
        ).where(review_item.c.status == "pending")
    ).one()
    live = review_label.c.undone_s.is_(None)
    mine_today = and_(review_label.c.reviewer == reviewer, review_label.c.at_s >= at - at % 86400)
    real = review_label.c.verdict == Verdict.REAL_PROBLEM.value
    done = db.execute(
        select(
            func.sum(case((mine_today, 1), else_=0)).label("today"),
            func.count().label("week"),
            func.sum(case((real, 1), else_=0)).label("real"),
        ).where(live, review_label.c.at_s > at - 7 * 86400)
    ).one()
    return Progress(
        left=pending.left,
        free=int(pending.free or 0),
        done_today=int(done.today or 0),
        done_week=done.week,
        real_week=int(done.real or 0),
        oldest_at=None if pending.oldest is None else from_s(pending.oldest),
    )


def label_of(db: Connection, item_id: str, reviewer: str) -> tuple[Verdict, str] | None:
    """Return the reviewer's last verdict and note on an item, undone or not."""
    row = db.execute(
        select(review_label.c.verdict, review_label.c.note).where(
            review_label.c.item_id == item_id, review_label.c.reviewer == reviewer
        )
    ).first()
    return (Verdict(row.verdict), row.note) if row else None


_FREE: dict[str, Any] = {"lease_by": None, "lease_until_s": None}


def _held_by(reviewer: str, now: datetime) -> Any:
    return and_(
        review_item.c.status == "pending",
        review_item.c.lease_by == reviewer,
        review_item.c.lease_until_s >= to_s(now),
    )


def _claimable(reviewer: str, now: datetime) -> Any:
    answered = select(review_label.c.item_id).where(
        review_label.c.item_id == review_item.c.item_id,
        review_label.c.reviewer == reviewer,
        review_label.c.undone_s.is_(None),
    )
    return and_(
        review_item.c.status == "pending",
        or_(
            review_item.c.lease_until_s.is_(None),
            review_item.c.lease_until_s < to_s(now),
            review_item.c.lease_by == reviewer,
        ),
        ~answered.correlate(review_item).exists(),
    )


def _finish(db: Connection, item_id: str, reviewer: str, now: datetime) -> bool:
    # still mine, or run out and nobody came: in both cases this answer is the one that counts
    free = or_(
        review_item.c.lease_by == reviewer,
        review_item.c.lease_until_s.is_(None),
        review_item.c.lease_until_s < to_s(now),
    )
    closed = db.execute(
        update(review_item)
        .where(review_item.c.item_id == item_id, review_item.c.status == "pending", free)
        .values(_FREE | {"status": "done"})
    )
    return bool(closed.rowcount)


def _reopen(item_id: str, reviewer: str, now: datetime, lease_s: int) -> Any:
    answered = select(review_label.c.item_id).where(
        review_label.c.item_id == item_id, review_label.c.undone_s.is_(None)
    )
    return (
        update(review_item)
        .where(review_item.c.item_id == item_id, ~answered.exists())
        .values(status="pending", lease_by=reviewer, lease_until_s=to_s(now) + lease_s)
        .returning(review_item)
    )


def _newest_label(db: Connection, reviewer: str) -> str | None:
    query = (
        select(review_label.c.item_id)
        .where(review_label.c.reviewer == reviewer, review_label.c.undone_s.is_(None))
        .order_by(review_label.c.at_s.desc(), review_label.c.item_id)
        .limit(1)
    )
    return db.execute(query).scalar_one_or_none()


def _record(
    db: Connection,
    item_id: str,
    reviewer: str,
    now: datetime,
    kind: str,
    verdict: Verdict | None = None,
) -> None:
    db.execute(
        review_event.insert().values(
            event_id=secrets.token_hex(16),
            item_id=item_id,
            reviewer=reviewer,
            at_s=to_s(now),
            kind=kind,
            verdict=verdict.value if verdict else None,
        )
    )


def _upsert_flag(db: Connection) -> Any:
    statement = insert_into(db, review_item)
    given = statement.excluded.priority
    higher = case((given > review_item.c.priority, given), else_=review_item.c.priority)
    return statement.on_conflict_do_update(
        index_elements=[review_item.c.item_id], set_={"priority": higher}
    )


def _upsert_label(db: Connection) -> Any:
    statement = insert_into(db, review_label)
    given = {name: statement.excluded[name] for name in ("verdict", "note", "at_s", "undone_s")}
    return statement.on_conflict_do_update(
        index_elements=[review_label.c.item_id, review_label.c.reviewer], set_=given
    )


def _flag_row(item: FlaggedItem, now: datetime) -> Mapping[str, Any]:
    row = asdict(item)
    started_at = row.pop("call_started_at")
    return row | {
        "item_id": item.item_id,
        "created_s": to_s(now),
        "call_started_s": to_s(started_at),
        "status": "pending",
    }


def _item(row: RowMapping) -> ReviewItem:
    return ReviewItem(
        item_id=row["item_id"],
        flagged=FlaggedItem(
            project=row["project"],
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            reason=row["reason"],
            evidence=row["evidence"],
            probability=row["probability"],
            priority=row["priority"],
            service=row["service"],
            call_started_at=from_s(row["call_started_s"]),
        ),
        created_at=from_s(row["created_s"]),
        lease_until=None if row["lease_until_s"] is None else from_s(row["lease_until_s"]),
    )
