from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.identity import identity
from tests.collector.dialects.spans import a_raw_span


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
    assert identity(a_raw_span(attributes, resource=resource)).use_case == use_case


def test_a_span_that_says_nothing_has_names_all_the_same() -> None:
    who = identity(a_raw_span())

    assert (who.service, who.environment, who.service_version) == (
        "unknown_service",
        "default",
        None,
    )


def test_the_environment_has_an_old_and_a_new_name() -> None:
    both = {"deployment.environment": "old", "deployment.environment.name": "new"}

    assert identity(a_raw_span(resource=both)).environment == "new"
    assert identity(a_raw_span(resource={"deployment.environment": "old"})).environment == "old"


def test_ids_may_be_numbers() -> None:
    who = identity(a_raw_span({"user.id": 42, "session.id": "s"}))

    assert (who.user_id, who.session_id) == ("42", "s")
