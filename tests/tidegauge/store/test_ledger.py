from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from tests.world import a_call
from tidegauge.clock import DAY, HOUR, floor
from tidegauge.source import Source
from tidegauge.store import ledger, spans
from tidegauge.store.engine import Engine, open_engine, read, write
from tidegauge.store.ledger import Claim

BOT = Source("p", "k1", "checkout-bot", "python/opentelemetry 1.45.2", "OTel-OTLP/1.45.2")
DIGEST = Source("p", "k1", "digest", "nodejs/opentelemetry 2.1.0", "node")


def test_counts_add_up_by_hour(engine: Engine, now: datetime) -> None:
    for at, accepted in ((now, 3), (now, 4), (now + HOUR, 10)):
        with write(engine) as db:
            ledger.record(db, at, {(BOT, "accepted"): accepted, (BOT, "rejected:bad_trace_id"): 1})
    hour = floor(now, HOUR)
    with read(engine) as db:
        assert ledger.read_counts(db, "p", hour, hour + HOUR) == {
            "accepted": 7,
            "rejected:bad_trace_id": 2,
        }
        assert ledger.read_counts(db, "p", hour, hour + 2 * HOUR)["accepted"] == 17
        assert ledger.read_counts(db, "other", hour, hour + HOUR) == {}


def test_a_line_says_what_became_of_everything_that_a_source_sent(
    engine: Engine, now: datetime
) -> None:
    counts = {"accepted": 7, "duplicate": 2, "rejected:bad_trace_id": 1, "refused:bad_otlp": 3}
    more = {"late": 4, "sdk_dropped:events": 5}
    with write(engine) as db:
        ledger.record(db, now, {(BOT, name): n for name, n in (counts | more).items()})
        ledger.record(db, now, {(DIGEST, "accepted"): 1})
        ledger.record(db, now + timedelta(seconds=9), {(DIGEST, "accepted"): 1})
    with read(engine) as db:
        bot, digest = ledger.lines(db, "p", now)
    assert (bot.source, digest.source) == (BOT, DIGEST)
    assert (bot.received, bot.stored, bot.duplicate) == (10, 7, 2)
    assert (bot.rejected, bot.refused) == ({"bad_trace_id": 1}, {"bad_otlp": 3})
    assert (bot.counts["late"], bot.sdk_dropped, bot.lost) == (4, {"events": 5}, True)
    assert (digest.stored, digest.lost) == (2, False)
    second = timedelta(seconds=1)
    assert (digest.first_seen, digest.last_seen) == (
        floor(now, second),
        floor(now, second) + 9 * second,
    )


def test_lines_are_of_the_asked_time_project_and_service(engine: Engine, now: datetime) -> None:
    elsewhere = Source("q", service="digest")
    with write(engine) as db:
        ledger.record(db, now - DAY, {(BOT, "accepted"): 1})
        ledger.record(db, now, {(DIGEST, "accepted"): 1, (elsewhere, "accepted"): 1})
    with read(engine) as db:
        assert [line.source for line in ledger.lines(db, "p", now)] == [DIGEST]
        assert len(ledger.lines(db, "p", now - DAY)) == 2
        assert [one.source for one in ledger.lines(db, "p", now - DAY, service="checkout-bot")] == [
            BOT
        ]
        assert [line.source for line in ledger.lines(db, "q", now)] == [elsewhere]


def test_sources_beyond_the_bound_are_counted_as_one(engine: Engine, now: datetime) -> None:
    many = [Source("p", service=f"random-{number}") for number in range(10)]
    with write(engine) as db:
        ledger.record(db, now, {(BOT, "accepted"): 1}, most=4)
    for number in (1, 2):
        with write(engine) as db:
            ledger.record(db, now, {(one, "accepted"): number for one in [*many, BOT]}, most=4)
    with read(engine) as db:
        found = ledger.lines(db, "p", now)
    by_service = {line.source.service: line.stored for line in found}
    assert len(found) == 5
    assert by_service["checkout-bot"] == 4  # known before: it keeps its line
    assert by_service[ledger.OTHER] == 7 * 3
    assert sum(by_service.values()) == 1 + 11 * 3


