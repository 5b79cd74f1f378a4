from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import genai, normalise
from collector.dialects.names import named
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, an_event, read
from tidegauge.call import Operation

CHAT = {"gen_ai.operation.name": "chat"}
DETAILS = "gen_ai.client.inference.operation.details"
OF_1_26 = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.prompt_tokens": 10,
    "gen_ai.usage.completion_tokens": 2,
}


def test_new_names_win_over_old_ones_and_are_never_added() -> None:
    reading = read(
        genai,
        a_raw_span(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.usage.prompt_tokens": 10,
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.cache_creation.input_tokens": "3",
                "gen_ai.system": "aws",
                "gen_ai.provider.name": "aws.bedrock",
            }
        ),
    )

    tokens = reading.facts.tokens
    assert (tokens.input, tokens.cache_write) == (12, 3)
    assert reading.facts.provider == "aws.bedrock"


def test_old_names_alone_are_read() -> None:
    reading = read(
        genai,
        a_raw_span(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.usage.prompt_tokens": 10,
                "gen_ai.usage.completion_tokens": 2,
                "gen_ai.openai.request.response_format": "json_schema",
            }
        ),
    )

    assert (reading.facts.tokens.input, reading.facts.tokens.output) == (10, 2)
    assert reading.facts.output_type == "json"


def test_messages_are_read_from_one_event_each() -> None:
    choice = {"finish_reason": "max_tokens", "message": '{"content": "Ho"}'}
    events = (
        an_event("gen_ai.system.message", {"content": "Be brief."}),
        an_event("gen_ai.user.message", {"gen_ai.event.content": '{"content": "Hi"}'}),
        an_event("gen_ai.choice", choice),
    )

    reading = read(genai, a_raw_span(CHAT, events=events))

    assert reading.content.input == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert reading.content.output == [
        {"role": "assistant", "content": "Ho", "finish_reason": "max_tokens"}
    ]
    assert reading.finish == ("length",)


def test_messages_are_read_from_the_event_with_all_details() -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "Ho"}]}]
    event = an_event(
        "gen_ai.client.inference.operation.details",
        {
            "gen_ai.input.messages": said,
            "gen_ai.output.messages": json.dumps([{**said[0], "finish_reason": "end_turn"}]),
        },
    )

    reading = read(genai, a_raw_span(CHAT, events=(event,)))

    assert reading.content.input == [{"role": "assistant", "content": "Ho"}]
    assert reading.finish == ("stop",)


def test_messages_of_1_26_are_read_from_an_event_for_each_side() -> None:
    events = (
        an_event("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role":"user","content":"Hi"}]'}),
        an_event("gen_ai.content.completion", {"gen_ai.completion": "Ho"}),
    )

    content = read(genai, a_raw_span(CHAT, events=events)).content

    assert content.input == [{"role": "user", "content": "Hi"}]
    assert content.output == [{"role": "assistant", "content": "Ho"}]


def test_parts_become_text_tool_calls_and_reasoning() -> None:
    sent = [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "18"}]},
        {"role": "user", "parts": [{"type": "uri", "uri": "https://example.org/a.png"}]},
    ]
    answer = [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "a"},
                {"type": "text", "content": "b"},
                {"type": "tool_call", "id": "d", "name": "f", "arguments": {"x": 1}},
            ],
        }
    ]
    attributes = {
        "gen_ai.input.messages": json.dumps(sent),
        "gen_ai.output.messages": answer,  # structured, where the SDK can
    }

    content = read(genai, a_raw_span(CHAT | attributes)).content

    assert content.input == [
        {"role": "tool", "content": "18", "tool_call_id": "c"},
        {
            "role": "user",
            "content": None,
            "parts": [{"type": "uri", "uri": "https://example.org/a.png"}],
        },
    ]
    assert content.output == [
        {
            "role": "assistant",
            "content": "a\nb",
            "reasoning": "hm",
            "tool_calls": [{"id": "d", "name": "f", "arguments": {"x": 1}}],
        }
    ]


def test_a_span_of_1_26_is_a_call_though_its_operation_has_no_name() -> None:
    reading = read(genai, a_raw_span(OF_1_26, name="chat gpt-4"))

    assert (reading.operation, reading.finish) == (Operation.CHAT, ("stop",))
    assert reading.facts.tokens[:2] == (10, 2)
    assert read(genai, a_raw_span(OF_1_26, name="embeddings m")).operation is Operation.EMBEDDINGS


