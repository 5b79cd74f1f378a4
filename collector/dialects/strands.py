"""Strands Agents to a reading: its messages are span events, in Bedrock's form or in OTel's."""

from __future__ import annotations

from typing import Any

from collector.dialects.content import Content, Message, from_otel, message
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.model_names import bare, offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.told import milliseconds
from collector.dialects.values import decoded
from collector.raw import RawSpan

NAME = "strands"
SCOPES: tuple[str, ...] = ("strands.",)

_ITSELF = "strands-agents"  # what it writes as the provider
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
_MILLISECONDS = "gen_ai.server.time_to_first_token"
_DETAILS, _CHOICE = "gen_ai.client.inference.operation.details", "gen_ai.choice"
_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def fits(raw: RawSpan) -> bool:
    """Return whether Strands wrote the span."""
    if raw.scope_name.startswith(SCOPES):
        return True
    return any(raw.attributes.get(name) == _ITSELF for name in _PROVIDER)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call. It always streams; the time to the first token is a number of milliseconds.

    An answer that was cut makes the spans above it fail, not this one.
    """
    operation = operation_of(told)
    if operation is None:
        return None
    content, finish = _said(raw)
    return Reading(
        dialect=NAME,
        operation=operation,
        named=told,
        facts=_facts(told),
        content=content,
        finish=finish,
        first_token_s=milliseconds(raw.attributes.get(_MILLISECONDS)),
    )


def _facts(told: Named) -> Facts:
    found = facts(told)
    model = found.request_model
    itself = found.provider == _ITSELF or found.provider is None
    return found._replace(
        provider=(offered_by(model) if model else None) if itself else found.provider,
        request_model=bare(model) if model else None,
        streaming=True,
    )


def _said(raw: RawSpan) -> tuple[Content, tuple[str, ...]]:
    """Return the messages and why the model stopped: new form, or one event per message."""
    details = [event.attributes for event in raw.events if event.name == _DETAILS]
    told = {name: value for one in details for name, value in one.items()}
    content = from_otel({**raw.attributes, **told}) if details else from_otel(raw.attributes)
    if content.input is None and content.output is None:
        return _from_events(raw, content)
    return content, _reasons(item.get("finish_reason") for item in content.output or ())


def _from_events(raw: RawSpan, found: Content) -> tuple[Content, tuple[str, ...]]:
    sent: list[Message] = []
    received: list[Message] = []
    ended: list[Any] = []
    for event in raw.events:
        if event.name in _ROLES:
            sent.append(_message(event.attributes.get("content"), _ROLES[event.name]))
        elif event.name == _CHOICE:
            received.append(_message(event.attributes.get("message"), "assistant"))
            ended.append(event.attributes.get("finish_reason"))
    consumed = _CONSUMED if sent or received else found.consumed
    content = Content(
        input=sent or None, output=received or None, tools=found.tools, consumed=consumed
    )
    return content, _reasons(ended)


_CONSUMED = frozenset((_CHOICE, *_ROLES))  # so that the events are not kept beside the messages


def _reasons(words: Any) -> tuple[str, ...]:
    return reasons([word for word in words if isinstance(word, str)])


def _message(value: Any, role: str) -> Message:
    """Return one message from the JSON of Bedrock's content blocks."""
    blocks = decoded(value)
    if not isinstance(blocks, list):
        return message({"role": role, "content": blocks}, role)
    return message({"role": role, "content": [_part(block) for block in blocks]}, role)


def _part(block: Any) -> Any:
    """Return a block of Bedrock as a part of OTel: its kind is the name of its only key."""
    if not isinstance(block, dict):
        return block
    if "text" in block:
        return {"type": "text", "content": block["text"]}
    used, given, thought = (_inner(block, name) for name in _BLOCKS)
    if used:
        called = {"id": used.get("toolUseId"), "name": used.get("name")}
        return {"type": "tool_call", **called, "arguments": used.get("input")}
    if given:
        response = _texts(given.get("content"))
        return {"type": "tool_call_response", "id": given.get("toolUseId"), "response": response}
    if thought:
        return {"type": "reasoning", "content": _inner(thought, "reasoningText").get("text")}
    return block


_BLOCKS = ("toolUse", "toolResult", "reasoningContent")


def _inner(block: dict[str, Any], name: str) -> dict[str, Any]:
    found = block.get(name)
    return found if isinstance(found, dict) else {}


def _texts(content: Any) -> Any:
    """Return the text of a tool's result, or what else it is."""
    if not isinstance(content, list):
        return content
    texts = [item.get("text") for item in content if isinstance(item, dict)]
    said = [text for text in texts if isinstance(text, str)]
    return "\n".join(said) if said and len(said) == len(content) else content
