from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import azure_ai, normalise
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, an_event, read
from tidegauge.call import NotCounted

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "az.ai.inference",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 26,
    "gen_ai.usage.output_tokens": 15,
}
FUNCTION = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


def an_azure_event(name: str, body: dict[str, Any]) -> Any:
    told = {"gen_ai.system": "az.ai.inference", "gen_ai.event.content": json.dumps(body)}
    return an_event(name, told)


def a_call(answer: dict[str, Any], finish: str = "stop") -> Any:
    events = (
        an_azure_event("gen_ai.system.message", {"role": "system", "content": "Be brief."}),
        an_azure_event("gen_ai.developer.message", {"role": "developer", "content": "Now."}),
        an_azure_event("gen_ai.user.message", {"role": "user", "content": "Hi"}),
        an_azure_event("gen_ai.choice", {"index": 0, "finish_reason": finish, "message": answer}),
    )
    return a_raw_span(CALL, events=events)


def test_messages_are_read_from_the_json_in_events() -> None:
    reading = read(azure_ai, a_call({"content": "Ho"}, "length"))

    assert reading.content.input == [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Now."},
        {"role": "user", "content": "Hi"},
    ]
    assert reading.content.output == [
        {"role": "assistant", "content": "Ho", "finish_reason": "length"}
    ]
    assert (reading.finish, reading.facts.provider) == (("length",), "azure.ai.inference")


def test_calls_of_tools_are_read() -> None:
    answer = {"content": "", "tool_calls": [FUNCTION]}

    reading = read(azure_ai, a_call(answer, "tool_calls"))

    assert (reading.content.output or [])[0]["tool_calls"] == [FUNCTION]
    assert reading.finish == ("tool_call",)


def test_an_answer_that_is_json_stays_the_text_that_it_was() -> None:
    output = read(azure_ai, a_call({"content": '{"temp": 18}'})).content.output

    assert (output or [])[0]["content"] == '{"temp": 18}'


def test_the_word_for_no_model_is_none() -> None:
    raw = a_raw_span(CALL | {"gen_ai.request.model": "chat"})

    assert read(azure_ai, raw).facts.request_model is None


@pytest.mark.parametrize("operation", ["create_agent", "process_thread_run", "submit_tool_outputs"])
def test_threads_and_runs_of_agents_are_no_calls(operation: str) -> None:
    told = CALL | {"gen_ai.operation.name": operation, "gen_ai.system": "az.ai.agents"}

    call = normalise(a_raw_span(told), "p")

    assert (call.dialect, call.not_counted) == ("azure_ai", NotCounted.WRAPPER)


def test_no_value_makes_it_raise() -> None:
    assert survives(azure_ai, a_call({"content": "Ho", "tool_calls": [FUNCTION]})) > 100
