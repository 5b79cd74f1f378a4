from __future__ import annotations

from typing import Any

import orjson
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.dialects import normalise
from collector.log_calls import SCOPE, span_of
from tidegauge.call import Call, Operation

IDS = ("0a" * 16, "0b" * 8)
CALL: dict[str, Any] = {
    "type": "LLMCall",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "tools": [{"type": "function", "function": {"name": "look_up"}}],
    "prompt_tokens": 26,
    "completion_tokens": 15,
    "response": {
        "id": "chatcmpl-1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {"finish_reason": "length", "message": {"role": "assistant", "content": "Hello"}}
        ],
        "usage": {
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    },
}


def record(body: Any) -> LogRecord:
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    return LogRecord(time_unix_nano=1_700_000_000_000_000_000, body=AnyValue(string_value=text))


def call(body: Any, ids: tuple[str, str] = IDS) -> Call:
    raw = span_of(SCOPE, record(body), ids, {"service.name": "team"})
    assert raw is not None
    return normalise(raw, "p")


def test_a_call_in_autogens_log_is_a_call_below_the_span_it_was_logged_in() -> None:
    found = call(CALL)

    assert (found.operation, found.dialect, found.service) == (Operation.CHAT, "autogen", "team")
    assert (found.trace_id, found.parent_span_id, found.response_id) == (*IDS, "chatcmpl-1")
    assert (found.input_tokens, found.output_tokens) == (26, 15)
    assert (found.cached_input_tokens, found.reasoning_tokens) == (8, 4)
    assert (found.response_model, found.truncated) == ("gpt-4o-mini-2024-07-18", True)
    assert found.output[0]["content"] == "Hello"


def test_its_duration_is_not_known_so_no_statistic_of_time_uses_it() -> None:
    assert call(CALL).clock_invalid


def test_a_stream_that_told_no_usage_has_none() -> None:
    ended = {
        "type": "LLMStreamEnd",
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "response": {"content": "Hello", "finish_reason": "stop"},
    }
    found = call(ended)

    assert (found.input_tokens, found.output_tokens, found.streaming) == (None, None, True)
    assert found.finish_reasons == ("stop",)


def test_a_record_sent_twice_is_one_call_and_another_one_is_not() -> None:
    assert call(CALL).span_id == call(CALL).span_id
    assert call(CALL).span_id != call(CALL | {"prompt_tokens": 27}).span_id


def test_a_call_outside_of_any_span_has_a_trace_of_its_own() -> None:
    alone = call(CALL, ("", ""))

    assert (len(alone.trace_id), alone.parent_span_id) == (32, None)


@pytest.mark.parametrize(
    "body",
    [
        "LLMCall",
        "{",
        {"type": "ToolCall", "about": "LLMCall"},
        {"type": ["LLMCall"]},
        ["LLMCall"],
    ],
)
def test_other_records_of_that_logger_are_no_calls(body: Any) -> None:
    assert span_of(SCOPE, record(body), IDS, {}) is None


def test_other_loggers_are_not_looked_at() -> None:
    assert span_of("app", record(CALL), IDS, {}) is None


@pytest.mark.parametrize("wrong", [None, 1, [], {}, "x", [None], [[]], {"choices": [1]}])
@pytest.mark.parametrize("field", sorted(CALL.keys() - {"type"}))
def test_wrong_types_never_raise(field: str, wrong: Any) -> None:
    assert call(CALL | {field: wrong}).not_counted is None
