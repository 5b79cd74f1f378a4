"""The right calls reach the reviewers: each once, with a reason, never too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from analysis.learn import learn_series
from analysis.rollup import roll
from analysis.sampling import Reviewing, draw, flags_of, usual_lengths, within_quota
from tests.world import NOON, a_call, hex_id
from tidegauge.call import Call
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Series
from tidegauge.policy import Policy
from tidegauge.store import flags, normals, rollups, spans
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.reviews import FlaggedItem
from tidegauge.store.schema import review_item

NONE = Policy(sample_share=0.0)


def flag(
    engine: Engine, calls: Sequence[Call], policy: Policy = NONE, now: datetime = NOON
) -> None:
    with write(engine) as db:
        spans.insert(db, calls, received_at=now)
    roll(engine, now, max_series=9, limit=9999, watchers=[Reviewing(policy)])


def items(engine: Engine) -> list[Any]:
    with read(engine) as db:
        return list(db.execute(select(review_item).order_by(review_item.c.reason)))


def test_a_cut_answer_and_a_failed_call_are_flagged_with_their_evidence(engine: Engine) -> None:
    cut = a_call("cut", truncated=True, output_tokens=1256, max_tokens=1256)
    failed = a_call("failed", error_type="timeout")
    flag(engine, [cut, failed, a_call("good")])

    assert [(i.reason, i.evidence, i.probability) for i in items(engine)] == [
        ("error", "Failed with timeout.", None),
        ("truncated", "Cut off after 1,256 tokens of at most 1,256.", None),
    ]
    assert {(i.trace_id, i.service) for i in items(engine)} == {
        (hex_id(("trace", "cut"), 32), "checkout-bot"),
        (hex_id(("trace", "failed"), 32), "checkout-bot"),
    }


def test_a_minute_counted_again_flags_nothing_again(engine: Engine) -> None:
    policy = Policy(sample_share=1.0, flags_per_hour=3)
    for i in range(3):
        flag(engine, [a_call(i, truncated=True)], policy)

    assert Counter(i.reason for i in items(engine)) == {"random": 3, "truncated": 3}


def test_a_bad_hour_does_not_fill_the_queue(engine: Engine) -> None:
    policy = Policy(sample_share=0.0, flags_per_hour=5)
    for start in (NOON, NOON + MINUTE, NOON + HOUR):
        calls = [
            a_call((start, s, i), started_at=start, service=s, error_type="500")
            for i in range(9)
            for s in ("a", "b")
        ]
        flag(engine, calls, policy, now=NOON + HOUR)

    with read(engine) as db:
        spent = flags.flagged(db, "default", NOON, NOON + DAY)
    noon = int(NOON.timestamp())
    assert spent == {(s, "error", noon + h * 3600): 5 for s in ("a", "b") for h in (0, 1)}


def test_loaded_history_is_not_put_before_people(sqlite_engine: Engine) -> None:
    flag(sqlite_engine, [a_call(truncated=True, started_at=NOON - 2 * DAY)])

    assert items(sqlite_engine) == []


def test_the_same_calls_are_drawn_again_and_about_as_many_as_asked_for() -> None:
    drawn = [
        draw(bytes.fromhex(hex_id(i, 32)), bytes.fromhex(hex_id(i, 16))) for i in range(20_000)
    ]

    assert 0.045 < sum(x < 0.05 for x in drawn) / len(drawn) < 0.055


def test_a_random_draw_says_its_probability(sqlite_engine: Engine) -> None:
    flag(sqlite_engine, [a_call(i) for i in range(400)], Policy(sample_share=0.1))
    found = items(sqlite_engine)

    assert 20 < len(found) < 65
    assert {(i.reason, i.probability, i.evidence) for i in found} == {
        ("random", 0.1, "Drawn at random, 1 of 10.")
    }


class Row:
    """A narrow row with what flags are decided by."""

    project, service, started_ns = "p", "s", spans.to_ns(NOON)
    trace_id, span_id = bytes(16), bytes(8)
    truncated: bool | None = None
    error_type: str | None = None
    max_tokens: int | None = None

    def __init__(self, output_tokens: int | None, **fields: Any) -> None:
        self.output_tokens = output_tokens
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    ("tokens", "long_output", "flagged"),
    [(2001, 1000.0, True), (2000, 1000.0, False), (10**6, None, False), (None, 1000.0, False)],
)
def test_an_answer_twice_as_long_as_any_is_extreme(
    tokens: int | None, long_output: float | None, flagged: bool
) -> None:
    assert bool(flags_of(Row(tokens), long_output, 0.0)) is flagged


def test_an_error_message_in_the_error_type_is_cut_short() -> None:
    found = flags_of(Row(None, error_type="x" * 5000), None, 0.0)

    assert len(found[0].evidence) < 100


def item(i: int, probability: float | None = None) -> FlaggedItem:
    return FlaggedItem(
        project="p",
        trace_id=hex_id(i, 32),
        span_id="0" * 16,
        reason="error",
        evidence="",
        probability=probability,
        priority=1.0,
        service="s",
        call_started_at=NOON + timedelta(seconds=i),
    )


def test_the_quota_counts_what_was_spent_before() -> None:
    spent = {("s", "error", int(NOON.timestamp())): 3}

    assert within_quota([item(2), item(1), item(0)], spent, 5) == [item(0), item(1)]


def test_random_draws_are_never_left_out() -> None:
    drawn = [replace(item(i, 0.1), reason="random") for i in range(9)]

    assert within_quota(drawn, {}, 2) == drawn


def test_the_usual_length_comes_from_what_was_learned(engine: Engine) -> None:
    calls = [
        a_call(i, started_at=NOON - i * HOUR / 6, output_tokens=100 + i % 50) for i in range(1, 200)
    ]
    flag(engine, calls)
    series = Series("default", "checkout-bot", "prod", "answer", "gpt-4o-mini")
    with read(engine) as db:
        hours = rollups.read_buckets(db, "default", 3600, NOON - 9 * DAY, NOON)
    learned = learn_series(series, hours, [], [], Policy(), NOON)
    with write(engine) as db:
        normals.write_normals(db, [(x.normal, x.state() | {"project_hours": 1}) for x in learned])
    with read(engine) as db:
        assert usual_lengths(db, "default")[series] == pytest.approx(149, rel=0.02)

    flag(engine, [a_call("long", output_tokens=400)])
    assert [i.reason for i in items(engine)] == ["extreme_length"]
