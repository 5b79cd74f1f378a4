from __future__ import annotations

import pytest

from collector.dialects import autogen, normalise
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import NotCounted


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("invoke_agent geo", {"gen_ai.system": "autogen", "gen_ai.operation.name": "invoke_agent"}),
        ("create_agent geo", {"gen_ai.system": "autogen", "gen_ai.operation.name": "create_agent"}),
        ("execute_tool f", {"gen_ai.system": "autogen", "gen_ai.operation.name": "execute_tool"}),
        ("autogen process geo", {"messaging.operation": "process"}),
    ],
)
def test_its_spans_are_of_agents_tools_and_messages(name: str, attributes: dict[str, str]) -> None:
    call = normalise(a_raw_span(attributes, name=name, scope_name="autogen-core"), "p")

    assert (call.dialect, call.not_counted) == ("autogen", NotCounted.WRAPPER)


def test_a_span_that_says_that_it_is_a_call_is_one() -> None:
    told = {"gen_ai.system": "autogen", "gen_ai.operation.name": "chat"}

    assert read(autogen, a_raw_span(told)).dialect == "autogen"


def test_no_value_makes_it_raise() -> None:
    told = {"gen_ai.system": "autogen", "gen_ai.operation.name": "chat", "gen_ai.agent.name": "a"}

    assert survives(autogen, a_raw_span(told, scope_name="autogen-core")) > 50
