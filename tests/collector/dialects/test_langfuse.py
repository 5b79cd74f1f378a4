from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import langfuse, normalise
from collector.dialects.names import named
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import Operation

PRE = "langfuse.observation."
DEFAULTS = {
    "temperature": 1,
    "max_tokens": "Infinity",
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}
GENERATION: dict[str, Any] = {
    PRE + "type": "generation",
    PRE + "model.name": "gpt-4o-mini-2024-07-18",
    PRE + "model.parameters": json.dumps(DEFAULTS),
    PRE + "input": json.dumps(
        {
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "messages": [{"role": "user", "content": "Hi"}],
        }
    ),
    PRE + "output": json.dumps({"role": "assistant", "content": "Ho"}),
    PRE + "usage_details": json.dumps(
        {
            "prompt_tokens": 53,
            "completion_tokens": 79,
            "total_tokens": 132,
            "prompt_tokens_details": {"cached_tokens": 16},
            "completion_tokens_details": {"reasoning_tokens": 64},
        }
    ),
    PRE + "metadata.finish_reason": '"length"',
    PRE + "metadata.incomplete_details": '{"reason":"max_output_tokens"}',
}


def generation(**changed: Any) -> dict[str, Any]:
    """Return the attributes of a generation, with some of Langfuse's own changed or left out."""
    said = {PRE + name.replace("__", "."): value for name, value in changed.items()}
    kept = {name: value for name, value in GENERATION.items() if ".metadata." not in name}
    return {name: value for name, value in (kept | said).items() if value is not None}


def tokens_of(usage: dict[str, int]) -> Any:
    return read(langfuse, a_raw_span(generation(usage_details=json.dumps(usage)))).facts.tokens


@pytest.mark.parametrize(
    ("kind", "operation"),
    [("generation", Operation.CHAT), ("embedding", Operation.EMBEDDINGS)],
)
def test_generations_and_embeddings_are_calls(kind: str, operation: Operation) -> None:
    assert read(langfuse, a_raw_span(generation(type=kind))).operation is operation


@pytest.mark.parametrize("kind", ["span", "agent", "chain", "tool", "retriever", "event"])
def test_other_observations_are_no_calls(kind: str) -> None:
    raw = a_raw_span(generation(type=kind))

    assert langfuse.fits(raw)
    assert langfuse.normalise(raw, named(raw.attributes)) is None


def test_the_providers_usage_is_read_as_it_is() -> None:
    tokens = read(langfuse, a_raw_span(generation())).facts.tokens

    assert tokens[:6] == (53, 79, 16, None, 64, 132)
    assert tokens.excludes_cached is None


def test_the_buckets_of_the_langchain_handler_are_disjoint() -> None:
    tokens = tokens_of(
        {"input": 37, "input_cache_read": 16, "output": 15, "output_reasoning": 64, "total": 132}
    )

    assert tokens[:6] == (53, 79, 16, None, 64, 132)
    assert (tokens.excludes_cached, tokens.excludes_reasoning) == (False, False)


def test_a_total_tells_that_the_buckets_are_not_disjoint() -> None:
    tokens = tokens_of({"input": 53, "input_cache_read": 16, "output": 79, "total": 132})

    assert (tokens.input, tokens.output, tokens.cache_read) == (53, 79, 16)


def test_the_usage_of_an_embedding_has_one_side() -> None:
    assert tokens_of({"input": 9})[:2] == (9, None)


def test_parameters_that_nobody_set_are_not_known() -> None:
    facts = read(langfuse, a_raw_span(generation())).facts

    assert (facts.temperature, facts.top_p, facts.max_tokens) == (None, None, None)


def test_parameters_that_were_set_are_known() -> None:
    asked = DEFAULTS | {"temperature": 1.0, "top_p": 0.9, "max_output_tokens": 20}

    facts = read(langfuse, a_raw_span(generation(model__parameters=json.dumps(asked)))).facts

    assert (facts.temperature, facts.top_p, facts.max_tokens) == (1.0, 0.9, 20)


def test_a_one_that_the_application_wrote_by_itself_is_kept() -> None:
    raw = a_raw_span(generation(model__parameters='{"temperature": 1}'))

    assert read(langfuse, raw).facts.temperature == 1.0


