from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import normalise, spring_ai
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import NotCounted, Operation

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "spring_ai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.request.temperature": "0.2",
    "gen_ai.request.max_tokens": "200",
    "gen_ai.request.stop_sequences": '["END", "\\n"]',
    "gen_ai.response.finish_reasons": '["STOP", "LENGTH"]',
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": "26",
    "gen_ai.usage.output_tokens": "15",
    "gen_ai.usage.total_tokens": "41",
    "gen_ai.usage.cache_read.input_tokens": "16",
    "gen_ai.request.stream": "true",
}


def a_span(attributes: dict[str, Any], **fields: Any) -> Any:
    return a_raw_span(attributes, scope_name="org.springframework.boot", **fields)


def test_every_value_is_a_text() -> None:
    reading = read(spring_ai, a_span(CALL))

    found = reading.facts
    assert found.tokens[:3] == (26, 15, 16)
    assert (found.temperature, found.max_tokens, found.streaming) == (0.2, 200, True)
    assert found.stop_sequences == ("END", "\n")
    assert reading.finish == ("stop", "length")


def test_the_framework_is_not_the_provider() -> None:
    assert read(spring_ai, a_span(CALL)).facts.provider == "openai"


def test_none_is_no_model() -> None:
    found = read(spring_ai, a_span(CALL | {"gen_ai.request.model": "none"})).facts

    assert found.request_model is None


@pytest.mark.parametrize("kind", ["chat_client", "advisor", "tool_call", "vector_store"])
def test_what_stands_around_a_call_is_none(kind: str) -> None:
    told = {"gen_ai.operation.name": "framework", "gen_ai.system": "spring_ai"}

    call = normalise(a_span(told | {"spring.ai.kind": kind}), "p")

    assert (call.dialect, call.not_counted) == ("spring_ai", NotCounted.WRAPPER)


def test_embeddings_are_calls() -> None:
    call = normalise(a_span(CALL | {"gen_ai.operation.name": "embedding"}), "p")

    assert call.operation is Operation.EMBEDDINGS


def test_other_spans_of_the_same_scope_are_not_its_own() -> None:
    assert not spring_ai.fits(a_span({"http.request.method": "GET"}))


def test_no_value_makes_it_raise() -> None:
    assert survives(spring_ai, a_span(CALL)) > 100