@pytest.mark.parametrize(
    ("name", "attributes", "kind"),
    [
        ("agent run", {}, 3),
        ("my_workflow", {}, 1),
        ("geo", {"gen_ai.agent.name": "geo"}, 1),
        ("f", {"gen_ai.tool.name": "f"}, 1),
    ],
)
def test_what_stands_around_calls_is_none_without_the_name_of_an_operation_too(
    name: str, attributes: dict[str, Any], kind: int
) -> None:
    raw = a_raw_span(OF_1_26 | attributes, name=name, kind=kind)

    assert genai.normalise(raw, named(raw.attributes)) is None


def test_a_model_alone_makes_no_call_of_a_span_inside_of_the_application() -> None:
    told = {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4"}
    inside, client = (a_raw_span(told, kind=kind) for kind in (1, 3))

    assert genai.normalise(inside, named(told)) is None
    assert genai.normalise(client, named(told)) is not None  # one that failed


@pytest.mark.parametrize(
    "word",
    ["cache_write.input_tokens", "cache_creation.input_tokens", "cache_creation_input_tokens"],
)
def test_every_name_for_tokens_written_into_the_cache_is_read(word: str) -> None:
    told = {f"gen_ai.usage.{word}": 3, "gen_ai.usage.reasoning.output_tokens": 5}

    tokens = read(genai, a_raw_span(CHAT | told)).facts.tokens

    assert (tokens.cache_write, tokens.reasoning) == (3, 5)


def test_counts_by_modality_are_summed_only_where_nothing_tells_their_sum() -> None:
    parts = {
        "gen_ai.usage.text.input_tokens": 20,
        "gen_ai.usage.image.input_tokens": "11",
        "gen_ai.usage.text.output_tokens": 15,
        "gen_ai.usage.audio.output_tokens": None,
    }

    alone = read(genai, a_raw_span(CHAT | parts)).facts.tokens
    summed = read(genai, a_raw_span(CHAT | parts | {"gen_ai.usage.input_tokens": 31})).facts.tokens

    assert (alone.input, alone.output) == (31, 15)
    assert (summed.input, summed.output) == (31, 15)


def test_two_events_with_details_tell_one_side_each() -> None:
    said = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    answer = [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "Ho"}],
            "finish_reason": "length",
        }
    ]
    events = (
        an_event(DETAILS, {"gen_ai.input.messages": said, "gen_ai.request.model": "m"}),
        an_event(DETAILS, {"gen_ai.output.messages": answer, "gen_ai.usage.output_tokens": 4}),
    )

    reading = read(genai, a_raw_span(CHAT, events=events))

    assert reading.content.input == [{"role": "user", "content": "Hi"}]
    assert reading.finish == ("length",)
    assert (reading.facts.request_model, reading.facts.tokens.output) == ("m", 4)


def test_what_the_span_says_stands_before_what_its_event_says() -> None:
    events = (an_event(DETAILS, {"gen_ai.usage.output_tokens": 9}),)

    reading = read(genai, a_raw_span(CHAT | {"gen_ai.usage.output_tokens": 4}, events=events))

    assert reading.facts.tokens.output == 4


def test_a_stream_that_its_client_closed_is_no_error() -> None:
    closed = CHAT | {"gen_ai.response.finish_reasons": ["error"]}

    call = normalise(a_raw_span(closed), "p")

    assert (call.error_type, call.finish_reasons, call.truncated) == (None, ("error",), None)


def test_an_answer_that_is_json_stays_the_text_that_it_was() -> None:
    events = (an_event("gen_ai.choice", {"content": '{"temp": 18}', "finish_reason": "stop"}),)

    output = read(genai, a_raw_span(CHAT, events=events)).content.output

    assert output == [{"role": "assistant", "content": '{"temp": 18}', "finish_reason": "stop"}]


def of_bedrock(method: str, model: str, **told: Any) -> Any:
    plain = CHAT | {"rpc.method": method, "gen_ai.request.model": model}
    counts = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    scope = "opentelemetry.instrumentation.botocore.bedrock-runtime"
    return a_raw_span(plain | counts | told, scope_name=scope)


