from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import normalise, semantic_kernel
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import NotCounted, Operation

SCOPE = "semantic_kernel.utils.telemetry.model_diagnostics.decorators"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reason": "FinishReason.LENGTH",
    "gen_ai.usage.input_tokens": 29,
    "gen_ai.usage.output_tokens": 22,
}


def a_span(attributes: dict[str, Any], **fields: Any) -> Any:
    return a_raw_span(attributes, scope_name=SCOPE, kind=1, **fields)


@pytest.mark.parametrize(
    ("written", "reasons"),
    [
        ("FinishReason.LENGTH", ("length",)),
        ("FinishReason.STOP,FinishReason.TOOL_CALLS", ("stop", "tool_call")),
        ("None", ()),
    ],
)
def test_the_finish_reason_is_a_member_of_an_enum(written: str, reasons: tuple[str, ...]) -> None:
    reading = read(semantic_kernel, a_span(CALL | {"gen_ai.response.finish_reason": written}))

    assert (reading.dialect, reading.finish) == ("semantic_kernel", reasons)


def test_the_class_of_an_error_is_read() -> None:
    failed = {
        "gen_ai.operation.name": "chat",
        "error.type": "<class 'semantic_kernel.exceptions.ServiceResponseException'>",
    }
    message = "ServiceResponseException('... RateLimitError(\"Error code: 429 - slow down\")')"

    call = normalise(a_span(failed, status=2, status_message=message), "p")

    assert (call.error_type, call.status_code) == ("rate_limit", 429)


@pytest.mark.parametrize(
    ("word", "operation"),
    [
        ("text_completions", Operation.TEXT_COMPLETION),
        ("chat.completions", Operation.CHAT),
        ("execute_tool", None),
        ("invoke_agent", None),
    ],
)
def test_its_own_words_for_operations_are_known(word: str, operation: Operation | None) -> None:
    call = normalise(a_span(CALL | {"gen_ai.operation.name": word}), "p")

    assert call.operation is operation


def test_the_loop_over_functions_is_no_call() -> None:
    call = normalise(
        a_span({"sk.available_functions": "f"}, name="AutoFunctionInvocationLoop"), "p"
    )

    assert (call.dialect, call.not_counted) == ("semantic_kernel", NotCounted.WRAPPER)


def test_counts_under_the_names_of_its_net_library_are_read() -> None:
    old = {
        "gen_ai.operation.name": "chat.completions",
        "gen_ai.response.prompt_tokens": 7,
        "gen_ai.response.completion_tokens": 3,
    }

    tokens = read(semantic_kernel, a_span(old)).facts.tokens

    assert (tokens.input, tokens.output) == (7, 3)


def test_no_value_makes_it_raise() -> None:
    assert survives(semantic_kernel, a_span(CALL)) > 100
