"""From a reading to a call: the rules that hold for every dialect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from collector.dialects import finish
from collector.dialects.content import Content, has_text, system_text
from collector.dialects.errors import error_of
from collector.dialects.facts import Facts
from collector.dialects.identity import identity
from collector.dialects.names import Named
from collector.dialects.reading import Reading
from collector.dialects.tokens import Tokens, audited
from collector.raw import RawEvent, RawSpan, is_chunk_event
from tidegauge.call import Call, Evidence, NotCounted, Operation, Usage

BESIDE = "tidegauge.span"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MESSAGE_EVENTS = frozenset(
    {
        "gen_ai.system.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        "gen_ai.client.inference.operation.details",
    }
)


Cost = Callable[[Usage], Decimal | None]  # US dollars


def no_price(_: Usage) -> None:
    """Price nothing."""


def call_of(
    raw: RawSpan, project: str, operation: Operation, reading: Reading, cost: Cost = no_price
) -> Call:
    """Return the call that a span stands for."""
    said, content, told = reading.facts, reading.content, reading.named
    counted = audited(said.tokens, answered=has_text(content.output))
    truncated, evidence = _truncated(reading, counted)
    error_type, status_code = error_of(raw, told)
    duration_s = _duration_s(raw)
    streaming = True if reading.first_token_s is not None else said.streaming
    started_at = _started_at(raw)
    return Call(
        **_frame(raw, project, started_at, duration_s),
        **identity(raw, told),
        dialect=reading.dialect,
        operation=operation,
        provider=said.provider,
        request_model=said.request_model,
        response_model=said.response_model,
        response_id=said.response_id,
        input_tokens=counted.input,
        output_tokens=counted.output,
        cached_input_tokens=counted.cache_read,
        cache_write_tokens=counted.cache_write,
        reasoning_tokens=counted.reasoning,
        tokens_audit=counted.audit,
        tokens_audit_rule=counted.rule,
        streaming=streaming,
        time_to_first_token_s=reading.first_token_s,
        time_per_output_token_s=_pace(duration_s, reading.first_token_s, counted.output),
        finish_reasons=reading.finish,
        truncated=truncated,
        truncation_evidence=evidence,
        error_type=error_type,
        status_code=status_code,
        temperature=said.temperature,
        top_p=said.top_p,
        max_tokens=said.max_tokens,
        stop_sequences=said.stop_sequences,
        output_type=said.output_type,
        prompt_name=told.get("prompt_name"),
        prompt_version=said.prompt_version,
        # What was dropped may be a part of the prompt: its checksum would tell of a new one.
        prompt_checksum=None if raw.dropped_attributes else _prompt_checksum(said, content),
        input_checksum=(
            checksum(content.input) if content.input and not raw.dropped_attributes else None
        ),
        cost_usd=cost(
            Usage(
                operation=operation,
                provider=said.provider,
                request_model=said.request_model,
                response_model=said.response_model,
                started_at=started_at,
                input_tokens=counted.input,
                output_tokens=counted.output,
                cached_input_tokens=counted.cache_read,
                cache_write_tokens=counted.cache_write,
            )
        ),
        input=content.input,
        output=content.output,
        attributes=_attributes(raw, content.consumed),
    )


def wrapper_of(raw: RawSpan, project: str, dialect: str, told: Named) -> Call:
    """Return a span that is no call: kept for the trace view, without tokens or cost."""
    error_type, status_code = error_of(raw, told)
    return Call(
        **_frame(raw, project, _started_at(raw), _duration_s(raw)),
        **identity(raw, told),
        dialect=dialect,
        not_counted=NotCounted.WRAPPER,
        error_type=error_type,
        status_code=status_code,
        attributes=_attributes(raw, frozenset()),
    )


def _frame(raw: RawSpan, project: str, started_at: datetime, duration_s: float) -> dict[str, Any]:
    """Return what every span has: ids and times."""
    return {
        "project": project,
        "trace_id": raw.trace_id,
        "span_id": raw.span_id,
        "parent_span_id": raw.parent,
        "name": raw.name,
        "started_at": started_at,
        "duration_s": duration_s,
        "clock_invalid": raw.clock_clamped or raw.start_ns <= 0 or raw.end_ns < raw.start_ns,
    }


def _started_at(raw: RawSpan) -> datetime:
    return _EPOCH + timedelta(microseconds=raw.start_ns // 1_000)


def _duration_s(raw: RawSpan) -> float:
    return max(raw.end_ns - raw.start_ns, 0) / 1e9


def _pace(
    duration_s: float, first_token_s: float | None, output_tokens: int | None
) -> float | None:
    """Return seconds per output token after the first one."""
    if first_token_s is None or output_tokens is None or output_tokens < 2:
        return None
    rest = duration_s - first_token_s
    return rest / (output_tokens - 1) if rest >= 0 else None


def _truncated(reading: Reading, counted: Tokens) -> tuple[bool | None, Evidence | None]:
    """Return whether the answer was cut, and what says so.

    Without a reason, as many tokens as were allowed are evidence. For several choices they are not:
    their tokens come as one sum.
    """
    said = finish.truncated(reading.finish)
    if said is not None:
        return said, Evidence.FINISH_REASON
    limit, used = reading.facts.max_tokens, counted.output
    single = (reading.facts.choices or 1) == 1 and len(reading.finish) < 2
    if single and limit is not None and used is not None and used >= limit:
        return True, Evidence.LIMIT_REACHED
    return None, None


def _prompt_checksum(said: Facts, content: Content) -> str | None:
    """Return a checksum of what the developer wrote; None where the span does not hold it."""
    system = system_text(content.input)
    if not (system or content.tools or said.template):
        return None
    return checksum({"system": system, "tools": content.tools, "template": said.template})


def checksum(value: Any) -> str:
    """Return 16 hex digits that are equal for equal JSON."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:16]


def _attributes(raw: RawSpan, consumed: frozenset[str]) -> Mapping[str, Any]:
    """Return all that the span carried and that no other field holds.

    What is no attribute of the span stands under ``BESIDE``.
    """
    kept = dict(raw.attributes)
    for name in consumed:
        kept.pop(name, None)
    # Under one name that is ours: an application may call an attribute "kind" or "events", too.
    kept[BESIDE] = _beside(raw, consumed)
    return kept


def _beside(raw: RawSpan, consumed: frozenset[str]) -> dict[str, Any]:
    beside: dict[str, Any] = {
        "resource": raw.resource,
        "scope": {"name": raw.scope_name, "version": raw.scope_version},
    }
    if raw.kind:
        beside["kind"] = raw.kind
    if raw.events:
        events = [_event(event) for event in raw.events if _is_worth_keeping(event, consumed)]
        if events:
            beside["events"] = events
    if raw.links:
        beside["links"] = raw.links
    if raw.status:
        beside["status"] = {"code": raw.status, "message": raw.status_message}
    if raw.dropped_attributes:
        beside["dropped_attributes"] = raw.dropped_attributes
    if raw.dropped_events:
        beside["dropped_events"] = raw.dropped_events
    return beside


def _is_worth_keeping(event: RawEvent, consumed: frozenset[str]) -> bool:
    """Return whether an event says more than the messages and the time of a chunk."""
    if not event.attributes:
        return not is_chunk_event(event.name)
    return not consumed or event.name not in _MESSAGE_EVENTS


def _event(event: RawEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "time_ns": event.time_ns,
        "attributes": dict(event.attributes),
    }
