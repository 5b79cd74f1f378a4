from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import dialects
from collector.dialects import DIALECTS, normalise
from tests.collector.dialects.spans import NANO, a_raw_span, an_event
from tidegauge.call import Evidence, NotCounted

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}


@pytest.mark.parametrize(
    ("attributes", "dialect", "counted"),
    [
        (CHAT, "genai", True),
        (CHAT | {"gen_ai.operation.name": "invoke_agent"}, "genai", False),
        (CHAT | {"gen_ai.operation.name": "something_new"}, "genai", False),
        (CHAT | {"gen_ai.is_streaming": False}, "openllmetry", True),
        (CHAT | {"traceloop.span.kind": "workflow"}, "openllmetry", False),
        ({"llm.request.type": "chat"}, "openllmetry", True),
        ({"openinference.span.kind": "LLM"}, "openinference", True),
        (CHAT | {"openinference.span.kind": "AGENT"}, "openinference", False),
        (CHAT | {"langsmith.span.kind": "prompt"}, "langsmith", False),
        (CHAT | {"ai.operationId": "ai.generateText"}, "vercel_ai", False),
        (CHAT | {"ai.operationId": "ai.generateText.doGenerate"}, "vercel_ai", True),
        ({"langfuse.observation.type": "generation"}, "langfuse", True),
        ({"http.route": "/"}, "none", False),
        ({}, "none", False),
    ],
)
def test_the_first_marker_decides_what_a_span_is(
    attributes: dict[str, Any], dialect: str, counted: bool
) -> None:
    call = normalise(a_raw_span(attributes), "p")

    assert (call.dialect, call.not_counted is None) == (dialect, counted)


def test_a_wrapper_gives_no_tokens_but_says_who_it_is() -> None:
    attributes = {
        "traceloop.span.kind": "agent",
        "traceloop.workflow.name": "geo",
        "session.id": "s",
        "gen_ai.usage.input_tokens": 99,
    }

    call = normalise(a_raw_span(attributes, resource={"service.name": "bot"}), "p")

    assert call.not_counted is NotCounted.WRAPPER
    assert (call.input_tokens, call.use_case, call.session_id) == (None, "geo", "s")
    assert call.service == "bot"


def test_times_become_utc_and_seconds() -> None:
    call = normalise(a_raw_span(CHAT), "p")

    assert call.started_at == datetime.fromtimestamp(NANO / 1e9, UTC)
    assert (call.duration_s, call.clock_invalid) == (2.0, False)


@pytest.mark.parametrize(
    "fields", [{"start_ns": 0}, {"end_ns": NANO - 1}, {"clock_clamped": True}, {"end_ns": 0}]
)
def test_a_span_with_a_bad_clock_is_kept_and_marked(fields: dict[str, Any]) -> None:
    call = normalise(a_raw_span(CHAT, **fields), "p")

    assert call.clock_invalid
    assert call.duration_s >= 0


@pytest.mark.parametrize(
    ("fields", "truncated", "evidence"),
    [
        ({"gen_ai.response.finish_reasons": ["length"]}, True, Evidence.FINISH_REASON),
        ({"gen_ai.response.finish_reasons": ["stop"]}, False, Evidence.FINISH_REASON),
        ({"gen_ai.response.finish_reasons": ["stop", "length"]}, True, Evidence.FINISH_REASON),
        ({"gen_ai.response.finish_reasons": ["stop", ""]}, None, None),
        ({}, True, Evidence.LIMIT_REACHED),
        ({"gen_ai.usage.output_tokens": 49}, None, None),
        ({"gen_ai.request.choice.count": 2}, None, None),
        ({"gen_ai.request.max_tokens": -1}, None, None),
    ],
)
def test_truncation_has_its_evidence(
    fields: dict[str, Any], truncated: bool | None, evidence: Evidence | None
) -> None:
    spent = {
        "gen_ai.request.max_tokens": 50,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.input_tokens": 1,
    }

    call = normalise(a_raw_span(CHAT | spent | fields), "p")

    assert (call.truncated, call.truncation_evidence) == (truncated, evidence)


