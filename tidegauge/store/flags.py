"""How many calls were put before reviewers: what the hourly quota counts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from tidegauge.store.engine import Connection
from tidegauge.store.schema import review_item
from tidegauge.store.times import to_s


def flagged(
    db: Connection, project: str, since: datetime, until: datetime
) -> dict[tuple[str, str, int], int]:
    """Return the flags of calls started in [since, until), by service, reason and hour.

    The hour is its start in seconds since 1970.
    """
    hour = (review_item.c.call_started_s - review_item.c.call_started_s % 3600).label("hour")
    query = (
        select(review_item.c.service, review_item.c.reason, hour, func.count())
        .where(
            review_item.c.project == project,
            review_item.c.call_started_s >= to_s(since),
            review_item.c.call_started_s < to_s(until),
        )
        .group_by(review_item.c.service, review_item.c.reason, hour)
    )
    return {(service, reason, at): n for service, reason, at, n in db.execute(query)}


def known(db: Connection, item_ids: set[str]) -> set[str]:
    """Return which of these items are in the queue, or were."""
    query = select(review_item.c.item_id).where(review_item.c.item_id.in_(sorted(item_ids)))
    return set(db.execute(query).scalars())
