"""Log records that are model calls: AutoGen tells of its calls in its log alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector import wire
from collector.dialects.values import mapping
from collector.raw import MAX_INT64, RawSpan, Value

SCOPE = "autogen_core.events"  # the name of its logger
_TYPES = ("LLMCall", "LLMStreamEnd")

Ids = tuple[str, str]  # trace and span, in hex; "" for what is no id


def span_of(
    scope: str, record: LogRecord, ids: Ids, resource: Mapping[str, Value]
) -> RawSpan | None:
    """Return the call that a record tells of, in the words of OTel's conventions; None for any other.

    Its start and duration are not known: it stands at the time of the record, and no statistic of
    time may use it.
    """
    if scope != SCOPE or not any(kind in record.body.string_value for kind in _TYPES):
        return None
    told = mapping(wire.plain(record.body))
    if told.get("type") not in _TYPES:
        return None
    at_ns = min(record.time_unix_nano or record.observed_time_unix_nano, MAX_INT64)
    digest = hashlib.blake2b(record.body.string_value.encode(errors="replace"))
    digest.update(orjson.dumps([*ids, at_ns]))
    made = digest.hexdigest()
    trace_id, above = ids
    return RawSpan(
        trace_id=trace_id or made[:32],
        span_id=made[32:48],
        parent=above or None,
        name="autogen call",
        kind=3,
        start_ns=at_ns,
        end_ns=at_ns,
        clock_clamped=True,
        attributes=_attributes(told),
        resource=resource,
        scope_name=scope,
    )


def _attributes(told: Mapping[str, Any]) -> dict[str, Value]:
    """Return what a record says under OTel's names; what it does not say is not there."""
    answer = mapping(told.get("response"))
    choices = answer.get("choices")
    first = choices if isinstance(choices, list) else [answer]
    messages = [_message(one) for one in first if isinstance(one, dict)]
    named = {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.id": answer.get("id"),
        "gen_ai.response.model": answer.get("model"),
        "gen_ai.usage.input_tokens": told.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": told.get("completion_tokens"),
        "gen_ai.input.messages": told.get("messages"),
        "gen_ai.output.messages": messages or None,
        "gen_ai.tool.definitions": told.get("tools") or None,
        "gen_ai.request.stream": told["type"] == "LLMStreamEnd" or None,
        "gen_ai.response.finish_reasons": _reasons(first) or None,
        **_parts(mapping(answer.get("usage"))),
    }
    return {name: value for name, value in named.items() if value is not None}


def _parts(usage: Mapping[str, Any]) -> dict[str, Value]:
    sent = mapping(usage.get("prompt_tokens_details"))
    received = mapping(usage.get("completion_tokens_details"))
    return {
        "gen_ai.usage.cache_read.input_tokens": sent.get("cached_tokens"),
        "gen_ai.usage.reasoning.output_tokens": received.get("reasoning_tokens"),
    }


def _message(choice: Mapping[str, Any]) -> Value:
    said = choice.get("message")
    return said if isinstance(said, dict) else {"content": choice.get("content")}


def _reasons(choices: list[Any]) -> list[str]:
    said = [one.get("finish_reason") for one in choices if isinstance(one, dict)]
    return [word for word in said if isinstance(word, str)]
