from __future__ import annotations

from datetime import timedelta
from typing import Any

from bench.corpus_score import EITHER, asked, is_over, logical, pairs, same
from tests.conftest import NOW
from tests.world import a_call
from tidegauge.call import Call, Operation


def a_truth(**fields: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "operation": "chat",
        "request_model": "m",
        "response_model": "m-1",
        "status": 200,
        "stream": False,
        "usage_sent": True,
        "input_tokens": 7,
        "output_tokens": 3,
        "finish_reasons": ["end_turn"],
        "truncated": False,
    }
    return usual | fields


def a_found(seed: str, seconds: int = 0, **fields: Any) -> Call:
    return a_call(seed, started_at=NOW + timedelta(seconds=seconds), **fields)


def test_a_call_is_asked_for_what_its_client_was_told() -> None:
    assert asked(a_truth()) == {
        "request_model": "m",
        "response_model": "m-1",
        "no_error": True,
        "input": 7,
        "output": 3,
        "finish": ("stop",),
        "truncated": False,
    }
    assert asked(a_truth(status=429, error="http_429")) == {"error": True}
    assert asked(a_truth(client_timeout=True)) == {"error": True}


def test_a_stream_that_ended_early_has_no_usage_and_no_reason() -> None:
    told = asked(a_truth(stream=True, client_aborted=True))
    assert told.keys() == {"request_model", "response_model", "no_error", "streaming", "ttft"}

    broken = asked(a_truth(stream=True, error="cut", usage_sent=False, finish_reasons=[]))
    assert broken["no_error"] == EITHER
    assert same("no_error", False, EITHER)
    assert not same("no_error", None, EITHER)


def test_of_attempts_the_last_is_the_call() -> None:
    failed, again = a_truth(status=429, error="http_429"), a_truth()
    assert logical({"calls": [failed, again], "inference_calls": 1}) == [again]
    assert logical({"calls": [failed, again], "inference_calls": 2}) == [failed, again]


def test_calls_are_matched_by_response_id_and_else_by_time_and_kind() -> None:
    chats = [a_truth(response_id="r1"), a_truth(response_id=None), a_truth(response_id="r3")]
    embeds = a_truth(operation="embeddings")
    third = a_found("c", 0, response_id="r3")
    first = a_found("a", 9, response_id="r1")
    second = a_found("b", 5)
    vector = a_found("d", 1, operation=Operation.EMBEDDINGS)

    found = pairs([third, vector, second, first], [*chats, embeds])

    assert [ours for ours, _ in found] == [first, second, third, vector]
    assert [ours for ours, _ in pairs([], chats)] == [None, None, None]


def test_tokens_are_over_on_either_side() -> None:
    truth = {"input_tokens_total": 10, "output_tokens_total": 5}
    call = a_found("a", input_tokens=10, output_tokens=5)
    assert not is_over([call], truth)
    assert is_over([call, a_found("b", input_tokens=0, output_tokens=1)], truth)


def test_reasons_of_several_choices_may_come_in_any_order() -> None:
    assert same("finish", ("length", "stop"), ("stop", "length"))
    assert not same("finish", ("stop",), ("stop", "length"))
    assert not same("finish", None, ("stop",))