def test_streaming_that_nobody_mentions_is_unknown_and_not_false() -> None:
    assert normalise(a_raw_span(CHAT), "p").streaming is None


def test_a_time_to_first_token_is_evidence_of_streaming() -> None:
    call = normalise(a_raw_span(CHAT | {"gen_ai.response.time_to_first_chunk": 0.5}), "p")

    assert (call.streaming, call.time_to_first_token_s) == (True, 0.5)
    assert call.time_per_output_token_s is None


def test_without_captured_content_there_are_no_checksums() -> None:
    call = normalise(a_raw_span(CHAT), "p")

    assert (call.prompt_checksum, call.input_checksum, call.input) == (None, None, None)


def chat_with(system: str, said: str = "hi", **more: Any) -> dict[str, Any]:
    parts = [{"type": "text", "content": system}]
    sent = [{"role": "user", "parts": [{"type": "text", "content": said}]}]
    return CHAT | {
        "gen_ai.system_instructions": json.dumps(parts),
        "gen_ai.input.messages": json.dumps(sent),
        **more,
    }


def checksums(attributes: dict[str, Any]) -> tuple[str | None, str | None]:
    call = normalise(a_raw_span(attributes), "p")
    return call.prompt_checksum, call.input_checksum


def test_the_prompt_checksum_follows_what_the_developer_wrote_and_the_input_follows_all() -> None:
    prompt, whole = checksums(chat_with("Be brief."))

    assert checksums(chat_with("Be brief.")) == (prompt, whole)
    other_prompt, other_whole = checksums(chat_with("Be brief.", "other question"))
    assert other_prompt == prompt
    assert other_whole != whole
    assert checksums(chat_with("Be long."))[0] != prompt
    tools = {"gen_ai.tool.definitions": '[{"name": "t"}]'}
    assert checksums(chat_with("Be brief.") | tools)[0] != prompt


def test_o40_a_span_that_lost_attributes_has_no_checksums_to_drift_by() -> None:
    call = normalise(a_raw_span(chat_with("Be brief."), dropped_attributes=1), "p")

    assert (call.prompt_checksum, call.input_checksum) == (None, None)
    assert call.input is not None


def test_all_else_that_a_span_carried_is_kept_once() -> None:
    event = an_event("gen_ai.evaluation.result", {"name": "Relevance"})
    attributes = chat_with("Be brief.") | {"custom": [1, {"a": 2}]}

    kept = normalise(
        a_raw_span(attributes, events=(event,), resource={"host.name": "h"}, dropped_attributes=3),
        "p",
    ).attributes

    assert kept["custom"] == [1, {"a": 2}]
    beside = kept["tidegauge.span"]
    assert beside["events"][0]["attributes"] == {"name": "Relevance"}
    assert beside["resource"] == {"host.name": "h"}
    assert beside["dropped_attributes"] == 3
    assert "gen_ai.input.messages" not in kept


def test_every_file_of_a_dialect_is_in_the_registry_under_its_own_name() -> None:
    names = [dialect.NAME for dialect in DIALECTS]
    files = {
        path.stem
        for path in Path(dialects.__file__).parent.glob("*.py")
        if "\nNAME = " in path.read_text(encoding="utf-8")
    }

    assert set(names) == files
    assert names[-4:] == ["openinference", "openllmetry", "genai", "generic"]


def test_a_span_on_which_a_dialect_fails_is_kept_as_it_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret prompt")

    monkeypatch.setattr(dialects.genai, "normalise", fail)
    call = normalise(a_raw_span(CHAT), "p")

    assert (call.not_counted, call.dialect) == (NotCounted.UNREADABLE, "genai")
    assert call.attributes["gen_ai.request.model"] == "m"
    said = capsys.readouterr()
    assert "secret prompt" not in said.out + said.err


