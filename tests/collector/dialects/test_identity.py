from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.identity import identify
from collector.dialects.names import named
from collector.raw import RawSpan
from tests.collector.dialects.spans import a_raw_span
from tidegauge.call import Draft

_FIELDS = (
    "service",
    "service_version",
    "environment",
    "use_case",
    "use_case_from",
    "user_id",
    "session_id",
)


def who(raw: RawSpan) -> dict[str, Any]:
    draft = Draft()
    identify(draft, raw, named(raw.attributes))
    return {name: getattr(draft, name) for name in _FIELDS}


@pytest.mark.parametrize(
    ("attributes", "resource", "use_case"),
    [
        ({"tidegauge.use_case": "faq", "gen_ai.prompt.name": "p"}, {}, "faq"),
        ({"gen_ai.prompt.name": "p"}, {"tidegauge.use_case": "faq"}, "faq"),
        ({"gen_ai.prompt.name": "p", "gen_ai.agent.name": "a"}, {}, "p"),
        ({"traceloop.prompt.key": "k", "traceloop.workflow.name": "w"}, {}, "k"),
        ({"gen_ai.agent.name": "a", "traceloop.workflow.name": "w"}, {}, "a"),
        ({"traceloop.workflow.name": "w"}, {}, "w"),
        ({"ai.telemetry.functionId": "f"}, {}, "f"),
        ({"gen_ai.agent.name": ""}, {}, "default"),
        ({}, {}, "default"),
    ],
)
def test_the_use_case_is_what_is_said_most_clearly(
    attributes: dict[str, Any], resource: dict[str, Any], use_case: str
) -> None:
    assert who(a_raw_span(attributes, resource=resource))["use_case"] == use_case


def test_a_span_that_says_nothing_has_names_all_the_same() -> None:
    assert who(a_raw_span()) == {
        "service": "unknown_service",
        "service_version": None,
        "environment": "default",
        "use_case": "default",
        "use_case_from": None,
        "user_id": None,
        "session_id": None,
    }


def test_the_environment_has_an_old_and_a_new_name() -> None:
    both = {"deployment.environment": "old", "deployment.environment.name": "new"}
    old = {"deployment.environment": "old"}

    assert who(a_raw_span(resource=both))["environment"] == "new"
    assert who(a_raw_span(resource=old))["environment"] == "old"


def test_ids_may_be_numbers() -> None:
    found = who(a_raw_span({"user.id": 42, "session.id": "s"}))

    assert (found["user_id"], found["session_id"]) == ("42", "s")


def test_two_resources_in_turn_are_not_mistaken_for_each_other() -> None:
    spans = [a_raw_span(resource={"service.name": name}) for name in ("a", "b")] * 2

    assert [who(raw)["service"] for raw in spans] == ["a", "b", "a", "b"]
