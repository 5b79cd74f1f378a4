"""Prompts and answers as lists of messages, whatever form they came in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from collector.dialects.values import Attributes, decoded, from_json

Message = dict[str, Any]

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
SYSTEM, TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"
_MESSAGES = frozenset((INPUT, OUTPUT, SYSTEM))
_OTEL_NAMES = _MESSAGES | {TOOLS}
_SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was sent and what came back; None where the sender does not capture content."""

    input: list[Message] | None = None
    output: list[Message] | None = None
    tools: list[Any] | None = None
    # The attributes whose text is in input and output; tool definitions have no other place.
    consumed: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return self.input is not None or self.output is not None or self.tools is not None


_NO_CONTENT = Content()


def from_otel(attributes: Attributes) -> Content:
    """Read ``gen_ai.input.messages`` and its companions: JSON text, or structured values."""
    if _OTEL_NAMES.isdisjoint(attributes):
        return _NO_CONTENT
    system = system_messages(attributes[SYSTEM]) if SYSTEM in attributes else None
    sent = messages(attributes.get(INPUT), "user")
    return Content(
        input=system + (sent or []) if system else sent,
        output=messages(attributes.get(OUTPUT), "assistant"),
        tools=tools(attributes.get(TOOLS)),
        consumed=_MESSAGES,
    )


def messages(value: Any, role: str) -> list[Message] | None:
    """Return messages from a list or its JSON; text that is neither becomes one message."""
    if value is None:
        return None
    found = decoded(value)
    if isinstance(found, list):
        return [message(item, role) for item in found]
    return [message(found, role)]


def system_messages(value: Any) -> list[Message]:
    """Return system instructions as the first message: a text, or a list of parts."""
    if value is None:
        return []
    found = decoded(value)
    if isinstance(found, list):
        return [message({"role": "system", "parts": found}, "system")]
    return [message(found, "system")]


def message(item: Any, role: str) -> Message:
    """Return one message as role, content, and what else it has.

    Reads OTel's parts and the chat messages of OpenAI and Anthropic. Text parts are joined.
    """
    if not isinstance(item, dict):
        return {"role": role, "content": item}
    parts = item.get("parts")
    content = item.get("content") if parts is None else parts
    made: Message = {"role": item.get("role") or role, "content": content}
    if isinstance(content, list):
        single = _single_text(content)
        if single:  # nearly every message
            made["content"] = single
        else:
            _take_parts(content, made)
    if not _BESIDE.keys().isdisjoint(item):
        for name in _BESIDE:
            if item.get(name):
                made[name] = item[name]
    return made


_BESIDE = dict.fromkeys(("tool_calls", "tool_call_id", "finish_reason"))  # in this order


def _single_text(parts: list[Any]) -> str | None:
    """Return the text of a message whose only part is one; None for any other."""
    part = parts[0] if len(parts) == 1 else None
    if not isinstance(part, dict) or part.get("type") != "text":
        return None
    said = part.get("content")
    return said if isinstance(said, str) else None


def _take_parts(parts: list[Any], into: Message) -> None:
    said: list[str] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" or (kind is None and isinstance(part, str)):
            said.append(_said(part))
        elif kind in ("tool_call", "tool_use"):
            into.setdefault("tool_calls", []).append(_tool_call(part))
        elif kind in ("tool_call_response", "tool_result"):
            said.append(_as_text(_first(part, "response", "result", "content")))
            into["tool_call_id"] = _first(part, "id", "tool_use_id")
        elif kind == "reasoning":
            into["reasoning"] = part.get("content")
        else:
            into.setdefault("parts", []).append(part)
    into["content"] = "\n".join(said) if said else None


def _said(part: Any) -> str:
    return _as_text(part if isinstance(part, str) else _first(part, "content", "text"))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _first(part: dict[str, Any], *names: str) -> Any:
    return next((part[name] for name in names if part.get(name) is not None), None)


def _tool_call(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": part.get("id"),
        "name": part.get("name"),
        "arguments": _first(part, "arguments", "input"),
    }


def tools(value: Any) -> list[Any] | None:
    """Return tool definitions, from a list or JSON text, whose items may be JSON texts again."""
    if value is None:
        return None
    found = decoded(value)
    items: Iterable[Any] = found if isinstance(found, list) else [found]
    return [_definition(item) for item in items]


def _definition(item: Any) -> Any:
    found = from_json(item)
    return item if found is None else found


def system_text(sent: list[Message] | None) -> list[Any]:
    """Return the contents of the system and developer messages."""
    if not sent:
        return []
    return [item.get("content") for item in sent if item.get("role") in _SYSTEM_ROLES]
