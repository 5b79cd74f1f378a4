from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from collector.answers import Signal
from collector.auth import Rule, Unauthenticated, WrongScope
from collector.desk import Answer, Refusal, refusal_of
from collector.inflight import Overloaded
from collector.limits import BadEncoding, BadOtlp, TooLarge
from collector.retry import Retry
from tests.collector.test_auth import a_gate, a_key, with_key
from tests.collector.test_overload import Parts
from tidegauge.clock import HOUR
from tidegauge.source import Source
from tidegauge.store import keys, ledger
from tidegauge.store.engine import Engine, StoreBusy, read
from tidegauge.store.keys import Limit, Scope

READER, _ = keys.new("shop", "board", Scope.READ, datetime(2026, 1, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("error", "answer", "reason"),
    [
        (TooLarge("bytes", 5), Answer.TOO_LARGE, "too_large"),
        (BadEncoding("br", unknown=True), Answer.UNSUPPORTED, "unknown_encoding"),
        (BadEncoding("cut off"), Answer.BAD, "bad_encoding"),
        (BadOtlp("cut off"), Answer.BAD, "bad_otlp"),
        (Unauthenticated("missing", "no key"), Answer.UNKNOWN, "unauthenticated"),
        (WrongScope(READER, "to read"), Answer.FORBIDDEN, "wrong_scope"),
        (Overloaded("full"), Answer.LATER, "overloaded"),
        (StoreBusy("locked"), Answer.LATER, "store_busy"),
        (TimeoutError(), Answer.LATER, "too_slow"),
        (RecursionError(), Answer.LATER, "unexpected"),
        (MemoryError(), Answer.LATER, "unexpected"),
        (Refusal(Answer.BAD, "own", "word"), Answer.BAD, "own"),
    ],
)
def test_o18_every_error_has_its_answer(error: Exception, answer: Answer, reason: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.answer, refusal.reason) == (answer, reason)
    assert str(refusal)


def test_an_unexpected_error_tells_the_sender_nothing_of_its_message() -> None:
    assert "prompt" not in str(refusal_of(ValueError("a prompt")))


def test_a_signal_is_the_last_part_of_its_path() -> None:
    assert [f"/v1/{signal}" for signal in Signal] == ["/v1/traces", "/v1/metrics", "/v1/logs"]


@pytest.fixture
def parts(sqlite_engine: Engine, now: datetime) -> Iterator[Parts]:
    """Return a collector without its ports."""
    parts = Parts(sqlite_engine, now)
    yield parts
    parts.writer.close(20)
    parts.doctor.close()


def test_a_sender_is_named_by_its_key_and_not_by_what_it_says(
    sqlite_engine: Engine, parts: Parts, now: datetime
) -> None:
    key, token = a_key(sqlite_engine, now=now)
    parts.desk._gate.refresh()
    sender = parts.desk.admit({"user-agent": "sdk/1", "x-project": "other", **with_key(token)})
    assert (sender.project, sender.key_id, sender.user_agent) == ("shop", key.key_id, "sdk/1")
    nobody = parts.desk.admit({"user-agent": "sdk/1"})
    assert (nobody.project, nobody.key_id) == ("p", "")


def test_one_key_over_its_limit_makes_no_other_sender_wait_for_longer(
    sqlite_engine: Engine, parts: Parts, now: datetime
) -> None:
    desk, seconds = parts.desk, [0.0]
    desk._retry = Retry(lambda: seconds[0])
    _, token = a_key(sqlite_engine, limit=Limit(spans_per_s=1), now=now)
    desk._gate.refresh()
    desk._rates.charge(desk.admit(with_key(token)).key_id, spans=10_000)
    for _ in range(30):
        with pytest.raises(Refusal) as caught:
            desk.admit(with_key(token))
        assert desk.refuse("http", "traces", caught.value).retry_after_s == 5
        seconds[0] += 1
    assert desk.refuse("http", "traces", Overloaded("full")).retry_after_s == 1


def test_the_ledger_names_the_key_that_was_refused_and_no_stranger(
    sqlite_engine: Engine, parts: Parts, now: datetime
) -> None:
    key, token = a_key(sqlite_engine, now=now, scope=Scope.READ)
    parts.desk._gate = a_gate(sqlite_engine, now, Rule.REQUIRED)
    for headers in (with_key(token), with_key(token[:-1]), {}):
        with pytest.raises((Unauthenticated, WrongScope)) as caught:
            parts.desk.admit({"user-agent": "anything", **headers})
        parts.desk.refuse("http", "traces", caught.value)
    parts.writer.close(20)
    with read(sqlite_engine) as db:
        (known,) = ledger.lines(db, "shop", now - HOUR)
        (strangers,) = ledger.lines(db, "p", now - HOUR)
    assert (known.source, known.refused) == (Source("shop", key.key_id), {"wrong_scope": 1})
    assert (strangers.source, strangers.refused) == (Source("p"), {"unauthenticated": 2})
