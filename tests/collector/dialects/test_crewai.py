from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import crewai
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read

SCOPE = "openinference.instrumentation.crewai"
LLM = {
    "openinference.span.kind": "LLM",
    "llm.token_count.prompt": 26,
    "llm.token_count.completion": 15,
    "llm.tools": '[{"type": "function", "function": {"name": "f"}}]',
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Hi",
}
ITS_OWN = {
    "crewai.event_name": "llm_call_completed",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "openai/gpt-4o-mini",
    "gen_ai.response.model": "openai/gpt-4o-mini",
    "gen_ai.usage.input_tokens": 26,
}


def test_the_name_of_the_span_names_the_model_and_tools_come_as_one_text() -> None:
    raw = a_raw_span(LLM, name="openai/gpt-4o-mini.llm_call", scope_name=SCOPE)

    reading = read(crewai, raw)

    assert (reading.facts.request_model, reading.facts.provider) == ("gpt-4o-mini", "openai")
    assert reading.content.tools == [{"type": "function", "function": {"name": "f"}}]


def test_a_span_of_a_model_without_a_name_has_none() -> None:
    raw = a_raw_span(LLM, name="unknown.llm_call", scope_name=SCOPE)

    assert read(crewai, raw).facts.request_model is None


def test_its_own_spans_repeat_the_model_asked_for_as_the_one_that_answered() -> None:
    reading = read(crewai, a_raw_span(ITS_OWN, name="call llm"))

    assert (reading.dialect, reading.facts.request_model) == ("crewai", "gpt-4o-mini")
    assert reading.facts.response_model is None


def test_a_failed_call_of_its_own_has_no_reason_to_have_ended() -> None:
    attributes = ITS_OWN | {"gen_ai.response.finish_reasons": ["error"]}

    assert read(crewai, a_raw_span(attributes, name="call llm", status=2)).finish == ()


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"crewai_version": "1.15", "crew_key": "k"}, "Crew Created"),
        ({"openinference.span.kind": "CHAIN", "llm.token_count.total": 41}, "Crew.kickoff"),
        (ITS_OWN | {"gen_ai.operation.name": "invoke_agent"}, "execute agent"),
    ],
)
def test_crews_agents_and_its_statistics_are_no_calls(
    attributes: dict[str, Any], name: str
) -> None:
    raw = a_raw_span(attributes, name=name, scope_name="crewai.telemetry")

    assert crewai.fits(raw)
    assert crewai.normalise(raw, named(attributes)) is None
