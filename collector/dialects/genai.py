"""OpenTelemetry GenAI attributes, old names and new, to a reading."""

from __future__ import annotations

from typing import Any

from collector.dialects.content import Content, Message, from_otel, message, messages
from collector.dialects.facts import facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, named
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.values import decoded, first, from_json
from collector.raw import RawEvent, RawSpan

NAME = "genai"

_MARKERS = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system")
_FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "anthropic.message.stop_reason",
)
_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"
_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def fits(raw: RawSpan) -> bool:
    """Return whether the span speaks OTel's own conventions."""
    return not raw.attributes.keys().isdisjoint(_MARKERS)


def read(raw: RawSpan, told: Named | None = None) -> Reading:
    """Read the attributes; messages and finish reasons may also be in span events."""
    told = named(raw.attributes) if told is None else told
    content = _content(raw)
    return Reading(
        dialect=NAME,
        named=told,
        facts=facts(told),
        content=content,
        finish=_finish(raw, content),
        first_token_s=first_token_s(raw, told),
    )


def _content(raw: RawSpan) -> Content:
    """Return the messages from where this version of the conventions keeps them."""
    found = from_otel(raw.attributes)
    if found.input is not None or found.output is not None or not raw.events:
        return found or _single_texts(raw)
    for event in raw.events:
        if event.name == _DETAILS:
            return from_otel(event.attributes)
    return _from_events(raw.events, found) or _single_texts(raw)


def _from_events(events: tuple[RawEvent, ...], found: Content) -> Content:
    """Read one event per message (1.28 to 1.36), or one per side (1.26 and 1.27)."""
    sent: list[Message] = []
    received: list[Message] = []
    for event in events:
        if event.name in _ROLES:
            sent.append(message(_body(event), _ROLES[event.name]))
        elif event.name == _CHOICE:
            received.append(_choice(_body(event)))
        elif event.name == "gen_ai.content.prompt":
            sent += messages(event.attributes.get("gen_ai.prompt"), "user") or []
        elif event.name == "gen_ai.content.completion":
            received += messages(event.attributes.get("gen_ai.completion"), "assistant") or []
    return Content(
        input=sent or None, output=received or None, tools=found.tools, consumed=found.consumed
    )


def _body(event: RawEvent) -> dict[str, Any]:
    """Return the message of an event: its attributes, or the JSON that Azure puts into one."""
    body = from_json(event.attributes.get("gen_ai.event.content"))
    plain = body if isinstance(body, dict) else event.attributes
    return {name: decoded(value) for name, value in plain.items()}


def _choice(body: dict[str, Any]) -> Message:
    """Return the answer of a choice: its ``message``, an object or plain text, else its parts."""
    answer = body.get("message")
    if isinstance(answer, dict):
        return message({**body, **answer}, "assistant")
    return message(body if answer is None else {**body, "content": answer}, "assistant")


def _single_texts(raw: RawSpan) -> Content:
    """Read ``gen_ai.prompt`` and ``gen_ai.completion``, each one JSON text."""
    names = ("gen_ai.prompt", "gen_ai.completion")
    sent, received = (raw.attributes.get(name) for name in names)
    return Content(
        input=messages(sent, "user"),
        output=messages(received, "assistant"),
        consumed=frozenset(names),
    )


def _finish(raw: RawSpan, content: Content) -> tuple[str, ...]:
    """Return why the model stopped: from an attribute, else from the answers themselves."""
    found = reasons(first(raw.attributes, _FINISH))
    if found and found != ("unknown",):
        return found
    words = [item.get("finish_reason") for item in content.output or ()]
    said = reasons([word for word in words if isinstance(word, str) and word])
    return said or found
