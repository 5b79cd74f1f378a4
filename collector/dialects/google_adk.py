"""Google's Agent Development Kit, schemas 1 and 2, to a reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from collector.dialects import bodies, genai
from collector.dialects.content import Content, tools
from collector.dialects.facts import Facts, facts
from collector.dialects.model_names import bare, offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.parameters import plain
from collector.dialects.reading import Reading
from collector.dialects.tokens import Tokens
from collector.dialects.usage import filled, used
from collector.dialects.values import mapping, text
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "google_adk"
SCOPES: tuple[str, ...] = ("gcp.vertex.agent",)

_CALL = "call_llm"  # schema 1; it has no operation
_REQUEST, _RESPONSE = "gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"
_BLOBS = frozenset((_REQUEST, _RESPONSE))
_ITSELF = "gcp.vertex.agent"  # what schema 1 writes as the provider


def fits(raw: RawSpan) -> bool:
    """Return whether the kit wrote the span."""
    return raw.scope_name.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call; in schema 1 request and response are one JSON text each."""
    operation = operation_of(told)
    if operation is None and raw.name == _CALL and "kind" not in told:
        operation = Operation.GENERATE_CONTENT
    if operation is None:
        return None
    reading = genai.reading_of(raw, operation, told)
    request, response = (_blob(raw.attributes.get(name)) for name in (_REQUEST, _RESPONSE))
    return replace(
        reading,
        dialect=NAME,
        facts=_facts(facts(told, _asked(request)) if request else reading.facts, response),
        content=reading.content or _content(request, response),
        finish=reading.finish or bodies.ended(response),
    )


def _blob(value: Any) -> dict[str, Any]:
    """Return the JSON of one side; "{}" stands for content that is not to be sent."""
    return {} if value is None or value == "{}" else mapping(value)


def _facts(found: Facts, response: dict[str, Any]) -> Facts:
    """Return the facts. A model of LiteLLM is named with its route: "openai/gpt-4o-mini"."""
    model = found.request_model
    itself = found.provider is None or found.provider == _ITSELF
    return found._replace(
        provider=(offered_by(model) if model else None) if itself else found.provider,
        request_model=bare(model) if model else None,
        response_model=found.response_model or text(response.get("model_version")),
        tokens=_tokens(found.tokens, response),
        streaming=found.streaming or (response.get("partial") is True) or None,
    )


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    asked = plain(mapping(request.get("config")))
    return {**asked, "model": request["model"]} if "model" in request else asked


def _tokens(told: Tokens, response: dict[str, Any]) -> Tokens:
    """Return the counts. Google's own do not include what was thought; those of the kit do."""
    google = used(response.get("usage_metadata"))
    if told.input is None and told.output is None:
        return google._replace(excludes_reasoning=True)
    return filled(told, google)


def _content(request: dict[str, Any], response: dict[str, Any]) -> Content:
    """Return the messages of schema 1: of Gemini's form, the system's in the configuration."""
    if not request and not response:
        return Content()
    config = mapping(request.get("config"))
    sent = {
        "contents": request.get("contents"),
        "system_instruction": config.get("system_instruction"),
    }
    candidate = {"content": response.get("content")}
    return Content(
        input=bodies.asked(sent),
        output=bodies.answered({"candidates": [candidate]}) if candidate["content"] else None,
        tools=tools(_definitions(config.get("tools"))),
        consumed=_BLOBS,
    )


def _definitions(listed: Any) -> list[Any] | None:
    """Return the functions of all tools in one list."""
    items = listed if isinstance(listed, list) else []
    functions = [bodies.at(item, "function_declarations") for item in items]
    return [one for group in functions if isinstance(group, list) for one in group] or None
