from __future__ import annotations

import json
from typing import Any

from collector.dialects import ms_agent_framework, normalise
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import NotCounted

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.id": "resp_1",
    "gen_ai.response.finish_reasons": '["length"]',
    "gen_ai.usage.input_tokens": 29,
    "gen_ai.usage.output_tokens": 22,
    "gen_ai.usage.cache_read.input_tokens": 16,
    "gen_ai.usage.reasoning.output_tokens": 8,
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Ho"}]}]
    ),
}


def a_span(attributes: dict[str, Any]) -> Any:
    return a_raw_span(attributes, scope_name="agent_framework", kind=1)


def test_a_call_is_read_with_its_reasons_in_a_text() -> None:
    reading = read(ms_agent_framework, a_span(CALL))

    assert (reading.dialect, reading.finish) == ("ms_agent_framework", ("length",))
    assert reading.facts.tokens[:5] == (29, 22, 16, None, 8)
    assert reading.content.output == [{"role": "assistant", "content": "Ho"}]


def test_an_agent_that_repeats_the_sum_is_no_call() -> None:
    call = normalise(a_span(CALL | {"gen_ai.operation.name": "invoke_agent"}), "p")

    assert (call.not_counted, call.input_tokens) == (NotCounted.WRAPPER, None)


def test_the_framework_is_not_the_provider() -> None:
    system = {"gen_ai.provider.name": "microsoft.agent_framework"}

    assert read(ms_agent_framework, a_span(CALL | system)).facts.provider == "openai"


def test_no_value_makes_it_raise() -> None:
    assert survives(ms_agent_framework, a_span(CALL)) > 100
