"""LiteLLM's OpenTelemetry callback, legacy, latest and V2, to a reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from collector.dialects import openllmetry
from collector.dialects.bodies import cut_if_incomplete
from collector.dialects.content import Content
from collector.dialects.facts import Facts
from collector.dialects.finish import reasons
from collector.dialects.names import Kind, Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.told import provider
from collector.dialects.usage import counts_in, filled, used
from collector.dialects.values import first, text, unflattened
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "litellm"
SCOPES: tuple[str, ...] = ("litellm",)

_MARKERS = ("litellm.call_id", "litellm.provider.model", "metadata.usage_object")
_RAW = "raw_gen_ai_request"  # the call again, under names of its provider
_USAGE = ("metadata.usage_object", "litellm.usage_object")
_FINISH = ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")
_TOOL = "gen_ai.tool.0.name"
_MODEL = "litellm.provider.model"
_OPERATION, _TYPE = "gen_ai.operation.name", "llm.request.type"
# Names of LiteLLM's functions, which older versions write as the type of a request.
_TYPES = {
    "completion": Operation.CHAT,
    "responses": Operation.CHAT,
    "chat": Operation.CHAT,
    "anthropic_messages": Operation.CHAT,
    "generate_content": Operation.GENERATE_CONTENT,
    "text_completion": Operation.TEXT_COMPLETION,
    "embedding": Operation.EMBEDDINGS,
    "rerank": Operation.RERANK,
}


def fits(raw: RawSpan) -> bool:
    """Return whether LiteLLM's own callback wrote the span, in its own names."""
    if "openinference.span.kind" in raw.attributes:
        return False  # its callback for Phoenix speaks that dialect
    return raw.scope_name.startswith(SCOPES) or not raw.attributes.keys().isdisjoint(_MARKERS)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a request; its raw twin below it, and the proxy's spans around it, are no calls."""
    operation = None if raw.name == _RAW else _operation(raw, told)
    if operation is None:
        return None
    read = openllmetry.normalise(raw, {**told, "kind": Kind(operation)})
    if read is None:
        return None
    return replace(
        read,
        dialect=NAME,
        named=told,
        facts=_facts(raw, read.facts),
        content=_with_tools(raw, read.content),
        finish=_finish(raw) or read.finish,
    )


def _operation(raw: RawSpan, told: Named) -> Operation | None:
    """Return what is asked for; ``completion`` is LiteLLM's word for a chat."""
    if _OPERATION in raw.attributes or _TYPE not in raw.attributes:
        return operation_of(told)
    kind = text(raw.attributes[_TYPE]) or ""
    return _TYPES.get(kind) or _TYPES.get(kind.removeprefix("a")) or operation_of(told)


def _facts(raw: RawSpan, found: Facts) -> Facts:
    usage = counts_in(first(raw.attributes, _USAGE))
    tokens = filled(found.tokens, used(usage)) if usage else found.tokens
    if found.streaming and tokens.output and _is_estimate(usage):
        tokens = tokens._replace(estimated=True)
    call_id = text(raw.attributes.get("litellm.call_id"))
    return found._replace(
        provider=found.provider or _provider(raw),
        response_model=_answered(found),
        response_id=found.response_id if found.response_id != call_id else None,
        tokens=tokens,
        app_cost_usd=None if tokens.estimated else found.app_cost_usd,
    )


def _is_estimate(usage: dict[str, Any]) -> bool:
    """Return whether LiteLLM counted the tokens of a stream itself.

    It then makes up details of the output, without what a provider adds, and none of the input.
    """
    details = usage.get("completion_tokens_details")
    if not isinstance(details, dict) or usage.get("prompt_tokens_details") is not None:
        return False
    made_up = details.get("accepted_prediction_tokens", 0) is None
    return made_up and not details.get("reasoning_tokens")


def _answered(found: Facts) -> str | None:
    """Return the model that answered: of a stream LiteLLM only repeats the one asked for."""
    known = found.response_model != found.request_model or not found.streaming
    return found.response_model if known else None


def _with_tools(raw: RawSpan, content: Content) -> Content:
    """Add the tools that V2 spreads over keys with indices."""
    if content.tools is not None or _TOOL not in raw.attributes:
        return content
    return replace(content, tools=unflattened(raw.attributes, "gen_ai.tool."))


def _provider(raw: RawSpan) -> str | None:
    """Return the provider before the model's name; calls of Responses are sent without one."""
    name = text(raw.attributes.get(_MODEL)) or ""
    return provider(name.partition("/")[0]) if "/" in name else None


def _finish(raw: RawSpan) -> tuple[str, ...]:
    """Return why the model stopped: a list as JSON in the legacy logger; "incomplete" is a status."""
    said: Any = first(raw.attributes, _FINISH)
    found = reasons(cut_if_incomplete(said))
    return found if found != ("unknown",) else ()
