from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects import DIALECTS, normalise
from collector.dialects.names import TABLE
from tests.collector.dialects.spans import a_raw_span, an_event
from tidegauge.call import Audit, Call, Evidence, OutputKind

JSON = '{"city": "Paris", "population": 21'


def answered(text: str | None, **attributes: Any) -> Call:
    """Return the call of a span with an answer; dots are written as two underscores."""
    told = {name.replace("__", "."): value for name, value in attributes.items()}
    usual: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
    }
    if text is not None:
        parts = [{"type": "text", "content": text}]
        output = [{"role": "assistant", "parts": parts}]
        usual["gen_ai.output.messages"] = orjson.dumps(output).decode()
    return normalise(a_raw_span(usual | told), "p")


def test_an_answer_in_json_is_judged_by_the_form_that_was_asked_for() -> None:
    asked = {"gen_ai__output__type": "json"}

    assert answered('{"a": 1}', **asked).output_valid is True
    assert answered("Sure: {}", **asked).output_valid is False
    assert answered("Sure: {}").output_valid is None
    assert answered(None, **asked).output_valid is None


def test_an_answer_has_to_fit_the_schema_that_the_request_carried() -> None:
    schema = orjson.dumps({"type": "object", "required": ["b"]}).decode()
    asked = {"gen_ai__request__structured_output_schema": schema}

    assert answered('{"b": 1}', **asked).output_valid is True
    assert answered('{"a": 1}', **asked).output_valid is False


def test_json_that_ends_too_early_is_cut_and_invalid() -> None:
    call = answered(JSON, gen_ai__output__type="json")

    assert (call.truncated, call.truncation_evidence) == (True, Evidence.UNCLOSED_JSON)
    assert call.output_valid is False
    assert call.truncation_confidence == 0.9


def test_a_stream_that_its_client_closed_is_neither_cut_nor_an_error() -> None:
    call = answered(JSON, gen_ai__response__finish_reasons=["error"], gen_ai__request__stream=True)

    assert (call.truncated, call.truncation_evidence, call.error_type) == (None, None, None)
    assert not call.failed


@pytest.mark.parametrize("kind", ["asyncio.exceptions.CancelledError", "GeneratorExit"])
def test_a_client_that_went_away_owes_no_usage(kind: str) -> None:
    closed = (an_event("exception", {"exception.type": kind}),)
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.stream": True}

    call = normalise(a_raw_span(told, events=closed, status=2), "p")

    assert (call.tokens_audit, call.truncation_evidence, call.error_type) == (None, None, None)


def test_a_stream_without_usage_is_told_of() -> None:
    call = normalise(
        a_raw_span(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.stream": True,
                "gen_ai.response.finish_reasons": ["stop"],
            }
        ),
        "p",
    )

    assert (call.tokens_audit, call.tokens_audit_rule) == (Audit.UNSURE, "stream_without_usage")


def test_few_tokens_beside_much_text_are_doubted_unless_it_is_an_image() -> None:
    def asked(text: str) -> str | None:
        messages = orjson.dumps([{"role": "user", "content": text}]).decode()
        return answered("Yes.", gen_ai__input__messages=messages).tokens_audit_rule

    assert asked("word " * 8_000) == "input_below_text"
    assert asked("data:image/png;base64," + "A" * 40_000) is None


def test_an_answer_is_named_by_kind_script_and_repetition() -> None:
    call = answered("Доброе утро. " * 50, gen_ai__response__finish_reasons=["stop"])

    assert (call.output_kind, call.output_script) == (OutputKind.TEXT, "cyrillic")
    assert call.repetition is not None
    assert call.repetition > 0.9


def test_a_failed_call_has_no_kind() -> None:
    assert answered("I", error__type="timeout").output_kind is None


def test_an_answer_that_our_limits_cut_is_not_judged() -> None:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.output.type": "json",
        "gen_ai.output.messages": orjson.dumps([{"role": "assistant", "content": JSON}]).decode(),
    }

    call = normalise(a_raw_span(told, cut=True, dropped_attributes=1), "p")

    assert (call.truncated, call.output_valid) == (None, None)


def test_embeddings_have_tokens_and_no_answer() -> None:
    call = normalise(
        a_raw_span({"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 9}), "p"
    )

    assert (call.input_tokens, call.tokens_audit) == (9, Audit.OK)
    assert (call.output_kind, call.truncated) == (None, None)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "{", "[1", "```", '{"role": 1}', "stop", "__proto__", "chat", "é" * 300])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "parts", "type", "tool_calls", "refusal", "__proto__", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *sorted(TABLE),
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.definitions",
        "gen_ai.system_instructions",
        "gen_ai.response.finish_reasons",
        "llm.output_messages.0.message.content",
        "gen_ai.completion.0.content",
        "input.value",
        "output.value",
    ]
)


@given(
    attributes=st.dictionaries(
        NAMES, VALUES | VALUES.map(lambda value: orjson.dumps(value).decode()), max_size=12
    ),
    scope=st.sampled_from(["", *(scope for one in DIALECTS for scope in one.SCOPES)]),
)
def test_no_value_under_any_name_raises(attributes: dict[str, Any], scope: str) -> None:
    told = {"gen_ai.operation.name": "chat", **attributes}

    call = normalise(a_raw_span(told, scope_name=scope), "p")

    assert call.tokens_audit_rule is None or call.tokens_audit in (Audit.ADJUSTED, Audit.UNSURE)


def test_a_model_server_that_times_every_first_token_tells_of_no_stream() -> None:
    raw = a_raw_span(
        {
            "gen_ai.usage.prompt_tokens": 26,
            "gen_ai.latency.time_to_first_token": 0.1,
            "gen_ai.latency.e2e": 0.5,
            "gen_ai.request.id": "a",
        },
        name="llm_request",
        kind=2,
        scope_name="vllm.llm_engine",
    )

    call = normalise(raw, "p")

    assert (call.dialect, call.streaming) == ("vllm", None)
    assert call.truncation_evidence is None


CITY = {"type": "object", "required": ["city", "population"]}


@pytest.mark.parametrize(
    ("attributes", "answer", "valid"),
    [
        (
            {
                "openinference.span.kind": "LLM",
                "llm.invocation_parameters": orjson.dumps(
                    {"response_format": {"type": "json_schema", "json_schema": {"schema": CITY}}}
                ).decode(),
            },
            "llm.output_messages.0.message.content",
            False,
        ),
        (
            {
                "openinference.span.kind": "LLM",
                "llm.invocation_parameters": orjson.dumps(
                    {"text": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
                ).decode(),
            },
            "llm.output_messages.0.message.content",
            True,
        ),
        (
            {
                "ai.operationId": "ai.generateObject.doGenerate",
                "ai.schema": orjson.dumps(CITY).decode(),
            },
            "ai.response.object",
            False,
        ),
    ],
)
def test_the_schema_among_the_parameters_is_the_one_an_answer_has_to_fit(
    attributes: dict[str, Any], answer: str, valid: bool
) -> None:
    assert (
        normalise(a_raw_span(attributes | {answer: '{"city": "Paris"}'}), "p").output_valid is valid
    )
