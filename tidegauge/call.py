"""The vocabulary: one model call, in Tidegauge's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
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
    UNCLOSED_JSON = "unclosed_json"  # JSON that ends within an object, a list or a text
    UNCLOSED_FENCE = "unclosed_fence"  # a block of code that is opened and not closed
    MID_SENTENCE = "mid_sentence"  # prose that ends without an end
    STREAM_WITHOUT_USAGE = "stream_without_usage"  # a stream that told neither reason nor tokens


MAX_USD = 10_000  # a call costs no more: sums of what is stored stay within 64 bits

#: How sure one may be that an answer was cut, where this is what says so; a share of 1.
CONFIDENCE = {
    Evidence.FINISH_REASON: 1.0,
    Evidence.LIMIT_REACHED: 0.95,
    Evidence.UNCLOSED_JSON: 0.9,
    Evidence.UNCLOSED_FENCE: 0.8,
    Evidence.MID_SENTENCE: 0.5,
    Evidence.STREAM_WITHOUT_USAGE: 0.3,
}


class UseCaseFrom(StrEnum):
    """What names the use case of a call, the one to be believed first."""

    SAID = "said"  # tidegauge.use_case, of the span, of its resource or of a span above
    PROMPT = "prompt"  # the name of the prompt
    AGENT = "agent"  # an agent, workflow or function, of the span itself
    PARENT = "parent"  # the same, of the nearest span above
    ROOT = "root"  # the name of the root span


class OutputKind(StrEnum):
    """What a model answered with, by the look of it."""

    TEXT = "text"
    JSON = "json"
    TOOL_CALL = "tool_call"
    REFUSAL = "refusal"  # the provider or the model said that it will not
    EMPTY = "empty"  # it ended well and said nothing


class NotCounted(StrEnum):
    """Why a stored span is no call."""

    WRAPPER = "wrapper"  # agent, chain, tool, workflow: kept for the trace view
    AGGREGATE = "aggregate"  # it repeats the sum of the calls below it
    DUPLICATE = "duplicate"  # another span tells of the same call: see duplicate_of
    UNREADABLE = "unreadable"  # reading it failed: kept as it came
    ATTEMPT = "attempt"  # it failed, and was tried again: see duplicate_of


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
    reasoning_tokens: int | None = None
    service_tier: str | None = None  # batch, flex, priority: other prices


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
    duplicate_of: str | None = None  # trace and span of the record that counts, 48 hex digits
    attempts: int | None = None  # how often it was tried, where that is known
    kind: int | None = None  # SpanKind of OTLP: 2 server, 3 client, ...
    library: str | None = None  # the instrumentation scope that wrote the span
    library_version: str | None = None

    service: str = "unknown_service"
    service_version: str | None = None
    environment: str = "default"
    use_case: str = "default"
    use_case_from: UseCaseFrom | None = None  # None: nothing names it
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
    service_tier: str | None = None

    output_kind: OutputKind | None = None
    output_script: str | None = None  # latin, cyrillic, han, ...: of most of its letters
    output_valid: bool | None = None
    repetition: float | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    prompt_checksum: str | None = None  # system instructions + tool definitions + template
    input_checksum: str | None = None  # the whole normalised input: exact repeats

    cost_usd: Decimal | None = None
    app_cost_usd: Decimal | None = None  # what the application itself says that it cost

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
    def truncation_confidence(self) -> float | None:
        """Return how sure the evidence is that the answer was cut; None where there is none."""
        return None if self.truncation_evidence is None else CONFIDENCE[self.truncation_evidence]

    @property
    def usage(self) -> Usage:
        """Return what the price of this call depends on."""
        return Usage(*(getattr(self, name) for name in Usage._fields))

    @property
    def failed(self) -> bool:
        """Return whether the call ended in an error."""
        return self.error_type is not None


def _twin(of: type[Call]) -> Any:
    """Return a class with the fields of another that is not frozen: each has a default."""
    defaults = [(one.name, one.default, one.default_factory) for one in fields(of)]
    listed = [
        (name, Any, field(default=None if default is MISSING else default))
        if factory is MISSING
        else (name, Any, field(default_factory=factory))
        for name, default, factory in defaults
    ]
    return make_dataclass("Draft", listed, slots=True, eq=False)


#: A call that is being filled in, field by field; ``sealed`` makes it one. It may be left as it is
#: where a default is meant, but for what a Call requires. For the collector alone, which makes one
#: of every span: the constructor looks up each of 65 keywords among all names and sets each field
#: past the lock. That takes 8 us, a third of what reading a span may cost; this way takes 1.
Draft = _twin(Call)


def sealed(draft: Any) -> Call:
    """Return the call that a Draft holds. It is frozen from then on, and equal to one made whole."""
    draft.__class__ = Call  # both have the same slots
    call: Call = draft
    return call
