"""What the collectors took in, by hour and outcome: the ingest ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select

from tidegauge.clock import HOUR, floor
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.schema import ingest_count
from tidegauge.store.times import to_s


def count(db: Connection, project: str, at: datetime, outcomes: Mapping[str, int]) -> None:
    """Add ``outcomes`` (name to how many) to the hour of ``at``; zeros are left out."""
    hour = to_s(floor(at, HOUR))
    rows = [
        {"project": project, "hour_s": hour, "outcome": outcome, "count": number}
        # In one order everywhere: two collectors that hold the same rows would deadlock.
        for outcome, number in sorted(outcomes.items())
        if number
    ]
    if not rows:
        return
    insert = insert_into(db, ingest_count)
    total = ingest_count.c.count + insert.excluded.count
    key = [column.name for column in ingest_count.primary_key]
    db.execute(insert.on_conflict_do_update(index_elements=key, set_={"count": total}), rows)


def read_counts(db: Connection, project: str, since: datetime, until: datetime) -> dict[str, int]:
    """Return how many of each outcome were counted in the hours that start in [since, until)."""
    query = (
        select(ingest_count.c.outcome, func.sum(ingest_count.c.count))
        .where(
            ingest_count.c.project == project,
            ingest_count.c.hour_s >= to_s(since),
            ingest_count.c.hour_s < to_s(until),
        )
        .group_by(ingest_count.c.outcome)
    )
    return {outcome: int(number) for outcome, number in db.execute(query)}