@pytest.mark.parametrize(
    ("name", "level", "asked_for", "answered"),
    [
        ("gpt-4o-mini-2024-07-18", None, None, "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-mini", None, "gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "ERROR", "gpt-4o-mini-2024-07-18", None),
    ],
)
def test_the_model_named_is_the_one_that_answered(
    name: str, level: str | None, asked_for: str | None, answered: str | None
) -> None:
    facts = read(langfuse, a_raw_span(generation(model__name=name, level=level))).facts

    assert (facts.request_model, facts.response_model) == (asked_for, answered)


def test_the_first_token_is_told_as_a_time_of_day() -> None:
    started = '"2023-11-14T22:13:20.250000Z"'

    reading = read(langfuse, a_raw_span(generation(completion_start_time=started)))

    assert reading.first_token_s == pytest.approx(0.25, abs=1e-6)
    assert reading.facts.streaming is True


@pytest.mark.parametrize("started", ['"1999-01-01T00:00:00Z"', "soon", "{}", 7])
def test_a_time_outside_of_the_span_is_no_first_token(started: Any) -> None:
    raw = a_raw_span(generation(completion_start_time=started))

    assert read(langfuse, raw).first_token_s is None


def test_an_error_without_an_error_status_is_an_error() -> None:
    raw = a_raw_span(generation(level="ERROR", status_message="Error code: 429 - slow down"))

    assert "429" in read(langfuse, raw).named["error_type"]


@pytest.mark.parametrize(
    ("attributes", "finish"),
    [
        (GENERATION, ("length",)),
        (generation(metadata__status='"incomplete"', metadata__incomplete_details='{"reason":"content_filter"}'), ("content_filter",)),
        (generation(output='[{"type":"message","status":"completed","content":[]}]'), ("stop",)),
        (generation(output='{"type":"message","status":"incomplete","content":[]}'), ("length",)),
        (generation(output='{"type":"function_call","status":"completed","name":"f"}'), ("tool_call",)),
        (generation(output='{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}'), ("tool_call",)),
        (generation(output='{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\\"a"}}]}'), ()),
        (generation(), ()),
    ],
)  # fmt: skip
def test_the_reason_is_told_seldom(attributes: dict[str, Any], finish: tuple[str, ...]) -> None:
    assert read(langfuse, a_raw_span(attributes)).finish == finish


def test_messages_and_tools_are_read() -> None:
    content = read(langfuse, a_raw_span(generation())).content

    assert content.input == [{"role": "user", "content": "Hi"}]
    assert content.output == [{"role": "assistant", "content": "Ho"}]
    assert content.tools == [{"type": "function", "function": {"name": "f"}}]


def test_plain_text_and_instructions_are_messages() -> None:
    attributes = generation(input="Hi", output="Ho", metadata__instructions='"Be terse."')

    content = read(langfuse, a_raw_span(attributes)).content

    assert content.input == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
    ]
    assert content.output == [{"role": "assistant", "content": "Ho"}]


def test_its_own_cost_is_kept() -> None:
    facts = read(langfuse, a_raw_span(generation(cost_details='{"total": 0.25}'))).facts

    assert str(facts.app_cost_usd) == "0.25"


@pytest.mark.parametrize(
    "attributes",
    [
        GENERATION,
        generation(
            level="ERROR",
            status_message="x",
            completion_start_time='"2023-11-14T22:13:20Z"',
            cost_details='{"total": 1}',
            metadata__status='"incomplete"',
            metadata__response_format='{"type":"json_object"}',
            output='[{"type":"message","status":"completed","content":[{"text":"x"}]}]',
            usage_details='{"input": 1, "input_cache_read": 2, "output": 3, "total": 6}',
        ),
    ],
)
def test_no_value_makes_it_raise(attributes: dict[str, Any]) -> None:
    assert survives(langfuse, a_raw_span(attributes))


def test_its_own_environment_and_release_are_those_of_the_service() -> None:
    told = {"langfuse.environment": "staging", "langfuse.release": "1.4.2"}
    raw = a_raw_span(generation() | told)

    found = normalise(raw, "p")

    assert (found.environment, found.service_version) == ("staging", "1.4.2")


def test_langchains_handler_tells_the_model_asked_for_beside_the_one_that_answered() -> None:
    asked = {"metadata__ls_model_name": '"gpt-4o-mini"'}
    whole = generation(model__name="gpt-4o-mini-2024-07-18", **asked)
    streamed = generation(model__name="gpt-4o-mini", **asked)

    models = [read(langfuse, a_raw_span(one)).facts[1:3] for one in (whole, streamed)]

    assert models == [("gpt-4o-mini", "gpt-4o-mini-2024-07-18"), ("gpt-4o-mini", None)]


@pytest.mark.parametrize("place", ["metadata.response_format", "model.parameters"])
def test_the_schema_of_the_form_that_was_asked_for_is_kept(place: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    told = form if place.startswith("metadata") else {"response_format": form}

    found = read(langfuse, a_raw_span(generation() | {PRE + place: json.dumps(told)})).facts

    assert (found.output_type, found.schema) == ("json", form)
