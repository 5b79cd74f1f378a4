from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import agno
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read

SCOPE = "openinference.instrumentation.agno"
LLM = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o-mini",
    "llm.provider": "OpenAI",
    "llm.token_count.prompt": 26,
    "llm.token_count.completion": 15,
    "output.value": '[{"role": "assistant", "content": "Paris"}]',
    "llm.output_messages.0.message.role": "assistant",
}


def a_span(attributes: dict[str, Any], name: str = "OpenAIChat.ainvoke") -> Any:
    return a_raw_span(attributes, name=name, scope_name=SCOPE)


def test_the_model_is_the_one_asked_for_and_nothing_says_why_it_stopped() -> None:
    reading = read(agno, a_span(LLM))

    assert (reading.facts.request_model, reading.facts.response_model) == ("gpt-4o-mini", None)
    assert (reading.dialect, reading.finish, reading.facts.provider) == ("agno", (), "openai")


@pytest.mark.parametrize("name", ["OpenAIChat.invoke_stream", "Claude.ainvoke_stream"])
def test_the_name_of_the_span_tells_that_an_answer_was_streamed(name: str) -> None:
    assert read(agno, a_span(LLM, name)).facts.streaming is True
    assert read(agno, a_span(LLM)).facts.streaming is None


@pytest.mark.parametrize(
    ("provider", "model", "excludes"),
    [
        ("Anthropic", "claude-sonnet-4-5", True),
        ("AwsBedrock", "amazon.nova-lite-v1:0", True),
        ("VertexAI", "claude-sonnet-4-5", True),
        ("OpenAI", "gpt-4o-mini", None),
    ],
)
def test_the_counts_of_anthropic_and_bedrock_are_copied_without_cached_tokens(
    provider: str, model: str, excludes: bool | None
) -> None:
    attributes = LLM | {"llm.provider": provider, "llm.model_name": model}

    assert read(agno, a_span(attributes)).facts.tokens.excludes_cached is excludes


def test_providers_have_the_names_of_opentelemetry() -> None:
    facts = read(agno, a_span(LLM | {"llm.provider": "AwsBedrock"})).facts

    assert facts.provider == "aws.bedrock"


def test_agents_and_tools_are_no_calls_and_other_scopes_are_not_agno() -> None:
    agent = {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 26}

    assert agno.normalise(a_span(agent), named(agent)) is None
    assert not agno.fits(a_raw_span(LLM, scope_name="openinference.instrumentation.openai"))
