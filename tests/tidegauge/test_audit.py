from __future__ import annotations

from typing import Any

import pytest

from tidegauge import audit
from tidegauge.audit import Audited, Counts, Group, Level, Metered, Remark, Told, Twice, audited

GROUP = Group("shop", "genai", "lib", "1.0", "gpt-4o-mini")


def told(rules: dict[tuple[str, str], int] | None = None, **counts: int) -> Told:
    whole = {"calls": 200, "answered": 200, "texts": 200, "streams": 100}
    return Told(group=GROUP, counts=Counts(**(whole | counts)), rules=rules or {})


def the(*groups: Told) -> Audited:
    (one,) = audited(groups)
    return one


def rules(one: Audited) -> list[str]:
    return [remark.rule for remark in one.remarks]


def test_of_a_library_that_tells_all_there_is_nothing_to_say() -> None:
    one = the(told())
    assert (one.group, one.calls, one.remarks) == (GROUP, 200, [])


@pytest.mark.parametrize("check", audit._CHECKS, ids=lambda check: check.rule)
def test_each_count_is_a_remark_with_its_share_and_a_remedy(check: Any) -> None:
    counts: dict[str, Any] = {check.of: 80} | {check.rule: 20}  # of some, they are one
    one = the(told(None, **counts))
    remark = next(remark for remark in one.remarks if remark.rule == check.rule)
    assert remark.calls == 20
    assert remark.share == (1.0 if check.of == check.rule else 0.25)
    assert remark.fix.endswith(".")
    assert remark.meaning


def test_an_accident_of_one_call_is_not_the_library_s_fault() -> None:
    assert rules(the(told(texts=10_000, no_finish_reason=99))) == []
    assert rules(the(told(texts=10_000, no_finish_reason=100))) == ["no_finish_reason"]


def test_problems_come_before_notes_and_groups_with_problems_before_others() -> None:
    fine = Told(group=GROUP._replace(service="big"), counts=Counts(calls=10**6))
    found = audited([fine, told(no_response_id=200, no_usage=5)])
    assert [one.group.service for one in found] == ["shop", "big"]
    assert rules(found[0]) == ["no_usage", "no_response_id"]
    assert audit.problems(found) == 1


def test_what_the_token_audit_said_is_explained() -> None:
    one = the(told({("unsure", "total_differs"): 3, ("adjusted", "input_excludes_cached"): 150}))
    assert rules(one) == ["tokens_unsure:total_differs", "tokens_adjusted:input_excludes_cached"]
    assert [remark.level for remark in one.remarks] == [Level.PROBLEM, Level.NOTE]
    assert "cache" in one.remarks[1].meaning


def test_a_rule_that_is_not_known_yet_is_named() -> None:
    (remark,) = the(told({("unsure", "from_tomorrow"): 3})).remarks
    assert "from_tomorrow" in remark.meaning


def test_missing_usage_is_said_once() -> None:
    silent = {("unsure", "stream_without_usage"): 20}
    assert rules(the(told(silent, no_usage_on_streams=20))) == ["no_usage_on_streams"]


def test_names_that_say_nothing_are_remarks() -> None:
    group = Group("unknown_service:node", "generic", None, None, "unknown")
    one = the(Told(group=group, counts=Counts(calls=9, answered=9, unpriced=9)))
    assert set(rules(one)) == {"no_service_name", "no_model", "generic_dialect"}


def test_the_switch_for_content_is_that_of_the_dialect() -> None:
    def fix(dialect: str) -> str:
        group = GROUP._replace(dialect=dialect)
        (remark,) = the(Told(group=group, counts=Counts(calls=1, answered=1, no_content=1))).remarks
        return remark.fix

    assert "TRACELOOP_TRACE_CONTENT" in fix("openllmetry")
    assert "HAYSTACK_CONTENT_TRACING_ENABLED" in fix("haystack")
    assert "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE" in fix("anthropic_sdk")
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in fix("something new")


def test_spans_that_look_like_calls_are_no_calls_and_have_no_traps() -> None:
    group = Group("shop", "none", "opentelemetry.instrumentation.openai_v2", None, "unknown")
    one = the(Told(group=group, counts=Counts(looks_like_call=7)))
    assert (one.calls, rules(one)) == (7, ["looks_like_call"])


def test_a_known_trap_is_a_note_at_the_library() -> None:
    group = GROUP._replace(library="langfuse-sdk")
    (remark,) = the(Told(group=group, counts=Counts(calls=5))).remarks
    assert (remark.rule, remark.level) == ("trap:no_reason_without_stream", Level.NOTE)


def twice(**fields: str) -> Remark:
    usual: dict[str, Any] = {
        "service": "shop",
        "library": "com.anthropic.sdk.python",
        "library_version": "2.12.0",
        "other_service": "shop",
        "other_library": "opentelemetry.instrumentation.anthropic",
        "other_version": "0.62.4",
        "calls": 14,
    }
    ((remark,),) = [one.remarks for one in audited([], [Twice(**(usual | fields))])]
    return remark


def test_two_libraries_that_tell_of_one_call_are_both_named() -> None:
    remark = twice()
    assert "com.anthropic.sdk.python 2.12.0" in remark.meaning
    assert "opentelemetry.instrumentation.anthropic 0.62.4" in remark.meaning
    assert "Switch one of the two off" in remark.fix


def test_where_nothing_can_be_switched_off_nothing_is_asked() -> None:
    assert twice(other_service="vllm").fix.startswith("Nothing")
    assert twice(other_library="com.anthropic.sdk.python").fix.startswith("Nothing")


@pytest.mark.parametrize(
    ("by_calls", "words"), [(90, "Spans are missing"), (110, "counted twice"), (0, "missing")]
)
def test_tokens_that_differ_from_the_app_s_metric_are_a_problem(by_calls: int, words: str) -> None:
    one = Metered(service="shop", model="m", type="input", by_metric=100, by_calls=by_calls)
    ((remark,),) = [one.remarks for one in audited([], [], [one])]
    assert (remark.level, remark.share) == (Level.PROBLEM, by_calls / 100)
    assert words in remark.fix


def test_tokens_that_nearly_agree_are_not() -> None:
    one = Metered(service="shop", model="m", type="input", by_metric=100, by_calls=96)
    assert audited([], [], [one]) == []
