"""The record of one call as it is promised: these fields, these units, this order."""

from __future__ import annotations

import io
import json
from decimal import Decimal

from rich.console import Console

from tests.world import NOON, a_call
from tidegauge.call import Audit, Evidence, NotCounted, OutputKind, UseCaseFrom
from tidegauge.commands.calls import line, print_table

PROMISED = [
    "project",
    "trace_id",
    "span_id",
    "parent_span_id",
    "started_at",
    "duration_s",
    "library",
    "library_version",
    "service",
    "service_version",
    "environment",
    "use_case",
    "use_case_from",
    "user_id",
    "session_id",
    "dialect",
    "operation",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "service_tier",
    "attempts",
    "duplicate_of",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "tokens_audit",
    "tokens_audit_rule",
    "streaming",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "finish_reasons",
    "truncated",
    "truncation_evidence",
    "truncation_confidence",
    "error_type",
    "status_code",
    "temperature",
    "top_p",
    "max_tokens",
    "stop_sequences",
    "output_type",
    "output_kind",
    "output_script",
    "output_valid",
    "repetition",
    "prompt_name",
    "prompt_version",
    "prompt_checksum",
    "input_checksum",
    "cost_usd",
    "app_cost_usd",
    "input",
    "output",
    "attributes",
    "scores",
]


def test_the_fields_are_the_promised_ones_in_their_order() -> None:
    assert list(json.loads(line(a_call(), all_spans=False))) == PROMISED


def test_with_all_spans_the_reason_why_one_does_not_count_is_added() -> None:
    said = json.loads(line(a_call(not_counted=NotCounted.WRAPPER), all_spans=True))

    assert list(said) == [*PROMISED, "not_counted"]
    assert said["not_counted"] == "wrapper"


def test_times_are_iso_8601_in_utc_with_a_z() -> None:
    at = NOON.replace(microsecond=250_000)
    said = json.loads(line(a_call(started_at=at), all_spans=False))

    assert said["started_at"] == "2026-01-15T12:00:00.250000Z"


def test_what_is_not_known_is_null_and_never_0() -> None:
    call = a_call(output_tokens=None, truncated=None, cost_usd=None, temperature=None)
    said = json.loads(line(call, all_spans=False))

    assert [said[k] for k in ("output_tokens", "truncated", "cost_usd", "temperature")] == [
        None
    ] * 4


def test_enumerations_lists_and_costs_are_plain_json() -> None:
    call = a_call(
        tokens_audit=Audit.OK,
        truncation_evidence=Evidence.FINISH_REASON,
        stop_sequences=("END",),
        cost_usd=Decimal("0.000000001"),
        attributes={"a": [1, None]},
    )
    said = json.loads(line(call, all_spans=False))

    assert (said["tokens_audit"], said["truncation_evidence"]) == ("ok", "finish_reason")
    assert said["stop_sequences"] == ["END"]
    assert said["cost_usd"] == 1e-9
    assert said["attributes"] == {"a": [1, None]}


def test_what_was_found_out_about_a_call_is_said_in_plain_words() -> None:
    call = a_call(
        library="opentelemetry.instrumentation.openai_v2",
        library_version="2.4b0",
        use_case_from=UseCaseFrom.PROMPT,
        attempts=2,
        service_tier="flex",
        output_kind=OutputKind.JSON,
        output_script="latin",
        truncation_evidence=Evidence.UNCLOSED_JSON,
        app_cost_usd=Decimal("0.25"),
    )
    said = json.loads(line(call, all_spans=False))

    assert said["library"] == "opentelemetry.instrumentation.openai_v2"
    assert (said["library_version"], said["use_case_from"]) == ("2.4b0", "prompt")
    assert (said["attempts"], said["service_tier"]) == (2, "flex")
    assert (said["output_kind"], said["output_script"]) == ("json", "latin")
    assert (said["truncation_confidence"], said["app_cost_usd"]) == (0.9, 0.25)


def test_a_duplicate_names_the_span_that_counts() -> None:
    counted = "0" * 31 + "1" + "0" * 15 + "2"
    call = a_call(not_counted=NotCounted.DUPLICATE, duplicate_of=counted)

    assert json.loads(line(call, all_spans=True))["duplicate_of"] == counted


def test_the_table_shows_names_as_they_are_and_unknown_numbers_as_a_dash() -> None:
    out = io.StringIO()
    call = a_call(service="[bold]bot[/bold]", output_tokens=None, error_type="timeout")

    print_table([call], Console(file=out, width=120))

    said = out.getvalue()
    assert "[bold]bot[/bold]" in said
    assert "timeout" in said
    assert said.splitlines()[1].split()[-3:] == ["-", "-", "timeout"]


def test_in_80_columns_a_call_still_has_one_line() -> None:
    out = io.StringIO()

    print_table([a_call(use_case="checkout-assistant")], Console(file=out, width=80))

    head, row = out.getvalue().splitlines()
    assert head.split() == ["started", "(UTC)", "service", "model", "seconds", "in", "out", "ended"]
    assert row.split()[2:] == ["checkout-bot", "gpt-4o-mini", "1.50", "400", "120", "stop"]
