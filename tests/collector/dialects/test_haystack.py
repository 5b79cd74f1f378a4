from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.dialects import haystack, normalise
from collector.dialects.names import named
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import NANO, a_raw_span, read
from tidegauge.call import Operation

USAGE = {
    "prompt_tokens": 26,
    "completion_tokens": 15,
    "total_tokens": 41,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
META = {"model": "gpt-4o-mini-2024-07-18", "index": 0, "finish_reason": "length", "usage": USAGE}
SENT = {
    "messages": [
        {"role": "system", "meta": {}, "name": None, "content": [{"text": "Be brief."}]},
        {"role": "user", "meta": {}, "name": None, "content": [{"text": "Hi"}]},
    ],
    "generation_kwargs": {"temperature": 0.2, "max_tokens": 15},
}
TOOL = {"tool_call": {"tool_name": "f", "arguments": {"x": 1}, "id": "c", "extra": None}}
RECEIVED = {
    "replies": [{"role": "assistant", "meta": META, "name": None, "content": [{"text": "Ho"}]}]
}


def a_component(kind: str, received: Any = None, sent: Any = None, **fields: Any) -> Any:
    attributes = {"haystack.component.name": "llm", "haystack.component.type": kind}
    if sent is not None:
        attributes["haystack.component.input"] = json.dumps(sent)
    if received is not None:
        attributes["haystack.component.output"] = json.dumps(received)
    usual = {"name": "haystack.component.run", "kind": 1, "scope_name": "my-tracer"}
    return a_raw_span(attributes, **(usual | fields))


def a_reply(meta: dict[str, Any], *parts: Any) -> dict[str, Any]:
    return {"replies": [{"role": "assistant", "meta": meta, "content": list(parts)}]}


def test_everything_of_a_call_is_in_the_answer_of_a_generator() -> None:
    reading = read(haystack, a_component("OpenAIChatGenerator", RECEIVED, SENT))

    found, tokens = reading.facts, reading.facts.tokens
    assert (found.provider, found.response_model) == ("openai", "gpt-4o-mini-2024-07-18")
    assert (found.request_model, found.streaming) == (None, None)
    assert (tokens.input, tokens.output, tokens.cache_read, tokens.reasoning) == (26, 15, 16, 3)
    assert (found.temperature, found.max_tokens) == (0.2, 15)
    assert reading.finish == ("length",)
    assert reading.content.input == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert reading.content.output == [{"role": "assistant", "content": "Ho"}]


def test_a_step_of_an_agent_is_a_call_and_the_agent_is_none() -> None:
    step = a_raw_span(
        {"haystack.agent.step.llm.output": json.dumps(RECEIVED)}, name="haystack.agent.step.llm"
    )
    agent = a_raw_span(
        {"haystack.agent.output": json.dumps({"messages": RECEIVED["replies"]})},
        name="haystack.agent.run",
    )

    assert read(haystack, step).facts.tokens.input == 26
    assert haystack.normalise(agent, named(agent.attributes)) is None


@pytest.mark.parametrize(
    "kind", ["Agent", "PromptBuilder", "ToolInvoker", "OpenAIImageGenerator", "InMemoryRetriever"]
)
def test_other_components_are_none(kind: str) -> None:
    raw = a_component(kind, RECEIVED)

    assert haystack.normalise(raw, named(raw.attributes)) is None


def test_answers_that_are_plain_texts_have_what_is_told_of_them_beside() -> None:
    received = {"replies": ["Ho", "Hey"], "meta": [META, {**META, "finish_reason": "stop"}]}

    reading = read(haystack, a_component("OpenAIGenerator", received, {"prompt": "Hi"}))

    assert reading.finish == ("length", "stop")
    assert reading.content.input == [{"role": "user", "content": "Hi"}]
    assert [item["content"] for item in reading.content.output or []] == ["Ho", "Hey"]
    assert reading.facts.tokens.output == 15


def test_calls_of_tools_and_their_answers_are_read() -> None:
    result = {"tool_call_result": {"result": "18", "origin": TOOL["tool_call"], "error": False}}
    sent = {"messages": [{"role": "tool", "content": [result]}]}
    received = a_reply(META, {"reasoning": {"reasoning_text": "hm"}}, TOOL)

    content = read(haystack, a_component("OpenAIChatGenerator", received, sent)).content

    assert content.input == [{"role": "tool", "content": "18", "tool_call_id": "c"}]
    assert content.output == [
        {
            "role": "assistant",
            "content": None,
            "reasoning": "hm",
            "tool_calls": [{"id": "c", "name": "f", "arguments": {"x": 1}}],
        }
    ]


@pytest.mark.parametrize("zone", ["", "+00:00"])
def test_the_time_of_the_first_chunk_says_that_it_streamed(zone: str) -> None:
    first = datetime.fromtimestamp(NANO / 1e9 + 0.25, UTC).replace(tzinfo=None)
    received = a_reply({**META, "completion_start_time": first.isoformat() + zone})

    reading = read(haystack, a_component("OpenAIChatGenerator", received))

    assert reading.facts.streaming is True
    assert reading.first_token_s == pytest.approx(0.25)


def test_a_local_time_in_another_zone_is_the_same_moment() -> None:
    first = datetime.fromtimestamp(NANO / 1e9 + 0.25 + 5.5 * 3_600, UTC).replace(tzinfo=None)
    received = a_reply({**META, "completion_start_time": first.isoformat()})

    reading = read(haystack, a_component("OpenAIChatGenerator", received))

    assert reading.first_token_s == pytest.approx(0.25)


def test_a_call_without_content_is_one_of_which_nothing_is_known() -> None:
    call = normalise(a_component("OpenAIChatGenerator"), "p")

    assert (call.dialect, call.not_counted, call.operation) == ("haystack", None, Operation.CHAT)
    assert (call.input_tokens, call.response_model, call.finish_reasons) == (None, None, ())


def test_an_embedder_is_a_call_where_a_provider_answered() -> None:
    meta = {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    by_provider = a_component("OpenAITextEmbedder", {"embedding": [0.1], "meta": meta})
    local = a_component("SentenceTransformersTextEmbedder", {"embedding": [0.1]})

    reading = read(haystack, by_provider)

    assert (reading.operation, reading.facts.tokens.input) == (Operation.EMBEDDINGS, 4)
    assert haystack.normalise(local, named(local.attributes)) is None


def test_anthropics_input_has_its_cached_tokens_added() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 8}
    raw = a_component("AnthropicChatGenerator", a_reply({"model": "claude-x", "usage": usage}))

    call = normalise(raw, "p")

    assert (call.input_tokens, call.cached_input_tokens) == (18, 8)


def test_no_value_makes_it_raise() -> None:
    assert survives(haystack, a_component("OpenAIChatGenerator", RECEIVED, SENT)) > 100
    assert survives(haystack, a_component("OpenAITextEmbedder", {"meta": META})) > 20
