from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import mlflow
from collector.dialects.names import named
from collector.raw import RawEvent
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import NANO, a_raw_span, read
from tidegauge.call import Operation

REQUEST = {
    "model": "m",
    "temperature": 0.2,
    "max_tokens": 20,
    "stop": ["END"],
    "messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}],
    "tools": [{"type": "function", "function": {"name": "f"}}],
}
ANSWER = {
    "id": "chatcmpl-1",
    "model": "m-2024",
    "service_tier": "default",
    "choices": [
        {"finish_reason": "length", "message": {"role": "assistant", "content": "Ho"}},
    ],
    "usage": {
        "prompt_tokens": 53,
        "completion_tokens": 79,
        "completion_tokens_details": {"reasoning_tokens": 64},
    },
}
CHAT: dict[str, Any] = {
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.message.format": '"openai"',
    "mlflow.llm.model": '"m-2024"',
    "mlflow.spanInputs": json.dumps(REQUEST),
    "mlflow.spanOutputs": json.dumps(ANSWER),
    "mlflow.chat.tokenUsage": json.dumps(
        {"input_tokens": 53, "output_tokens": 79, "cache_read_input_tokens": 16}
    ),
}
GENAI: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m-2024",
    "gen_ai.usage.input_tokens": 53,
    "gen_ai.response.finish_reasons": ["completed"],
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Ho"}]}]',
    "model": '"m"',
    "max_output_tokens": "20",
    "temperature": "0.2",
}


def chat(**changed: Any) -> dict[str, Any]:
    """Return the attributes of a chat, with some of MLflow's own changed or left out."""
    said = {f"mlflow.{name.replace('__', '.')}": value for name, value in changed.items()}
    return {name: value for name, value in (CHAT | said).items() if value is not None}


def chunks(*values: Any) -> tuple[RawEvent, ...]:
    """Return the chunks of a stream, each 10 ms after the one before."""
    return tuple(
        RawEvent(
            f"mlflow.chunk.item.{index}",
            NANO + (index + 1) * 10_000_000,
            {"mlflow.chunk.value": json.dumps(value)},
        )
        for index, value in enumerate(values)
    )


def genai(**fields: Any) -> Any:
    return a_raw_span(GENAI | fields, scope_name="mlflow.tracing.provider")


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ('"CHAT_MODEL"', Operation.CHAT),
        ('"LLM"', Operation.CHAT),
        ('"EMBEDDING"', Operation.EMBEDDINGS),
        ('"RERANKER"', Operation.RERANK),
    ],
)
def test_the_type_says_what_is_a_call(kind: str, operation: Operation) -> None:
    assert read(mlflow, a_raw_span(chat(spanType=kind))).operation is operation


@pytest.mark.parametrize("kind", ['"CHAIN"', '"AGENT"', '"TOOL"', '"UNKNOWN"'])
def test_other_types_are_no_calls(kind: str) -> None:
    raw = a_raw_span(chat(spanType=kind))

    assert mlflow.fits(raw)
    assert mlflow.normalise(raw, named(raw.attributes)) is None


def test_counts_include_cached_tokens_and_the_answer_tells_the_reasoning() -> None:
    tokens = read(mlflow, a_raw_span(CHAT)).facts.tokens

    assert tokens[:5] == (53, 79, 16, None, 64)
    assert tokens.excludes_cached is False


def test_names_and_parameters_are_in_the_request_and_the_answer() -> None:
    facts = read(mlflow, a_raw_span(CHAT)).facts

    assert (facts.provider, facts.request_model, facts.response_model) == ("openai", "m", "m-2024")
    assert (facts.response_id, facts.service_tier) == ("chatcmpl-1", "default")
    assert (facts.temperature, facts.max_tokens, facts.stop_sequences) == (0.2, 20, ("END",))


def test_messages_and_tools_are_read() -> None:
    content = read(mlflow, a_raw_span(CHAT)).content

    assert content.input == REQUEST["messages"]
    assert content.output == [{"role": "assistant", "content": "Ho"}]
    assert content.tools == REQUEST["tools"]


def test_anthropics_own_usage_is_without_cached_tokens_where_mlflow_counts_none() -> None:
    usage = {"input_tokens": 26, "output_tokens": 15, "cache_read_input_tokens": 40}
    answer = {"stop_reason": "max_tokens", "content": [{"type": "text", "text": "Ho"}]}

    reading = read(
        mlflow,
        a_raw_span(chat(chat__tokenUsage=None, spanOutputs=json.dumps(answer | {"usage": usage}))),
    )

    assert reading.facts.tokens[:3] == (26, 15, 40)
    assert reading.facts.tokens.excludes_cached is True
    assert reading.finish == ("length",)
    assert reading.content.output == [{"role": "assistant", "content": "Ho"}]


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        ({"candidates": [{"finishReason": "MAX_TOKENS"}]}, ("length",)),
        ({"object": "response", "status": "completed", "output": []}, ("stop",)),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ("content_filter",),
        ),
        ({"generations": [[{"generation_info": {"finish_reason": "stop"}}]]}, ("stop",)),
        ([{"content": "x", "response_metadata": {"finish_reason": "length"}}], ("length",)),
        ({"content": "x"}, ()),
    ],
)
def test_the_reason_is_in_the_answer_of_every_provider(
    answer: Any, finish: tuple[str, ...]
) -> None:
    raw = a_raw_span(chat(spanOutputs=json.dumps(answer)))

    assert read(mlflow, raw).finish == finish


