"""The quota counts what is in the queue, by service, reason and hour."""

from __future__ import annotations

from tests.world import NOON, hex_id
from tidegauge.clock import HOUR
from tidegauge.store import flags, reviews
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.reviews import FlaggedItem


def item(i: int, service: str, hours: int) -> FlaggedItem:
    return FlaggedItem(
        project="default",
        trace_id=hex_id(i, 32),
        span_id=hex_id(i, 16),
        reason="error",
        evidence="Failed with timeout.",
        probability=None,
        priority=1.0,
        service=service,
        call_started_at=NOON + hours * HOUR,
    )


def test_flags_are_counted_by_service_reason_and_hour(engine: Engine) -> None:
    items = [item(1, "a", 0), item(2, "a", 0), item(3, "b", 0), item(4, "a", 1), item(5, "a", 2)]
    with write(engine) as db:
        reviews.flag(db, items, NOON)
    with read(engine) as db:
        spent = flags.flagged(db, "default", NOON, NOON + 2 * HOUR)
        other = flags.flagged(db, "another", NOON, NOON + 2 * HOUR)

    noon = int(NOON.timestamp())
    assert spent == {
        ("a", "error", noon): 2,
        ("b", "error", noon): 1,
        ("a", "error", noon + 3600): 1,
    }
    assert other == {}


def test_items_in_the_queue_are_known(engine: Engine) -> None:
    one, two = item(1, "a", 0), item(2, "a", 0)
    with write(engine) as db:
        reviews.flag(db, [one], NOON)
    with read(engine) as db:
        assert flags.known(db, {one.item_id, two.item_id}) == {one.item_id}
        assert flags.known(db, set()) == set()