NAMES = st.sampled_from(
    [
        "gen_ai.operation.name",
        "openinference.span.kind",
        "llm.request.type",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.usage.input_tokens",
        "gen_ai.response.finish_reasons",
        "gen_ai.request.stop_sequences",
        "gen_ai.prompt.0.content",
        "gen_ai.prompt.0.tool_calls.0.id",
        "gen_ai.completion.0",
        "llm.input_messages.0.message.contents.0.message_content",
        "llm.input_messages.0.message.tool_calls",
        "llm.invocation_parameters",
        "llm.tools.0",
        "output.value",
        "input.value",
        "error.type",
        "http.response.status_code",
    ]
)
WORDS = st.sampled_from(
    ["chat", "LLM", "", "[", "[1]", "{}", '{"choices": [1]}', '{"generations": [[{}]]}', "(1,",
     '{"generations": [7]}', '[{"parts": [1, null, {"type": "text"}]}]', '{"object": "response"}',
     '[{"parts": {"a": 1}, "content": [3]}]', '{"text": {"format": 3}, "n": "x"}', "NaN", "1e999",
     '{"object": "response", "output": 5, "incomplete_details": 4, "status": "incomplete"}',
     '"\\u0000"', "[" * 40 + "]" * 40, '{"message": "x", "usage": []}', "-1", "99999999999999999"]
)  # fmt: skip
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.just(0.5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["role", "parts", "content", "type", "text"]), inner)
    ),
    max_leaves=4,
)
EVENTS = st.sampled_from(
    ["gen_ai.choice", "gen_ai.user.message", "exception", "gen_ai.content.prompt",
     "gen_ai.client.inference.operation.details"]
)  # fmt: skip


@given(
    st.dictionaries(NAMES, VALUES, max_size=6),
    EVENTS,
    st.dictionaries(st.sampled_from(["message", "content", "gen_ai.prompt"]), VALUES),
)
def test_no_attributes_make_a_span_unreadable(
    attributes: dict[str, Any], event: str, said: dict[str, Any]
) -> None:
    raw = a_raw_span(CHAT | attributes, events=(an_event(event, said),), status=2)

    call = normalise(raw, "p")

    stored = orjson.dumps([call.input, call.output, call.attributes])
    assert b"\\u0000" not in stored.replace(b"\\\\", b"")  # a backslash before "u0000" is no NUL


TOOLS = '[{"type": "function", "name": "get_weather"}]'


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        (chat_with("Be brief.") | {"gen_ai.tool.definitions": TOOLS}, "gen_ai.tool.definitions"),
        (
            {
                "openinference.span.kind": "LLM",
                "llm.input_messages.0.message.content": "hi",
                "llm.tools.0.tool.json_schema": TOOLS,
            },
            "llm.tools.0.tool.json_schema",
        ),
        (
            {
                "llm.request.type": "chat",
                "gen_ai.prompt.0.content": "hi",
                "llm.request.functions.0.name": TOOLS,
            },
            "llm.request.functions.0.name",
        ),
    ],
)
def test_tool_definitions_are_kept(attributes: dict[str, Any], key: str) -> None:
    call = normalise(a_raw_span(attributes), "p")
    assert call.attributes[key] == TOOLS
    assert call.prompt_checksum


def test_a_whole_answer_that_no_message_says_again_is_kept() -> None:
    sent = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.content": "hi",
        "input.value": "hi",
        "output.value": '{"choices": [{"finish_reason": "stop", "logprobs": [1]}]}',
    }
    call = normalise(a_raw_span(sent), "p")
    assert call.attributes["output.value"] == sent["output.value"]
    assert "input.value" not in call.attributes
    both = sent | {"llm.output_messages.0.message.content": "ho"}
    assert "output.value" not in normalise(a_raw_span(both), "p").attributes


def test_an_attribute_may_have_any_name() -> None:
    names = ("kind", "events", "scope", "resource", "links", "status", "dropped_attributes")
    sent = {name: f"my {name}" for name in names}
    event = an_event("mine", {"a": 1})
    kept = normalise(a_raw_span(CHAT | sent, events=(event,), status=2), "p").attributes
    assert sent.items() <= kept.items()
    assert kept["tidegauge.span"]["status"]["code"] == 2
    assert kept["tidegauge.span"]["kind"] == 3


def test_a_response_whose_output_is_no_list_is_read() -> None:
    sent = {
        "openinference.span.kind": "LLM",
        "output.value": '{"object": "response", "output": 5, "status": "completed"}',
    }
    assert normalise(a_raw_span(sent), "p").finish_reasons == ("stop",)
