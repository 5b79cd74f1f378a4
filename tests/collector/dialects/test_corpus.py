"""Payloads of real libraries, each beside the truth of what the model server did."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.dialects import normalise
from collector.dialects.finish import reasons
from collector.limits import inflate, walk_json
from collector.otlp import read_spans
from tidegauge.call import Call

CORPUS = Path(__file__).parents[1] / "corpus"


@dataclass(frozen=True)
class Case:
    """One recorded scenario: the calls we read, and the calls that were made."""

    calls: list[Call]
    wrappers: list[Call]
    truth: dict[str, Any]
    readable: dict[str, list[int]]  # field: [right, asked] of a careful reading of the payload

    def pairs(self) -> list[tuple[Call, dict[str, Any]]]:
        """Return each call beside its truth: by response id, else in order."""
        by_id = {call.response_id: call for call in self.calls if call.response_id}
        in_order = sorted(self.calls, key=lambda call: call.started_at)
        return [
            (by_id.get(true.get("response_id"), found), true)
            for found, true in zip(in_order, self.truth["calls"], strict=True)
        ]

    def all_readable(self, field: str) -> bool:
        """Return whether the payload holds this field for every call that has it."""
        right, asked = self.readable.get(field, [0, 0])
        return right == asked > 0


def load(meta: Path) -> Case:
    told = json.loads(meta.read_text())
    found: list[Call] = []
    for payload in told["payloads"]:
        path = meta.parent / payload["file"]
        body = inflate(path.read_bytes(), payload["content_encoding"])
        is_json = path.suffix == ".json"
        if is_json:
            walk_json(body)
        decoded = read_spans(body, json=is_json)
        assert decoded.rejected == []
        found += [normalise(raw, "p") for raw in decoded.spans]
    reading = told["reference_reading"]
    # A careful reading finds the reasons of old OTel streams in the log records alone.
    without = {"finish"} if reading["log_records"] else set()
    readable = {name: score for name, score in reading["fields"].items() if name not in without}
    return Case(
        calls=[call for call in found if call.not_counted is None],
        wrappers=[call for call in found if call.not_counted is not None],
        truth=told["truth"],
        readable=readable,
    )


METAS = sorted(CORPUS.glob("*/*.meta.json"))


@pytest.fixture(params=METAS, ids=lambda meta: f"{meta.parent.name}/{meta.name.split('.')[0]}")
def case(request: pytest.FixtureRequest) -> Case:
    return load(request.param)


def test_there_are_payloads_of_every_dialect() -> None:
    spoken = {call.dialect for meta in METAS for call in load(meta).calls}
    assert spoken == {"genai", "openinference", "openllmetry"}


def test_every_call_is_found_once(case: Case) -> None:
    assert len(case.calls) == case.truth["inference_calls"]


def test_no_more_tokens_are_found_than_were_used(case: Case) -> None:
    assert sum(call.input_tokens or 0 for call in case.calls) <= case.truth["input_tokens_total"]
    assert sum(call.output_tokens or 0 for call in case.calls) <= case.truth["output_tokens_total"]


def test_wrappers_have_no_tokens_and_no_operation(case: Case) -> None:
    for wrapper in case.wrappers:
        assert (wrapper.input_tokens, wrapper.output_tokens) == (None, None)
        assert wrapper.operation is None


def test_what_the_payload_holds_is_read_right(case: Case) -> None:
    for call, true in case.pairs():
        for field, read in FIELDS.items():
            if case.all_readable(field) and field in _asked(true):
                assert (field, read(call)) == (field, _asked(true)[field])


FIELDS: dict[str, Callable[[Call], Any]] = {
    "input": lambda call: call.input_tokens,
    "output": lambda call: call.output_tokens,
    "cached": lambda call: call.cached_input_tokens,
    "reasoning": lambda call: call.reasoning_tokens,
    "request_model": lambda call: call.request_model,
    "response_model": lambda call: call.response_model,
    "finish": lambda call: call.finish_reasons,
    "truncated": lambda call: call.truncated,
    "error": lambda call: call.error_type is not None,
    "no_error": lambda call: call.error_type is not None,
    "streaming": lambda call: call.streaming,
    "ttft": lambda call: call.time_to_first_token_s is not None,
}


def _asked(true: dict[str, Any]) -> dict[str, Any]:
    """Return what can be asked of one call: not what its client never saw."""
    failed = bool(true.get("error"))
    asked: dict[str, Any] = {"request_model": true["request_model"], "no_error": failed}
    asked["error"] = failed
    if failed or true.get("client_aborted"):
        return asked
    asked["response_model"] = true["response_model"]
    if true.get("usage_sent"):
        asked["input"] = true["input_tokens"]
        if true["operation"] != "embeddings":
            asked["output"] = true["output_tokens"]
        asked |= {
            name: true[f"{name}_tokens"]
            for name in ("cached", "reasoning")
            if true.get(f"{name}_tokens")
        }
    if true.get("finish_reasons"):
        asked["finish"] = reasons(true["finish_reasons"])
        asked["truncated"] = true["truncated"]
    if true.get("stream"):
        asked |= {"streaming": True, "ttft": True}
    return asked


def only(instrumentation: str, case: str) -> Call:
    (call,) = load(CORPUS / instrumentation / f"{case}.meta.json").calls
    return call


@pytest.mark.parametrize(
    ("instrumentation", "case"),
    [
        ("otel-genai-openai", "chat_basic"),
        ("openinference-openai", "chat_basic"),
        ("traceloop-openai", "chat_basic"),
        ("traceloop-openai-0.38", "chat_basic"),
    ],
)
def test_the_same_prompt_has_the_same_messages_and_checksums_in_every_dialect(
    instrumentation: str, case: str
) -> None:
    told, other = only("otel-genai-openai", "chat_basic"), only(instrumentation, case)

    assert other.input == told.input
    assert other.input_checksum == told.input_checksum
    assert other.prompt_checksum == told.prompt_checksum
    assert [item["content"] for item in other.output] == [item["content"] for item in told.output]


def test_parameters_and_identity_are_read() -> None:
    call = only("openinference-openai", "chat_context_attributes")

    assert (call.temperature, call.top_p, call.max_tokens) == (0.2, 0.9, 200)
    assert call.stop_sequences == ("\n\n", "END")
    assert (call.session_id, call.user_id, call.prompt_version) == ("sess-7", "u-42", "v2.1")
    assert (call.service, call.service_version) == ("checkout-assistant", "1.4.2")
    assert (call.environment, call.provider) == ("staging", "openai")


def test_a_workflow_names_the_use_case() -> None:
    case = load(CORPUS / "traceloop-sdk" / "workflow_two_calls.meta.json")

    assert {call.use_case for call in case.calls} == {"capital-route"}
    assert len(case.wrappers) == 3


def test_a_stream_that_the_client_closed_is_no_failure_of_the_provider() -> None:
    call = only("otel-genai-openai", "chat_stream_abort")

    assert (call.error_type, call.finish_reasons, call.truncated) == (None, ("error",), None)


@pytest.mark.parametrize(
    ("instrumentation", "case", "error", "status"),
    [
        ("otel-genai-openai", "chat_err_429", "rate_limit", 429),
        ("openinference-openai", "chat_err_500", "server", 500),
        ("openinference-langchain", "err_429", "rate_limit", 429),
        ("traceloop-openai", "chat_err_429", "rate_limit", 429),
        ("otel-openai-v2", "chat_timeout", "timeout", None),
        ("anthropic-sdk-native", "anthropic_err_529", "overloaded", 529),
    ],
)
def test_errors_have_one_name_in_every_dialect(
    instrumentation: str, case: str, error: str, status: int | None
) -> None:
    call = only(instrumentation, case)

    assert (call.error_type, call.status_code) == (error, status)


def test_a_stream_without_a_reason_is_judged_by_its_limit() -> None:
    call = only("otel-openai-v2", "chat_stream_length")

    assert (call.finish_reasons, call.truncated) == ((), True)
    assert call.truncation_evidence == "limit_reached"


def test_the_pace_of_a_stream_is_known() -> None:
    call = only("otel-genai-openai", "chat_stream")

    assert call.time_to_first_token_s is not None
    assert call.output_tokens is not None
    rest = call.duration_s - call.time_to_first_token_s
    assert call.time_per_output_token_s == pytest.approx(rest / (call.output_tokens - 1))


def test_tools_are_part_of_the_prompt_and_content_is_not_kept_twice() -> None:
    case = load(CORPUS / "openinference-openai" / "chat_tools.meta.json")

    first, second = sorted(case.calls, key=lambda call: call.started_at)
    assert first.prompt_checksum == second.prompt_checksum
    assert first.input_checksum != second.input_checksum
    assert first.output[0]["tool_calls"][0]["name"] == "get_weather"
    assert not [key for key in first.attributes if key.startswith("llm.input_messages")]