def test_a_transaction_that_fails_counts_nothing(engine: Engine, now: datetime) -> None:
    def count_and_fail() -> None:
        with write(engine) as db:
            ledger.record(db, now, {(BOT, "accepted"): 1})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        count_and_fail()
    with read(engine) as db:
        assert ledger.read_counts(db, "p", floor(now, HOUR), now + HOUR) == {}
        assert ledger.lines(db, "p", now) == []


def test_zeros_are_not_stored(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        ledger.record(db, now, {(BOT, "accepted"): 0})
    with read(engine) as db:
        assert ledger.lines(db, "p", now) == []


def test_what_is_claimed_is_compared_with_the_rows_that_came_in_the_same_hours(
    engine: Engine, now: datetime
) -> None:
    with write(engine) as db:
        assert ledger.claim(db, "p", now) == Claim(0, 0)
        spans.insert(db, [a_call(1, project="p", started_at=now - DAY)], received_at=now)
        spans.insert(db, [a_call(2, project="p", started_at=now)], received_at=now - 2 * HOUR)
        spans.insert(db, [a_call(3, project="q", started_at=now)], received_at=now)
        ledger.record(db, now, {(BOT, "accepted"): 1, (BOT, "duplicate"): 7})
        ledger.record(db, now - 2 * HOUR, {(BOT, "accepted"): 2})
    with read(engine) as db:
        assert ledger.claim(db, "p", now) == Claim(1, 1)
        assert ledger.claim(db, "p", now - 2 * HOUR) == Claim(3, 2)


def test_spans_outlive_their_counts_and_nothing_looks_smuggled_in(
    engine: Engine, now: datetime
) -> None:
    with write(engine) as db:
        spans.insert(db, [a_call(1, project="p", started_at=now)], received_at=now - 95 * DAY)
        spans.insert(db, [a_call(2, project="p", started_at=now)], received_at=now)
        ledger.record(db, now, {(BOT, "accepted"): 1})
        kept_since = ledger.both_since(now, 400)
        found = ledger.claim(db, "p", now - 100 * DAY, kept_since=kept_since)
        assert found == Claim(1, 1, kept_since)
        assert f"{kept_since:%Y-%m-%d %H:%M} UTC" in found.text
        assert ledger.claim(db, "p", now - DAY, kept_since=kept_since) == Claim(1, 1)


def test_counts_outlive_their_spans_and_nothing_looks_lost(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, [a_call(2, project="p", started_at=now)], received_at=now)
        ledger.record(db, now, {(BOT, "accepted"): 1})
        ledger.record(db, now - DAY, {(BOT, "accepted"): 7})
        found = ledger.claim(db, "p", now - 2 * DAY, kept_since=ledger.both_since(now, 1))
    assert (found.stored, found.rows) == (1, 1)


def test_a_disagreement_is_said_in_words() -> None:
    assert Claim(3, 2).text.endswith("1 are no longer there: erased, or lost.")
    assert Claim(2, 3).text.endswith("1 were written past the collector.")


def test_old_counts_and_sources_are_forgotten(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        ledger.record(db, now - 3 * DAY, {(BOT, "accepted"): 1, (DIGEST, "accepted"): 1})
        ledger.record(db, now, {(DIGEST, "accepted"): 5})
        assert ledger.forget(db, now - DAY) == 3
    with read(engine) as db:
        (left,) = ledger.lines(db, "p", now - 10 * DAY)
    assert (left.source, left.stored) == (DIGEST, 5)


def test_collectors_that_count_for_the_same_sources_lose_nothing(
    engine: Engine, url: str, now: datetime
) -> None:
    def collect(order: int) -> None:
        own = open_engine(url, pool_size=1)
        for number in range(15):
            sources = [BOT, DIGEST, Source("p", service=f"s{number}")][::order]
            with write(own) as db:
                ledger.record(db, now, {(one, "accepted"): 1 for one in sources})
        own.dispose()

    threads = [threading.Thread(target=collect, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read(engine) as db:
        stored = {line.source.service: line.stored for line in ledger.lines(db, "p", now)}
    assert stored.pop("checkout-bot") == stored.pop("digest") == 60
    assert set(stored.values()) == {4}
    assert len(stored) == 15
