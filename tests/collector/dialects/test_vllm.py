from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import normalise, vllm
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import NotCounted, Operation

REQUEST = {
    "gen_ai.latency.time_to_first_token": 0.25,
    "gen_ai.latency.e2e": 2.0,
    "gen_ai.usage.prompt_tokens": 26,
    "gen_ai.usage.completion_tokens": 15,
    "gen_ai.request.id": "chatcmpl-1",
    "gen_ai.request.top_p": 0.9,
    "gen_ai.request.max_tokens": 15,
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.n": 1,
}


def a_span(attributes: dict[str, Any], name: str = "llm_request") -> Any:
    return a_raw_span(attributes, name=name, kind=2, scope_name="vllm.llm_engine")


def test_a_request_to_the_server_is_a_call() -> None:
    reading = read(vllm, a_span(REQUEST))

    found = reading.facts
    assert (found.tokens.input, found.tokens.output) == (26, 15)
    assert (found.temperature, found.top_p, found.max_tokens) == (0.2, 0.9, 15)
    assert found.response_id == "chatcmpl-1"


def test_a_server_knows_the_first_token_of_an_answer_that_was_not_streamed() -> None:
    call = normalise(a_span(REQUEST), "p")

    assert (call.time_to_first_token_s, call.streaming) == (0.25, None)


@pytest.mark.parametrize(
    ("request_id", "response_id", "operation"),
    [
        ("chatcmpl-7f3a", "chatcmpl-7f3a", Operation.CHAT),
        ("cmpl-7f3a-0", "cmpl-7f3a", Operation.TEXT_COMPLETION),
        ("cmpl-7", "cmpl-7", Operation.TEXT_COMPLETION),
        ("embd-7f3a-0", "embd-7f3a-0", Operation.EMBEDDINGS),
    ],
)
def test_the_id_of_a_request_tells_what_was_asked_for(
    request_id: str, response_id: str, operation: Operation
) -> None:
    reading = read(vllm, a_span(REQUEST | {"gen_ai.request.id": request_id}))

    assert (reading.facts.response_id, reading.operation) == (response_id, operation)


def test_the_parts_of_a_request_and_the_server_itself_are_no_calls() -> None:
    call = normalise(a_span({"gen_ai.request.id": "chatcmpl-1"}, "prefill_forward"), "p")

    assert (call.dialect, call.not_counted) == ("vllm", NotCounted.WRAPPER)


def test_another_server_with_the_same_names_is_read_with_its_cached_tokens() -> None:
    raw = a_raw_span(REQUEST | {"gen_ai.usage.cached_tokens": 16}, name="Req 1", kind=2)

    assert read(vllm, raw).facts.tokens.cache_read == 16


def test_no_value_makes_it_raise() -> None:
    assert survives(vllm, a_span(REQUEST)) > 50
