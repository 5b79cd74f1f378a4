"""The review queue on both databases: nobody gets another's item, and no answer is lost."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import NOW
from tests.world import hex_id
from tidegauge.store import reviews
from tidegauge.store.engine import Engine, open_engine, read, write
from tidegauge.store.migrate import upgrade
from tidegauge.store.reviews import FlaggedItem, ReviewItem, Submitted, Verdict
from tidegauge.store.schema import review_event, review_item, review_label

LEASE = timedelta(seconds=reviews.LEASE_S)
SECOND = timedelta(seconds=1)


def a_flag(seed: object = 1, **fields: Any) -> FlaggedItem:
    usual: dict[str, Any] = {
        "project": "default",
        "trace_id": hex_id(("trace", seed), 32),
        "span_id": hex_id(("span", seed), 16),
        "reason": "truncated",
        "evidence": "Cut off after 256 tokens of at most 256.",
        "probability": None,
        "priority": 1.0,
        "service": "checkout-bot",
        "call_started_at": NOW,
    }
    return FlaggedItem(**(usual | fields))


def put(engine: Engine, *items: FlaggedItem) -> int:
    with write(engine) as db:
        return reviews.flag(db, items, NOW)


def take(engine: Engine, who: str, at: timedelta = timedelta(0)) -> ReviewItem | None:
    with write(engine) as db:
        return reviews.claim(db, who, NOW + at)


def held(engine: Engine, who: str, at: timedelta = timedelta(0)) -> ReviewItem:
    item = take(engine, who, at)
    assert item is not None
    return item


def answer(
    engine: Engine, item: ReviewItem, who: str, at: timedelta = timedelta(0), note: str = ""
) -> Submitted:
    with write(engine) as db:
        return reviews.submit(db, item.item_id, who, Verdict.REAL_PROBLEM, note, NOW + at)


def test_a_call_flagged_again_for_the_same_reason_raises_its_priority_and_adds_no_item(
    engine: Engine,
) -> None:
    assert put(engine, a_flag(priority=1.0)) == 1
    assert put(engine, a_flag(priority=5.0), a_flag(priority=2.0)) == 0
    assert put(engine, a_flag(priority=0.5)) == 0
    with read(engine) as db:
        assert db.execute(select(review_item.c.priority)).scalars().all() == [5.0]


def test_another_reason_for_the_same_call_is_another_item(engine: Engine) -> None:
    assert put(engine, a_flag(), a_flag(reason="error")) == 2


def test_a_claim_gives_the_item_of_the_highest_priority_with_all_its_fields(
    engine: Engine,
) -> None:
    best = a_flag("best", priority=9.0, probability=0.25)
    put(engine, a_flag("dull"), best)
    item = held(engine, "ana")
    assert item.flagged == best
    assert item.lease_until == NOW.replace(microsecond=0) + LEASE


def test_two_reviewers_get_different_items_and_a_reload_the_same_one(engine: Engine) -> None:
    put(engine, a_flag(1), a_flag(2))
    ana, ben = held(engine, "ana"), held(engine, "ben")
    assert ana.item_id != ben.item_id
    assert held(engine, "ana").item_id == ana.item_id
    assert take(engine, "eve") is None


def test_a_lease_keeps_others_out_until_it_ends(engine: Engine) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    assert take(engine, "ben", LEASE) is None
    assert held(engine, "ben", LEASE + SECOND).item_id == item.item_id


def test_a_renewed_lease_lasts_longer_and_a_lost_one_cannot_be_renewed(engine: Engine) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    with write(engine) as db:
        assert reviews.renew(db, item.item_id, "ana", NOW + LEASE)
    assert take(engine, "ben", LEASE + SECOND) is None
    held(engine, "ben", 2 * LEASE + 2 * SECOND)
    with write(engine) as db:
        assert not reviews.renew(db, item.item_id, "ana", NOW + 2 * LEASE + 3 * SECOND)


def test_a_verdict_closes_the_item_and_keeps_the_note(engine: Engine) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    assert answer(engine, item, "ana", note="cut mid-sentence") is Submitted.KEPT
    with read(engine) as db:
        assert reviews.label_of(db, item.item_id, "ana") == (
            Verdict.REAL_PROBLEM,
            "cut mid-sentence",
        )
        assert reviews.progress(db, "ana", NOW).left == 0
    assert take(engine, "ben") is None


def test_an_answer_after_the_lease_went_to_another_is_kept_as_a_second_opinion(
    engine: Engine,
) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    late = LEASE + SECOND
    held(engine, "ben", late)
    assert answer(engine, item, "ana", late) is Submitted.SECOND_OPINION
    with read(engine) as db:
        assert reviews.progress(db, "ben", NOW + late).left == 1  # still ben's to answer
        assert reviews.label_of(db, item.item_id, "ana") is not None
    assert answer(engine, item, "ben", late) is Submitted.KEPT


def test_an_answer_after_the_lease_ran_out_but_nobody_came_counts(engine: Engine) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    assert answer(engine, item, "ana", 2 * LEASE) is Submitted.KEPT


def test_undo_brings_the_item_and_its_lease_back(engine: Engine) -> None:
    put(engine, a_flag(1, priority=2.0), a_flag(2))
    first = held(engine, "ana")
    answer(engine, first, "ana", note="typed")
    second = held(engine, "ana", SECOND)
    with write(engine) as db:
        back = reviews.undo(db, "ana", NOW + SECOND)
    assert back is not None
    assert back.item_id == first.item_id
    assert held(engine, "ana", 2 * SECOND).item_id == first.item_id
    assert held(engine, "ben", 2 * SECOND).item_id == second.item_id  # not kept from others


def test_undo_goes_back_step_by_step_and_then_says_there_is_nothing(engine: Engine) -> None:
    put(engine, a_flag(1), a_flag(2))
    done = []
    for i in range(2):
        item = held(engine, "ana", i * SECOND)
        answer(engine, item, "ana", i * SECOND)
        done.append(item.item_id)
    undone = []
    for _ in range(3):
        with write(engine) as db:
            item_back = reviews.undo(db, "ana", NOW + 5 * SECOND)
        undone.append(item_back and item_back.item_id)
    assert undone == [*reversed(done), None]


def test_an_item_answered_again_after_undo_has_one_label(engine: Engine) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    answer(engine, item, "ana")
    with write(engine) as db:
        reviews.undo(db, "ana", NOW)
        reviews.submit(db, item.item_id, "ana", Verdict.FALSE_ALARM, "", NOW + SECOND)
    with read(engine) as db:
        rows = db.execute(select(review_label.c.verdict, review_label.c.undone_s)).all()
    assert [tuple(row) for row in rows] == [("false_alarm", None)]


def test_a_skipped_item_comes_back_after_all_others(engine: Engine) -> None:
    put(engine, a_flag(1, priority=9.0), a_flag(2, priority=1.0))
    first = held(engine, "ana")
    with write(engine) as db:
        reviews.skip(db, first.item_id, "ana", NOW)
    second = held(engine, "ana")
    assert second.item_id != first.item_id
    answer(engine, second, "ana")
    assert held(engine, "ana").item_id == first.item_id


def test_every_step_is_an_event_and_none_is_ever_changed(engine: Engine) -> None:
    put(engine, a_flag())
    item = held(engine, "ana")
    held(engine, "ana", SECOND)  # a reload of the page is no event
    with write(engine) as db:
        reviews.skip(db, item.item_id, "ana", NOW + 2 * SECOND)
    held(engine, "ana", 3 * SECOND)
    answer(engine, item, "ana", 4 * SECOND)
    with write(engine) as db:
        reviews.undo(db, "ana", NOW + 5 * SECOND)
    with read(engine) as db:
        events = db.execute(select(review_event).order_by(review_event.c.at_s)).all()
    kinds = [(event.kind, event.verdict) for event in events]
    assert kinds == [
        ("claimed", None),
        ("skipped", None),
        ("claimed", None),
        ("labelled", "real_problem"),
        ("undone", None),
    ]


def test_progress_counts_what_is_left_free_and_done(engine: Engine) -> None:
    put(engine, a_flag(1), a_flag(2), a_flag(3))
    item = held(engine, "ana")
    answer(engine, item, "ana")
    held(engine, "ben")
    with read(engine) as db:
        seen = reviews.progress(db, "ana", NOW)
        tomorrow = reviews.progress(db, "ana", NOW + timedelta(days=1))
    assert (seen.left, seen.free, seen.done_today, seen.done_week, seen.real_week) == (
        2,
        1,
        1,
        1,
        1,
    )
    assert seen.oldest_at == NOW.replace(microsecond=0)
    assert tomorrow.done_today == 0


def _drain(url: str, who: str, lock: bool, start: Any, out: Any) -> None:
    engine = open_engine(url)
    labelled = 0
    start.wait()
    while True:
        with write(engine) as db:
            row = (
                db.execute(reviews.claim_statement(who, NOW, reviews.LEASE_S, lock=lock))
                .mappings()
                .first()
            )
        if row is None:
            with read(engine) as db:
                if not reviews.progress(db, who, NOW).free:
                    break
            continue  # all free items were locked at this instant
        with write(engine) as db:
            reviews.submit(db, row["item_id"], who, Verdict.UNSURE, "", NOW)
        labelled += 1
    engine.dispose()
    out.put(labelled)


def drained(url: str, items: int, *, lock: bool = True) -> Counter[str]:
    """Return how many labels each item has after four processes have emptied the queue."""
    upgrade(url)
    engine = open_engine(url)
    put(engine, *(a_flag(i) for i in range(items)))
    spawn = multiprocessing.get_context("spawn")
    start, out = spawn.Event(), spawn.Queue()
    workers = [
        spawn.Process(target=_drain, args=(url, f"reviewer-{i}", lock, start, out))
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    start.set()
    total = sum(out.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    with read(engine) as db:
        labels = Counter(db.execute(select(review_label.c.item_id)).scalars())
    engine.dispose()
    assert total == sum(labels.values())
    return labels


@pytest.mark.slow
def test_four_processes_empty_the_queue_without_one_item_twice(url: str) -> None:
    labels = drained(url, 200)
    assert len(labels) == 200
    assert set(labels.values()) == {1}


@pytest.mark.slow
def test_without_its_lock_the_same_claim_gives_items_out_twice_on_postgresql(
    postgres_url: str,
) -> None:
    """The control of the test above: it can see duplicates."""
    labels = drained(postgres_url, 200, lock=False)
    assert max(labels.values()) > 1
