"""From a reading to a call: the rules that hold for every dialect."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from collector.dialects.beside import BESIDE, attributes_of
from collector.dialects.checked import Checked, checked
from collector.dialects.errors import error_of
from collector.dialects.facts import Facts
from collector.dialects.identity import identify
from collector.dialects.names import Named
from collector.dialects.prompt_identity import checksum, prompt_checksum
from collector.dialects.reading import Reading
from collector.raw import RawSpan
from tidegauge.call import Call, Draft, NotCounted, Usage, sealed

__all__ = ["BESIDE", "Cost", "attempts_of", "call_of", "checksum", "no_price", "wrapper_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: frozenset[str] = frozenset()

Cost = Callable[[Usage], Decimal | None]  # US dollars


def no_price(_: Usage) -> None:
    """Price nothing."""


def call_of(raw: RawSpan, project: str, reading: Reading, cost: Cost = no_price) -> Call:
    """Return the call that a span stands for."""
    told = reading.named
    call = _begun(raw, project, reading.dialect)
    identify(call, raw, told)
    error_type, call.status_code = error_of(raw, told)
    call.error_type = error_type
    call.operation = reading.operation
    call.finish_reasons = reading.finish
    call.attempts = attempts_of(told)
    call.prompt_name = told.get("prompt_name")
    _take_facts(call, reading.facts)
    found = checked(raw, reading, error_type)
    _take_checked(call, found)
    _take_times(call, reading, found.tokens.output)
    _take_content(call, raw, reading)
    call.cost_usd = cost(_usage(call))
    return sealed(call)


def _take_facts(call: Any, said: Facts) -> None:
    call.provider = said.provider
    call.request_model = said.request_model
    call.response_model = said.response_model
    call.response_id = said.response_id
    call.temperature = said.temperature
    call.top_p = said.top_p
    call.max_tokens = said.max_tokens
    call.stop_sequences = said.stop_sequences
    call.output_type = said.output_type
    call.service_tier = said.service_tier
    call.prompt_version = said.prompt_version
    call.app_cost_usd = said.app_cost_usd


def _take_checked(call: Any, found: Checked) -> None:
    counted = found.tokens
    call.truncated = found.truncated
    call.truncation_evidence = found.evidence
    call.output_kind = found.kind
    call.output_script = found.script
    call.output_valid = found.valid
    call.repetition = found.repetition
    call.input_tokens = counted.input
    call.output_tokens = counted.output
    call.cached_input_tokens = counted.cache_read
    call.cache_write_tokens = counted.cache_write
    call.reasoning_tokens = counted.reasoning
    call.tokens_audit = counted.audit
    call.tokens_audit_rule = counted.rule


def _take_times(call: Any, reading: Reading, output_tokens: int | None) -> None:
    first_token_s = reading.first_token_s
    call.streaming = reading.facts.streaming
    if first_token_s is None:
        return
    if not reading.by_server:
        call.streaming = True
    call.time_to_first_token_s = first_token_s
    call.time_per_output_token_s = _pace(call.duration_s, first_token_s, output_tokens)


def _take_content(call: Any, raw: RawSpan, reading: Reading) -> None:
    content = reading.content
    call.input = content.input
    call.output = content.output
    call.attributes = attributes_of(raw, content.consumed)
    # What was dropped may be a part of the prompt: its checksum would tell of a new one.
    if not raw.dropped_attributes:
        call.prompt_checksum = prompt_checksum(content, reading.facts.template)
        call.input_checksum = checksum(content.input) if content.input else None


def _usage(call: Any) -> Usage:
    return Usage(
        call.operation,
        call.provider,
        call.request_model,
        call.response_model,
        call.started_at,
        call.input_tokens,
        call.output_tokens,
        call.cached_input_tokens,
        call.cache_write_tokens,
        call.reasoning_tokens,
        call.service_tier,
    )


def wrapper_of(raw: RawSpan, project: str, dialect: str, told: Named) -> Call:
    """Return a span that is no call: kept for the trace view, without tokens or cost."""
    call = _begun(raw, project, dialect)
    identify(call, raw, told)
    call.not_counted = NotCounted.WRAPPER
    call.error_type, call.status_code = error_of(raw, told)
    call.attributes = attributes_of(raw, _NOTHING)
    return sealed(call)


def unreadable(raw: RawSpan, project: str, dialect: str) -> Call:
    """Return a span as it came, where reading it failed: nothing of it counts."""
    call = _begun(raw, project, dialect)
    call.not_counted = NotCounted.UNREADABLE
    call.attributes = attributes_of(raw, _NOTHING)
    return sealed(call)


def attempts_of(told: Named) -> int | None:
    """Return how often the library tried, where it tells how often it sent the request again."""
    again: int | None = told.get("resent")
    return None if again is None else again + 1


def _begun(raw: RawSpan, project: str, dialect: str) -> Any:
    """Return a draft of a call with what every span has: ids and times."""
    call = Draft()
    call.project = project
    call.dialect = dialect
    call.trace_id = raw.trace_id
    call.span_id = raw.span_id
    call.parent_span_id = raw.parent
    call.name = raw.name
    call.kind = raw.kind or None
    call.library = raw.scope_name or None
    call.library_version = raw.scope_version or None
    start_ns, passed_ns = raw.start_ns, raw.end_ns - raw.start_ns
    call.started_at = _EPOCH + timedelta(0, 0, start_ns // 1_000)
    call.duration_s = passed_ns / 1e9 if passed_ns > 0 else 0.0
    call.clock_invalid = raw.clock_clamped or start_ns <= 0 or passed_ns < 0
    return call


def _pace(duration_s: float, first_token_s: float, output_tokens: int | None) -> float | None:
    """Return seconds per output token after the first one."""
    if output_tokens is None or output_tokens < 2:
        return None
    rest = duration_s - first_token_s
    return rest / (output_tokens - 1) if rest >= 0 else None
