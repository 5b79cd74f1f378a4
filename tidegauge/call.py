"""The vocabulary: one model call, in Tidegauge's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple


class Operation(StrEnum):
    """What a call asks the model for; the names of OTel's ``gen_ai.operation.name``."""

    CHAT = "chat"
    TEXT_COMPLETION = "text_completion"
    GENERATE_CONTENT = "generate_content"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"


class Audit(StrEnum):
    """Whether the token numbers of a call can be trusted."""

    OK = "ok"
    ADJUSTED = "adjusted"
    UNSURE = "unsure"


class Evidence(StrEnum):
    """What says that a call was truncated, or was not."""

    FINISH_REASON = "finish_reason"
    LIMIT_REACHED = "limit_reached"  # output_tokens >= max_tokens, and no reason was sent


class NotCounted(StrEnum):
    """Why a stored span is no call."""

    WRAPPER = "wrapper"  # agent, chain, tool, workflow: kept for the trace view


class Usage(NamedTuple):
    """What the price of a call depends on; see Call for the fields."""

    operation: Operation | None
    provider: str | None
    request_model: str | None
    response_model: str | None
    started_at: datetime
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One span as Tidegauge keeps it: a model call, or a wrapper around some.

    Names follow OTel's GenAI conventions where they have one. ``None`` means not known, never 0.
    ``input_tokens`` includes cached tokens, ``output_tokens`` includes reasoning; the other three
    token fields are subsets of these two.
    """

    project: str
    trace_id: str  # 32 hex digits, lower case
    span_id: str  # 16 hex digits, lower case
    parent_span_id: str | None = None
    name: str = ""
    started_at: datetime  # UTC, aware
    duration_s: float  # wall time, seconds
    clock_invalid: bool = False  # no start, or an end before it: left out of statistics
    not_counted: NotCounted | None = None  # None: this span is a call and counts

    service: str = "unknown_service"
    service_version: str | None = None
    environment: str = "default"
    use_case: str = "default"
    user_id: str | None = None
    session_id: str | None = None

    dialect: str = "none"  # which convention the span spoke
    operation: Operation | None = None
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    tokens_audit: Audit | None = None
    tokens_audit_rule: str | None = None

    streaming: bool | None = None
    time_to_first_token_s: float | None = None
    time_per_output_token_s: float | None = None

    finish_reasons: tuple[str, ...] = ()  # stop, length, content_filter, tool_call, error, unknown
    truncated: bool | None = None
    truncation_evidence: Evidence | None = None
    error_type: str | None = None  # timeout, rate_limit, or the provider's code; None: no error
    status_code: int | None = None  # HTTP, where known

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    output_type: str | None = None  # json, text

    output_valid: bool | None = None
    repetition: float | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    prompt_checksum: str | None = None  # system instructions + tool definitions + template
    input_checksum: str | None = None  # the whole normalised input: exact repeats

    cost_usd: Decimal | None = None

    input: Any = None  # JSON: the messages sent
    output: Any = None  # JSON: the messages received
    attributes: Mapping[str, Any] = field(default_factory=dict)  # everything else it carried

    @property
    def model(self) -> str:
        """Return the model that a series is named by: the one asked for, else the one that answered.

        The request's name is preferred: a provider that moves an alias to a new snapshot then shows
        as a change within the series, not as a new series without a past.
        """
        return self.request_model or self.response_model or "unknown"

    @property
    def usage(self) -> Usage:
        """Return what the price of this call depends on."""
        return Usage(*(getattr(self, name) for name in Usage._fields))

    @property
    def failed(self) -> bool:
        """Return whether the call ended in an error."""
        return self.error_type is not None
