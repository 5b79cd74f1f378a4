from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.capture import Plan
from collector.enrich import enrich
from collector.event_capture import captured
from collector.otlp_logs import CHOICE, DETAILS
from collector.redact import rules_of
from tests.collector.test_enrich import event, span
from tidegauge.log_event import EVALUATION, LogEvent
from tidegauge.policy import Capture

KEY = "sk-" + "a1B2c3D4e5F6g7H8" * 2
SECRET = "the launch code is 0000"  # noqa: S105  (what a user may type)
USER = event("gen_ai.user.message", 1, {"content": SECRET})
ANSWER = event(CHOICE, 2, {"index": 0, "finish_reason": "length", "message": {"content": SECRET}})
WHOLE = event(
    DETAILS,
    3,
    None,
    **{
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.input.messages": [{"role": "user", "content": SECRET}],
        "gen_ai.output.messages": [{"role": "assistant", "content": SECRET}],
    },
)
OFF = Plan(Capture.OFF)
HASH = Plan(Capture.HASH, salt=b"0123456789abcdef")


def kept(plan: Plan, *events: LogEvent) -> dict[str, LogEvent]:
    found = [captured(one, plan) for one in events]
    return {str(n): one for n, one in enumerate(found) if one is not None}


def stored(events: dict[str, LogEvent]) -> str:
    return "".join(orjson.dumps([one.attributes, one.body]).decode() for one in events.values())


@pytest.mark.parametrize("mode", [Capture.FULL, Capture.REDACTED])
def test_content_is_kept_without_its_secrets(mode: Capture) -> None:
    body = {"content": f"use {KEY}", "tool_calls": [{"arguments": f'{{"api_key": "{KEY}"}}'}]}
    found = kept(Plan(mode), event("gen_ai.user.message", 1, body, note=f"Bearer {KEY}"), USER)
    assert KEY not in stored(found)
    assert "[redacted]" in stored(found)
    assert found["1"] == USER


def test_more_rules_of_the_project_are_kept_to() -> None:
    plan = Plan(Capture.FULL, rules_of(patterns_too=["launch code is [0-9]+"]))
    assert "0000" not in stored(kept(plan, USER, ANSWER, WHOLE))


@pytest.mark.parametrize("text", ["login CORP\\joe", "x\rCASE-123456"])
def test_a_rule_of_the_project_is_kept_to_behind_an_escape(text: str) -> None:
    plan = Plan(Capture.FULL, rules_of(patterns_too=[r"CORP\\\w+", r"\bCASE-\d{6}"]))
    found = kept(plan, event("gen_ai.user.message", 1, {"content": text}, note=text))
    assert "joe" not in stored(found)
    assert "123456" not in stored(found)


def test_an_object_under_a_secret_name_is_not_kept() -> None:
    inner = {"password": {"v": "hunter33zz"}}
    body = {"tool_calls": [{"arguments": orjson.dumps(inner).decode()}]}
    found = kept(Plan(), event("gen_ai.user.message", 1, body, **inner))
    assert "hunter33zz" not in stored(found)


@pytest.mark.parametrize("plan", [OFF, HASH])
@pytest.mark.parametrize("events", [(USER, ANSWER), (WHOLE,)])
def test_without_content_a_call_still_says_how_it_ended(
    plan: Plan, events: tuple[LogEvent, ...]
) -> None:
    found = kept(plan, *events)
    assert "launch" not in stored(found)
    joined = enrich(span(), found)
    assert joined is not None
    assert (joined.finish_reasons, joined.truncated) == (("length",), True)
    if plan is OFF:
        assert (joined.input, joined.output) == (None, None)
    if events == (WHOLE,):
        assert joined.response_model == "gpt-4o-mini-2024-07-18"


@pytest.mark.parametrize("events", [(USER, ANSWER), (WHOLE,)])
def test_hashes_tell_equal_content_from_other(events: tuple[LogEvent, ...]) -> None:
    joined = enrich(span(), kept(HASH, *events))
    assert joined is not None
    assert joined.input
    assert joined.output
    assert "sha256" in joined.input[0]["content"]
    assert "sha256" in joined.output[0]["content"]
    other = enrich(span(), kept(Plan(Capture.HASH, salt=b"another salt 123"), *events))
    assert other is not None
    assert other.input != joined.input


@pytest.mark.parametrize("plan", [OFF, HASH])
def test_an_evaluation_keeps_its_score_and_not_its_words(plan: Plan) -> None:
    told: dict[str, Any] = {
        "gen_ai.evaluation.name": "Relevance",
        "gen_ai.evaluation.score.value": 0.25,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.evaluation.explanation": SECRET,
        "gen_ai.response.id": "chatcmpl-1",
    }
    found = kept(plan, event(EVALUATION, 1, None, **told))["0"].attributes
    assert SECRET not in str(found)
    del told["gen_ai.evaluation.explanation"]
    assert {name: found[name] for name in told} == told
