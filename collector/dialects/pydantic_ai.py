"""Pydantic AI (1 and 2) and Logfire's own instrumentations to a reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from collector.dialects import bodies, genai
from collector.dialects.content import Content, Message, message, tools
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.usage import filled, usage_of
from collector.dialects.values import decoded, from_json, mapping
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "pydantic_ai"
SCOPES: tuple[str, ...] = ("pydantic-ai", "pydantic_ai", "logfire")

_MARKERS = ("model_request_parameters", "logfire.json_schema", "logfire.span_type")
_TYPE = "logfire.span_type"
_NO_SPANS = ("pending_span", "log")  # each is sent beside the span that it tells of
_PARAMETERS = "model_request_parameters"
_MODE = '"output_mode":'
_STRUCTURED = ("tool", "native", "prompted")
_EVENTS, _INPUTS = "events", "inputs"
_ASKED, _ANSWERED = "request_data", "response_data"
_OUTPUT_TOOL = "final_result"
# Older instrumentations of Logfire do not name the operation: their spans begin with it.
_BEGINNINGS = (
    (("Chat Completion", "Responses API", "Message with"), Operation.CHAT),
    (("Completion with",), Operation.TEXT_COMPLETION),
    (("Embedding Creation",), Operation.EMBEDDINGS),
)


def fits(raw: RawSpan) -> bool:
    """Return whether Pydantic AI or Logfire wrote the span."""
    return not raw.attributes.keys().isdisjoint(_MARKERS) or raw.scope_name.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call. Agents repeat the sum of tokens, in versions before 2 under the same names."""
    operation = operation_of(told) if "kind" in told else _by_name(raw, told)
    if operation is None or raw.attributes.get(_TYPE) in _NO_SPANS:
        return None
    reading = genai.reading_of(raw, operation, told)
    if _ASKED in raw.attributes and not reading.content:
        return _of_logfire(raw, told, reading)
    form, schema = _asked_form(raw.attributes.get(_PARAMETERS))
    content = reading.content if reading.content.output else _older(raw, reading.content)
    if form is None and any(map(_is_result, content.output or ())):
        form = "json"
    return replace(
        reading,
        dialect=NAME,
        facts=reading.facts._replace(output_type=form or reading.facts.output_type),
        content=content,
        finish=reading.finish or _ended(content),
        schema=schema,
    )


def _by_name(raw: RawSpan, told: Named) -> Operation | None:
    if _ASKED not in raw.attributes or "request_model" not in told:
        return None
    return next((found for words, found in _BEGINNINGS if raw.name.startswith(words)), None)


def _asked_form(parameters: Any) -> tuple[str | None, Any]:
    """Return the form that was asked for, and its JSON Schema.

    The parameters are long: they are parsed only where they say that it is not text.
    """
    if not isinstance(parameters, str) or _MODE not in parameters:
        return None, None
    at = parameters.find(_MODE) + len(_MODE)
    if parameters[at : at + 8].strip().startswith('"text"'):
        return "text", None
    asked = mapping(parameters)
    if asked.get("output_mode") not in _STRUCTURED:
        return None, None
    told = bodies.at(asked, "output_object", "json_schema")
    return "json", told or bodies.at(asked, "output_tools", 0, "parameters_json_schema")


def _is_result(said: Message) -> bool:
    """Return whether an answer calls the tool that stands for the structured output."""
    calls = said.get("tool_calls")
    names = [bodies.at(call, "name") for call in calls] if isinstance(calls, list) else []
    return any(isinstance(name, str) and name.startswith(_OUTPUT_TOOL) for name in names)


def _older(raw: RawSpan, found: Content) -> Content:
    """Read the messages of version 1, one JSON list of events, and the texts of embeddings."""
    events = decoded(raw.attributes.get(_EVENTS))
    if isinstance(events, list):
        return _from_events([one for one in events if isinstance(one, dict)])
    texts = decoded(raw.attributes.get(_INPUTS))
    if found.input is None and isinstance(texts, list):
        sent = [{"role": "user", "content": text} for text in texts]
        return replace(found, input=sent or None, consumed=frozenset((_INPUTS,)))
    return found


def _from_events(events: list[dict[str, Any]]) -> Content:
    sent = [_message(one, "user") for one in events if one.get("event.name") != "gen_ai.choice"]
    choices = [one for one in events if one.get("event.name") == "gen_ai.choice"]
    received = [_message(_choice(one), "assistant") for one in choices]
    return Content(input=sent or None, output=received or None, consumed=frozenset((_EVENTS,)))


def _choice(event: dict[str, Any]) -> dict[str, Any]:
    said = event.get("message")
    return {**event, **(said if isinstance(said, dict) else {"content": said})}


def _message(event: dict[str, Any], role: str) -> Message:
    calls = event.get("tool_calls")
    made = message({**event, "tool_calls": None}, role)
    if isinstance(calls, list) and calls:
        made["tool_calls"] = [_tool_call(call) for call in calls]
    if event.get("id") and made["role"] == "tool":
        made["tool_call_id"] = event["id"]
    return made


def _tool_call(call: Any) -> dict[str, Any]:
    function = bodies.at(call, "function") or call
    return {
        "id": bodies.at(call, "id"),
        "name": bodies.at(function, "name"),
        "arguments": bodies.at(function, "arguments"),
    }


def _ended(content: Content) -> tuple[str, ...]:
    words = [item.get("finish_reason") for item in content.output or ()]
    return reasons([word for word in words if isinstance(word, str)])


def _of_logfire(raw: RawSpan, told: Named, reading: Reading) -> Reading:
    """Read what Logfire's instrumentations of the clients write: request and answer, as JSON."""
    asked, answered = (from_json(raw.attributes.get(name)) for name in (_ASKED, _ANSWERED))
    body = answered if isinstance(answered, dict) else {}
    request = asked if isinstance(asked, dict) else {}
    said = facts(told, request)
    content = Content(
        input=bodies.asked(request),
        output=bodies.answered(body.get("message")) if "message" in body else None,
        tools=tools(request.get("tools")),
        consumed=frozenset((_ANSWERED,)) if body.get("message") else frozenset(),
    )
    return replace(
        reading,
        dialect=NAME,
        facts=_with_usage(said, body, request),
        content=content,
        finish=reading.finish or bodies.ended(body),
    )


def _with_usage(said: Facts, body: dict[str, Any], request: dict[str, Any]) -> Facts:
    streaming = True if request.get("stream") is True else said.streaming
    return said._replace(tokens=filled(said.tokens, usage_of(body)), streaming=streaming)
