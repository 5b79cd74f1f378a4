"""Requests and answers as the providers' own JSON, or LangChain's dump of them: what they tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from collector.dialects.content import Message, message
from collector.dialects.finish import reasons
from collector.dialects.values import decoded, text

Body = Mapping[str, Any]

_ROLES = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "model": "assistant",  # Gemini
    "developer": "system",
}
_TEXTS = frozenset({"text", "input_text", "output_text", "summary_text", "refusal"})
_OPAQUE = " object at 0x"  # the repr of a stream that was stored in the place of an answer


def at(item: Any, *path: str | int) -> Any:
    """Return what stands at a path, None where there is nothing.

    >>> at({"a": [{"b": 7}]}, "a", 0, "b"), at({"a": 1}, "a", "b")
    (7, None)
    """
    for name in path:
        if item is None:
            return None
        if isinstance(name, str):
            item = item.get(name) if isinstance(item, dict) else None
        else:
            item = item[name] if isinstance(item, list) and -len(item) <= name < len(item) else None
    return item


def is_opaque(value: Any) -> bool:
    """Return whether a value is only the repr of an object, which says nothing."""
    return isinstance(value, str) and value[:2] in ('"<', "<a", "<g", "<o") and _OPAQUE in value


def consumed(of_input: str, sent: Any, of_output: str, received: Any) -> frozenset[str]:
    """Return those two attributes whose text is in the messages; what was not read is kept."""
    if sent is None:
        return frozenset() if received is None else frozenset((of_output,))
    return frozenset((of_input,) if received is None else (of_input, of_output))


def asked(body: Any) -> list[Message] | None:
    """Return the messages of a request: of Chat, Responses, Anthropic, Gemini, LangChain; or text."""
    if body is None:
        return None
    if not isinstance(body, dict):
        return _listed(body, "user")
    system = _filled(body, _SYSTEM)
    said = _present(body, _ASKED)
    if system is None and said is None:
        return [_message(body, "user")] if "content" in body or "role" in body else None
    first = [_message({"role": "system", "content": _bare(system)}, "system")] if system else []
    return first + (_listed(_unwrapped(said), "user") if said is not None else [])


def _present(body: Body, names: Iterable[str]) -> Any:
    for name in names:
        if name in body and body[name] is not None:
            return body[name]
    return None


def _filled(body: Body, names: Iterable[str]) -> Any:
    """Return the first value that is there and not empty."""
    for name in names:
        if body.get(name):
            return body[name]
    return None


_SYSTEM = ("instructions", "system", "systemInstruction", "system_instruction")
_ASKED = ("messages", "input", "contents", "prompt", "prompts")


def _bare(system: Any) -> Any:
    parts = at(system, "parts")
    return parts if isinstance(parts, list) else system


def _unwrapped(said: Any) -> Any:
    """Return the messages of one prompt: LangChain sends a list of lists, a prompt each."""
    return said[0] if isinstance(said, list) and said and isinstance(said[0], list) else said


def _listed(body: Any, role: str) -> list[Message]:
    items = body if isinstance(body, list) else [body]
    return [_message(item, role) for item in items]


def answered(body: Any) -> list[Message] | None:
    """Return the answers in a response, one message per choice; None where there is none."""
    if body is None or is_opaque(body):
        return None
    if isinstance(body, dict):
        return _answers(body)
    if isinstance(body, list) and any(_is_item(item) for item in body):
        return _one_answer(body)
    return _listed(body, "assistant")


def _answers(body: dict[str, Any]) -> list[Message] | None:
    for name, read in (
        ("choices", _choice),
        ("candidates", _candidate),
        ("generations", _generation),
    ):
        found = body.get(name)
        if isinstance(found, list):
            return [read(item) for item in _unwrapped(found)] or None
    if isinstance(body.get("output"), list):
        return _one_answer(body["output"])
    if _is_item(body):
        return _one_answer([body])
    if "content" in body or "tool_calls" in body or "lc" in body:
        return [_message(body, "assistant")]
    nested = _filled(body, _NESTED)
    return None if nested is None else answered(nested)


_NESTED = ("message", "output", "messages", "text")


def _choice(item: Any) -> Message:
    said = at(item, "message")
    made = _message(at(item, "text") if said is None else said, "assistant")
    return made


def _candidate(item: Any) -> Message:
    return _message(at(item, "content"), "assistant")


def _generation(item: Any) -> Message:
    said = at(item, "message")
    return _message(at(item, "text") if said is None else said, "assistant")


def _is_item(item: Any) -> bool:
    return isinstance(item, dict) and _kind(item) in _ITEMS


_ITEMS = frozenset({"message", "function_call", "reasoning", "custom_tool_call"})


def _one_answer(items: list[Any]) -> list[Message] | None:
    """Return the one answer that the items of Responses make: text, reasoning and tool calls."""
    if not items:
        return None
    made: Message = {"role": "assistant", "content": None}
    for item in items:
        part = _message(item, "assistant")
        if part.get("content"):
            before = made["content"]
            made["content"] = part["content"] if before is None else _joined(before, part)
        if part.get("tool_calls"):
            made["tool_calls"] = [*made.get("tool_calls", ()), *part["tool_calls"]]
        if part.get("reasoning"):
            made["reasoning"] = part["reasoning"]
    return [made]


def _joined(before: Any, part: Message) -> str:
    return f"{before}\n{part['content']}"


def _message(item: Any, role: str) -> Message:
    """Return one message of any provider in our form."""
    if not isinstance(item, dict):
        return {"role": role, "content": item}
    if item.get("content").__class__ is str and _MORE.isdisjoint(item):  # nearly every message
        return {"role": _role(item.get("role"), role), "content": item["content"]}
    plain = item["kwargs"] if "lc" in item and isinstance(item.get("kwargs"), dict) else item
    kind = _kind(plain)
    if kind in _CALLS:
        return {"role": "assistant", "content": None, "tool_calls": [_call(plain)]}
    if kind in _RESULTS:
        said = {"role": "tool", "content": plain.get("output"), "tool_call_id": _call_id(plain)}
        return said
    if kind == "reasoning" and "role" not in plain:
        return {"role": "assistant", "content": None, "reasoning": _summary(plain)}
    named = plain.get("role") or (kind if kind != "message" else None)
    return _with_parts(plain, _role(named, role))


# A message with one of these is more than its text.
_MORE = frozenset({"lc", "type", "parts", "tool_calls", "function_call", "tool_call_id"})
_CALLS = frozenset({"function_call", "custom_tool_call"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})


def _kind(item: Any) -> str | None:
    found = item.get("type") if isinstance(item, dict) else None
    return found if isinstance(found, str) else None


def _role(named: Any, role: str) -> str:
    return _ROLES.get(named, named) if isinstance(named, str) else role


def _with_parts(plain: Body, role: str) -> Message:
    parts = plain.get("parts")
    content = plain.get("content") if parts is None else parts
    shaped: dict[str, Any] = {"role": role, "content": content}
    if isinstance(content, list):
        shaped["content"] = [_part(part) for part in content]
    calls = plain.get("tool_calls")
    if isinstance(calls, list) and calls:
        shaped["tool_calls"] = [_call(call) for call in calls]
    elif isinstance(plain.get("function_call"), dict):
        shaped["tool_calls"] = [_call(plain["function_call"])]
    if plain.get("tool_call_id"):
        shaped["tool_call_id"] = plain["tool_call_id"]
    return message(shaped, role)


def _part(part: Any) -> Any:
    """Return a part with the names that ``message`` reads."""
    if not isinstance(part, dict):
        return part
    kind = _kind(part)
    is_text = kind is None and part.get("text") is not None  # Gemini's parts may name every kind
    if is_text and part.get("thought") is True:
        return {"type": "reasoning", "content": part["text"]}
    if kind in _TEXTS or is_text:
        return {"type": "text", "content": part.get("text", part.get("refusal"))}
    if kind in ("thinking", "reasoning"):
        said = part.get("thinking", part.get("text", part.get("content")))
        return {"type": "reasoning", "content": said}
    called = part.get("functionCall", part.get("function_call"))
    if isinstance(called, dict):
        return {"type": "tool_call", **_call(called)}
    given = part.get("functionResponse", part.get("function_response"))
    if isinstance(given, dict):
        return {"type": "tool_call_response", "response": given.get("response")}
    return part


def _call(call: Any) -> dict[str, Any]:
    function = at(call, "function")
    told = function if isinstance(function, dict) else call
    arguments = _present(told, _ARGUMENTS) if isinstance(told, dict) else None
    return {"id": _call_id(call), "name": at(told, "name"), "arguments": arguments}


_ARGUMENTS = ("arguments", "args", "input")


def _call_id(call: Any) -> Any:
    found = at(call, "call_id")
    return at(call, "id") if found is None else found


def _summary(item: Body) -> str | None:
    said = item.get("summary") or item.get("content")
    texts = [at(part, "text") for part in said] if isinstance(said, list) else [said]
    return "\n".join(found for found in texts if isinstance(found, str)) or None


def ended(body: Any) -> tuple[str, ...]:
    """Return why the model stopped, one reason per choice, where a response says so."""
    if not isinstance(body, dict):
        return ()
    for name, word in _BY_CHOICE:
        if name in body and (found := _words(body[name], word)):
            return found
    told = _first(body, _STOPPED)
    if told is not None:
        return reasons(told)
    if "generations" in body and (found := _ended_generations(body)):
        return found
    if _RESPONSE.isdisjoint(body):
        return ()
    return ended_response(body) or ended(body.get("response_metadata"))


_BY_CHOICE = (
    ("choices", "finish_reason"),
    ("candidates", "finishReason"),
    ("candidates", "finish_reason"),
)
_RESPONSE = frozenset({"status", "output", "object", "response_metadata"})
_STOPPED = ("stop_reason", "stopReason", "finish_reason", "done_reason")


def _first(body: Body, names: Iterable[str]) -> Any:
    for name in names:
        if isinstance(body.get(name), str):
            return body[name]
    return None


def _words(items: Any, *path: str) -> tuple[str, ...]:
    found = [at(item, *path) for item in items] if isinstance(items, list) else []
    return reasons([word for word in found if isinstance(word, str) and word])


def ended_response(body: Body) -> tuple[str, ...]:
    """Return the reason of OpenAI's Responses: it stands beside the status, not in it.

    >>> ended_response({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}})
    ('length',)
    """
    status, items = body.get("status"), body.get("output")
    if not isinstance(items, list):
        items = [body] if _is_item(body) else []
    if status is None:
        states = [at(item, "status") for item in items if _kind(item) != "reasoning"]
        status = states[-1] if states else None
    if status == "incomplete":
        why = decoded(body.get("incomplete_details"))
        return reasons(at(why, "reason")) or CUT
    if not items and body.get("object") != "response":
        return ()
    called = any(_kind(item) in _CALLS for item in items)
    if called and status in ("completed", None):
        return ("tool_call",)
    return reasons(status) if isinstance(status, str) else ()


#: What a bare "incomplete" says: an answer that was cut, nearly always at the token limit.
CUT = ("length",)


def cut_if_incomplete(value: Any) -> Any:
    """Return finish reasons in which the status "incomplete" of Responses is read as a reason."""
    found = decoded(value)
    words = found if isinstance(found, list) else [found]
    return [*CUT] if words == ["incomplete"] else value


def _ended_generations(body: Body) -> tuple[str, ...]:
    batch = _unwrapped(body.get("generations"))
    if not isinstance(batch, list):
        return ()
    found = _words(batch, "generation_info", "finish_reason")
    return found or _each(map(response_metadata, batch))


def _each(told: Iterable[Body]) -> tuple[str, ...]:
    return tuple(word for one in told for word in ended(one))


def response_metadata(generation: Any) -> Body:
    """Return what LangChain keeps of the response: model, id, finish reason, status."""
    said = at(generation, "message")
    plain = at(said, "kwargs") or said
    found = at(plain, "response_metadata")
    return found if isinstance(found, dict) else {}


def model_of(body: Any) -> str | None:
    """Return the model that answered, by a response."""
    if not isinstance(body, dict):
        return None
    for name in _MODELS:
        if body.get(name):
            return text(body[name])
    return None


_MODELS = ("model", "modelVersion", "model_version", "model_name")


def id_of(body: Any) -> str | None:
    """Return the provider's id of a response."""
    if not isinstance(body, dict):
        return None
    return text(body.get("id")) or text(body.get("responseId"))
