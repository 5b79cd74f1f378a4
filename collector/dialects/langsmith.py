"""LangSmith SDK in OpenTelemetry mode to a reading: gen_ai names, JSON and Python's repr in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from collector.dialects.bodies import (
    answered,
    asked,
    at,
    consumed,
    cut_if_incomplete,
    ended,
    id_of,
    model_of,
    response_metadata,
)
from collector.dialects.content import Content, from_otel, tools
from collector.dialects.errors import error_of
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.usage import counts_in, filled, usage_of, used
from collector.dialects.values import decoded, first, flag, mapping
from collector.raw import RawSpan

NAME = "langsmith"
SCOPES: tuple[str, ...] = ("langsmith",)

_KIND = "langsmith.span.kind"
_METADATA = "langsmith.metadata."
_PROMPT, _COMPLETION = "gen_ai.prompt", "gen_ai.completion"
_DETAILS = ("gen_ai.usage.input_token_details", "gen_ai.usage.output_token_details")
_USAGE = _METADATA + "usage_metadata"
_FINISH = "gen_ai.response.finish_reasons"
_ASKED = [
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "stop",
    "n",
    "response_format",
]
_PARAMETERS = tuple((name, _METADATA + name) for name in _ASKED)
_NEW_TOKEN = frozenset({"new_token"})
_OK = 1  # span status


def fits(raw: RawSpan) -> bool:
    """Return whether the span names the type of its LangSmith run."""
    return _KIND in raw.attributes


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a run of a model; runs of chains, prompts, parsers and tools are wrappers."""
    operation = operation_of(told)
    if operation is None:
        return None
    request = decoded(raw.attributes.get(_PROMPT))
    answer = decoded(raw.attributes.get(_COMPLETION))
    return Reading(
        dialect=NAME,
        operation=operation,
        named=_named(raw, told),
        facts=_facts(raw, told, request, answer),
        content=_content(raw, request, answer),
        finish=reasons(cut_if_incomplete(first(raw.attributes, (_FINISH,)))) or ended(answer),
        first_token_s=first_token_s(raw, told, _NEW_TOKEN),
    )


def _named(raw: RawSpan, told: Named) -> Named:
    """Return the facts without what is none: a run bears its own name as the name of its trace.

    A run that failed has the status OK and an exception.
    """
    found = dict(told)
    if found.get("actor") == raw.name:
        del found["actor"]
    if raw.status == _OK and "error_type" not in found and raw.events:
        family, code = error_of(replace(raw, status=0), told)
        found |= {"error_type": family} if family else {}
        found |= {"http_status": code} if code else {}
    return found


def _facts(raw: RawSpan, told: Named, request: Any, answer: Any) -> Facts:
    found = facts(told, _parameters(raw, request))
    response = _response(answer)
    return found._replace(
        response_model=model_of(response) or found.response_model,
        response_id=found.response_id or id_of(response),
        tokens=_tokens(raw, found.tokens, answer),
        streaming=True if found.streaming or _is_streamed(request, answer) else found.streaming,
        service_tier=found.service_tier or _tier(raw),
    )


def _parameters(raw: RawSpan, request: Any) -> Mapping[str, Any]:
    """Return the request of the OpenAI wrapper, or the parameters that LangChain lists."""
    if isinstance(request, dict) and "model" in request:
        return request
    attributes = raw.attributes
    return {name: attributes[key] for name, key in _PARAMETERS if key in attributes}


def _response(answer: Any) -> Mapping[str, Any]:
    """Return what holds the model and the id of a response: its body, or what LangChain keeps."""
    if not isinstance(answer, dict):
        return {}
    generation = at(answer, "generations", 0) if "generations" in answer else None
    if generation is None:
        return answer
    found = response_metadata(at(generation, 0) if isinstance(generation, list) else generation)
    return {**found, "model": found.get("model_name") or found.get("model")}


def _tokens(raw: RawSpan, told: Tokens, answer: Any) -> Tokens:
    """Add what the flat names lack: details in Python's repr, or the usage in JSON."""
    found = told
    for name in _DETAILS:
        if name in raw.attributes:
            found = filled(found, used(counts_in(raw.attributes[name])))
    if found.cache_read is not None and found.reasoning is not None:
        return found
    if _USAGE in raw.attributes:
        found = filled(found, used(mapping(raw.attributes[_USAGE])))
    elif isinstance(answer, dict):
        found = filled(found, _usage_in(answer))
    return found


def _usage_in(answer: dict[str, Any]) -> Tokens:
    message = at(answer, "generations", 0, 0, "message")
    usage = at(message, "kwargs", "usage_metadata") or at(message, "usage_metadata")
    usage = usage or answer.get("usage_metadata")
    return used(usage) if usage else usage_of(answer)


def _is_streamed(request: Any, answer: Any) -> bool:
    """Return whether an answer came in pieces: LangChain says ``stream: false`` all the same."""
    kind = at(answer, "generations", 0, 0, "type")
    return kind == "ChatGenerationChunk" or bool(flag(at(request, "stream")))


def _tier(raw: RawSpan) -> str | None:
    tier = raw.attributes.get("gen_ai.response.service_tier")
    return tier if isinstance(tier, str) and tier else None


def _content(raw: RawSpan, request: Any, answer: Any) -> Content:
    otel = from_otel(raw.attributes)
    definitions = at(request, "tools")
    sent, received = asked(request), answered(answer)
    return Content(
        input=sent if sent is not None else otel.input,
        output=received if received is not None else otel.output,
        tools=otel.tools or (tools(definitions) if definitions else None),
        consumed=otel.consumed | consumed(_PROMPT, sent, _COMPLETION, received),
    )
