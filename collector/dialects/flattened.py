"""Messages that were spread over flat keys, as OpenInference does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from collector.dialects.bodies import at
from collector.dialects.content import Message, message
from collector.dialects.values import unflattened

_KEYS_KNOWN = 4_096


def messages(flat: dict[str, Any], prefix: str, role: str) -> list[Message]:
    """Return messages in the order of their indices, from ``0.message.role`` and the like.

    >>> messages({"p.0.message.role": "user", "p.0.message.content": "Hi"}, "p.", "user")
    [{'role': 'user', 'content': 'Hi'}]
    """
    start = len(prefix)
    plain: dict[str, dict[str, Any]] = {}
    nested: dict[str, dict[str, Any]] = {}  # ``contents.0.message_content.text`` is one of a list
    for key, value in flat.items():
        index, name = _parts(key, start)
        if not index.isdecimal():
            continue
        fields = plain.get(index)
        if fields is None:
            fields = plain[index] = {}
        if "." in name:
            nested.setdefault(index, {})[name] = value
        else:
            fields[name] = value
    order = sorted(plain, key=lambda index: (len(index), index)) if len(plain) > 1 else plain
    return [_message(plain[index], nested.get(index), role) for index in order]


@lru_cache(maxsize=_KEYS_KNOWN)
def _parts(key: str, start: int) -> tuple[str, str]:
    """Return the index in a key and the name behind it: every conversation has the same ones."""
    index, _, name = key[start:].partition(".message.")
    return index, name


_ROLES = ("model",)  # Gemini says so of its own answers


def _message(plain: dict[str, Any], nested: dict[str, Any] | None, role: str) -> Message:
    """Return one message from its flattened form, where each part has a name in between."""
    if plain.get("role") in _ROLES:
        plain["role"] = "assistant"
    if nested:
        parts = unflattened(nested, "contents.")
        if parts:
            plain["content"] = [_part(at(part, "message_content")) for part in parts]
        calls = unflattened(nested, "tool_calls.")
        if calls:
            plain["tool_calls"] = [_tool_call(call) for call in calls]
    return message(plain, role)


def _part(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") == "reasoning":
        return {"type": "reasoning", "content": part.get("text")}
    return part


def _tool_call(item: Any) -> dict[str, Any]:
    call = at(item, "tool_call")
    return {
        "id": at(call, "id"),
        "name": at(call, "function", "name"),
        "arguments": at(call, "function", "arguments"),
    }
