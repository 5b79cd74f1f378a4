from __future__ import annotations

import pytest

from collector.answers import Signal
from collector.desk import Answer, Refusal, refusal_of
from collector.inflight import Overloaded
from collector.limits import BadEncoding, BadOtlp, TooLarge
from tidegauge.store.engine import StoreBusy


@pytest.mark.parametrize(
    ("error", "answer", "reason"),
    [
        (TooLarge("bytes", 5), Answer.TOO_LARGE, "too_large"),
        (BadEncoding("br", unknown=True), Answer.UNSUPPORTED, "unknown_encoding"),
        (BadEncoding("cut off"), Answer.BAD, "bad_encoding"),
        (BadOtlp("cut off"), Answer.BAD, "bad_otlp"),
        (Overloaded("full"), Answer.LATER, "overloaded"),
        (StoreBusy("locked"), Answer.LATER, "store_busy"),
        (TimeoutError(), Answer.LATER, "too_slow"),
        (RecursionError(), Answer.LATER, "unexpected"),
        (MemoryError(), Answer.LATER, "unexpected"),
        (Refusal(Answer.BAD, "own", "word"), Answer.BAD, "own"),
    ],
)
def test_every_error_has_its_answer(error: Exception, answer: Answer, reason: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.answer, refusal.reason) == (answer, reason)
    assert str(refusal)


def test_an_unexpected_error_tells_the_sender_nothing_of_its_message() -> None:
    assert "prompt" not in str(refusal_of(ValueError("a prompt")))


def test_a_signal_is_the_last_part_of_its_path() -> None:
    assert [f"/v1/{signal}" for signal in Signal] == ["/v1/traces", "/v1/metrics", "/v1/logs"]