def test_the_chunks_know_better_than_the_gathered_answer_why_a_stream_ended() -> None:
    gathered = ANSWER | {"choices": [{"finish_reason": "stop", "message": {"content": "Ho"}}]}
    events = chunks(
        {"choices": [{"index": 0, "delta": {"content": "Ho"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
        {"choices": [], "usage": {}},
    )

    reading = read(mlflow, a_raw_span(chat(spanOutputs=json.dumps(gathered)), events=events))

    assert reading.finish == ("length",)
    assert reading.first_token_s == pytest.approx(0.01)
    assert reading.facts.streaming is True


def test_the_last_event_of_responses_holds_what_the_gathered_answer_lost() -> None:
    response = {
        "id": "resp_1",
        "model": "m-2024",
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": {"input_tokens": 26, "output_tokens": 22},
    }
    events = chunks(
        {"type": "response.created"}, {"type": "response.incomplete", "response": response}
    )
    gathered: dict[str, Any] = {"object": "response", "output": [], "status": None}
    attributes = chat(chat__tokenUsage=None, llm__model='"m"', spanOutputs=json.dumps(gathered))

    reading = read(mlflow, a_raw_span(attributes, events=events))

    assert reading.facts.tokens[:2] == (26, 22)
    assert (reading.finish, reading.facts.response_model) == (("length",), "m-2024")
    assert reading.facts.response_id == "resp_1"


def test_anthropics_stream_ends_in_a_delta() -> None:
    events = chunks({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})

    assert read(mlflow, a_raw_span(CHAT, events=events)).finish == ("tool_call",)


def test_a_stream_that_was_stored_as_an_object_is_no_answer() -> None:
    attributes = chat(
        spanOutputs='"<anthropic.Stream object at 0x7f72cfbb4350>"',
        llm__model='"m"',
        spanInputs=json.dumps(REQUEST | {"stream": True}),
    )

    reading = read(mlflow, a_raw_span(attributes))

    assert reading.content.output is None
    assert (reading.facts.response_model, reading.facts.streaming) == (None, True)


def test_the_usage_of_an_embedding_is_found_behind_its_vectors() -> None:
    answer = {"data": [{"embedding": [0.1] * 8}], "usage": {"prompt_tokens": 9}}
    attributes = chat(spanType='"EMBEDDING"', chat__tokenUsage=None, spanOutputs=json.dumps(answer))

    reading = read(mlflow, a_raw_span(attributes))

    assert reading.facts.tokens.input == 9
    assert reading.content.output is None


def test_parameters_may_be_inside_of_the_request_or_bare() -> None:
    inner = chat(spanInputs=json.dumps({"model": "m", "extra_body": {"temperature": 0.5}}))
    bare = chat(spanInputs=None) | {"model": '"m"', "temperature": "0.5", "stream": "true"}

    assert read(mlflow, a_raw_span(inner)).facts.temperature == 0.5
    facts = read(mlflow, a_raw_span(bare)).facts
    assert (facts.request_model, facts.temperature, facts.streaming) == ("m", 0.5, True)


def test_a_linked_prompt_names_the_call() -> None:
    linked = json.dumps(json.dumps([{"name": "faq", "version": "3"}]))

    found = read(mlflow, a_raw_span(chat(linkedPrompts=linked))).named

    assert (found["prompt_name"], found["prompt_version"]) == ("faq", "3")


def test_its_own_cost_is_kept() -> None:
    facts = read(mlflow, a_raw_span(chat(llm__cost='{"total_cost": 0.25}'))).facts

    assert str(facts.app_cost_usd) == "0.25"


def test_genai_mode_writes_the_model_that_answered_over_the_one_asked_for() -> None:
    facts = read(mlflow, genai()).facts

    assert (facts.request_model, facts.response_model) == ("m", "m-2024")
    assert (facts.max_tokens, facts.temperature, facts.tokens.input) == (20, 0.2, 53)


@pytest.mark.parametrize(
    ("said", "message", "finish"),
    [
        (["completed"], {"content": "Ho"}, ("stop",)),
        (["incomplete"], {"content": "Ho"}, ("length",)),
        (["completed"], {"parts": [{"type": "tool_call", "name": "f"}]}, ("tool_call",)),
        (None, {"content": "Ho", "finish_reason": "length"}, ("length",)),
        (None, {"content": "Ho"}, ()),
    ],
)
def test_genai_mode_writes_a_status_for_a_reason(
    said: Any, message: dict[str, Any], finish: tuple[str, ...]
) -> None:
    output = json.dumps([{"role": "assistant", **message}])

    raw = genai(**{"gen_ai.response.finish_reasons": said, "gen_ai.output.messages": output})

    assert read(mlflow, raw).finish == finish


@pytest.mark.parametrize(
    "attributes",
    [
        CHAT,
        chat(
            spanType='"EMBEDDING"',
            chat__tokenUsage=None,
            spanOutputs='{"data": [], "usage": {"prompt_tokens": 9}}',
            linkedPrompts='[{"name": "faq", "version": "3"}]',
            llm__cost='{"total_cost": 1}',
            spanInputs=None,
        )
        | {"model": '"m"', "invocation_params": "{}"},
    ],
)
def test_no_value_makes_it_raise(attributes: dict[str, Any]) -> None:
    assert survives(mlflow, a_raw_span(attributes))


def test_no_chunk_makes_it_raise() -> None:
    chunk = {"choices": [{"index": 0, "finish_reason": "stop"}], "response": {"status": "x"}}
    delta = {"delta": {"stop_reason": "end_turn"}, "message": {"usage": {"input_tokens": 1}}}

    assert survives(mlflow, a_raw_span({"mlflow.spanType": '"LLM"'}, events=chunks(chunk, delta)))
    assert survives(mlflow, genai())


def test_the_schema_in_the_request_is_kept() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    inputs = json.dumps({"model": "m", "response_format": form})
    raw = a_raw_span({"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": inputs})

    found = read(mlflow, raw).facts

    assert (found.output_type, found.schema) == ("json", form)