def test_bedrock_counts_cached_tokens_beside_the_input() -> None:
    cached = {"gen_ai.usage.cache_read.input_tokens": 4, "retry_attempts": 1}

    call = normalise(of_bedrock("ConverseStream", "anthropic.claude", **cached), "p")

    assert (call.input_tokens, call.cached_input_tokens) == (14, 4)
    assert (call.streaming, call.attempts) == (True, 2)


@pytest.mark.parametrize(
    ("method", "model", "estimated"),
    [
        ("InvokeModel", "mistral.mistral-7b-instruct-v0:2", True),
        ("InvokeModel", "cohere.command-r-v1:0", True),
        ("Converse", "mistral.mistral-7b-instruct-v0:2", False),
        ("InvokeModel", "anthropic.claude", False),
    ],
)
def test_counts_made_from_the_lengths_of_texts_are_estimates(
    method: str, model: str, estimated: bool
) -> None:
    assert read(genai, of_bedrock(method, model)).facts.tokens.estimated is estimated


def test_the_provider_is_who_offers_the_model_and_not_a_framework() -> None:
    told = CHAT | {"gen_ai.system": "mine", "gen_ai.request.model": "gpt-4o-mini"}
    reading = read(genai, a_raw_span(told))

    assert genai.offered_by_another(reading, "mine").facts.provider == "openai"
    assert genai.offered_by_another(reading, "other").facts.provider == "mine"


def test_no_value_makes_it_raise() -> None:
    message = [{"role": "user", "parts": [{"type": "tool_call", "id": "c", "name": "f"}]}]
    events = (
        an_event("gen_ai.user.message", {"content": '[{"text": "Hi"}]', "role": "user"}),
        an_event("gen_ai.choice", {"message": '{"content": "Ho"}', "finish_reason": "stop"}),
        an_event(DETAILS, {"gen_ai.output.messages": json.dumps(message)}),
    )
    told = CHAT | OF_1_26 | {"gen_ai.input.messages": json.dumps(message)}

    assert survives(genai, a_raw_span(told, events=events)) > 100
    assert survives(genai, a_raw_span(OF_1_26, events=events)) > 100


@pytest.mark.parametrize(("used", "finish"), [(16, ("length",)), (9, ("error",))])
def test_an_error_that_is_none_at_the_limit_is_an_answer_that_was_cut(
    used: int, finish: tuple[str, ...]
) -> None:
    told = CHAT | {
        "gen_ai.response.finish_reasons": ["error"],
        "gen_ai.request.max_tokens": 16,
        "gen_ai.usage.output_tokens": used,
    }

    assert read(genai, a_raw_span(told)).finish == finish
    assert read(genai, a_raw_span(told, status=2)).finish == ("error",)


def test_the_events_of_googles_kit_hold_messages_in_the_form_of_gemini() -> None:
    def part(**told: Any) -> dict[str, Any]:
        return {"parts": [{"text": None, "function_call": None, "thought": None} | told]}

    call: dict[str, Any] = {"id": None, "name": "get_weather", "args": {}, "will_continue": None}
    events = (
        an_event("gen_ai.user.message", {"content": {**part(text="Weather?"), "role": "user"}}),
        an_event("gen_ai.choice", {"content": {**part(text="Let me "), "role": "model"}}),
        an_event("gen_ai.choice", {"content": part(text="see."), "finish_reason": None}),
        an_event("gen_ai.choice", {"content": part(function_call=call), "finish_reason": "STOP"}),
    )

    content = read(genai, a_raw_span(CHAT, events=events)).content

    assert content.input == [{"role": "user", "content": "Weather?"}]
    assert content.output == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": None, "name": "get_weather", "arguments": {}}],
            "finish_reason": "STOP",
        }
    ]


def test_pieces_in_the_form_of_gemini_join_whatever_stood_before() -> None:
    events = (
        an_event("gen_ai.choice", {"content": 7, "tool_calls": 7}),
        an_event("gen_ai.choice", {"content": {"parts": [None, 7, {"text": "a"}], "role": []}}),
    )

    output = read(genai, a_raw_span(CHAT, events=events)).content.output

    assert output is not None
    assert [item["role"] for item in output] == ["assistant"]
