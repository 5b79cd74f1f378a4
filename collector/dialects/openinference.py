"""OpenInference (Phoenix) attributes to a reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.dialects.content import Content, Message, from_otel, message, messages, tools
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, named
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.values import first, flag, from_json, mapping, text, unflattened
from collector.raw import RawSpan

NAME = "openinference"

_KIND = "openinference.span.kind"
_PARAMETERS = ("llm.invocation_parameters", "embedding.invocation_parameters")
_FINISH = ("gen_ai.response.finish_reasons", "llm.finish_reason", "anthropic.message.stop_reason")
_FIRST_TOKEN = frozenset({"First Token Stream Event"})
_SENT, _RECEIVED = "llm.input_messages.", "llm.output_messages."
_TOOLS, _TEXTS = "llm.tools.", "embedding.embeddings."
_INPUT, _OUTPUT = "input.value", "output.value"
_WHOLE_INPUT = frozenset((_INPUT, "input.mime_type"))
_WHOLE_OUTPUT = frozenset((_OUTPUT, "output.mime_type"))
_ERROR = 2  # span status


def fits(raw: RawSpan) -> bool:
    """Return whether the span names its OpenInference kind."""
    return _KIND in raw.attributes


def read(raw: RawSpan, told: Named | None = None) -> Reading:
    """Read the attributes; the provider's whole answer in ``output.value`` fills what they lack."""
    told = named(raw.attributes) if told is None else told
    answer = mapping(raw.attributes.get(_OUTPUT))
    parameters = mapping(first(raw.attributes, _PARAMETERS))
    return Reading(
        dialect=NAME,
        named=told,
        facts=_facts(raw, told, parameters, answer),
        content=from_otel(raw.attributes) or _content(raw),
        finish=_finish(raw, answer),
        first_token_s=first_token_s(raw, told, _FIRST_TOKEN),
    )


def _facts(raw: RawSpan, told: Named, parameters: dict[str, Any], answer: dict[str, Any]) -> Facts:
    """Read names and numbers.

    ``llm.model_name`` is the model that answered where there was an answer, else the one asked for.
    LangChain says ``stream: false`` while it streams: only a true is evidence.
    """
    found = facts(told, parameters)
    model = text(raw.attributes.get("llm.model_name"))
    answered = raw.status != _ERROR and _has_answer(raw)
    return found._replace(
        request_model=found.request_model or model,
        response_model=found.response_model
        or text(answer.get("model"))
        or (model if answered else None),
        response_id=found.response_id or text(answer.get("id")),
        streaming=found.streaming or flag(parameters.get("stream")) or None,
    )


def _has_answer(raw: RawSpan) -> bool:
    return _OUTPUT in raw.attributes or f"{_RECEIVED}0.message.role" in raw.attributes


def _content(raw: RawSpan) -> Content:
    sent = [_message(item, "user") for item in unflattened(raw.attributes, _SENT)]
    received = [_message(item, "assistant") for item in unflattened(raw.attributes, _RECEIVED)]
    embedded = unflattened(raw.attributes, _TEXTS)
    sent += [{"role": "user", "content": _at(item, "embedding", "text")} for item in embedded]
    if not sent and not received:
        return _whole_values(raw)
    definitions = [_at(item, "tool", "json_schema") for item in unflattened(raw.attributes, _TOOLS)]
    return Content(
        input=sent or None,
        output=received or None,
        tools=tools(definitions) if definitions else None,
        consumed=_whole(sent, received).union(filter(_is_content, raw.attributes)),
    )


def _is_content(key: str) -> bool:
    return key.startswith((_SENT, _RECEIVED, _TEXTS))


def _whole(sent: Any, received: Any) -> frozenset[str]:
    """Return the whole values that say again what was read; of a side not read they are all."""
    nothing: frozenset[str] = frozenset()
    return (_WHOLE_INPUT if sent else nothing) | (_WHOLE_OUTPUT if received else nothing)


def _whole_values(raw: RawSpan) -> Content:
    """Take ``input.value`` and ``output.value`` as they are: all that some frameworks send."""
    sent = from_json(raw.attributes.get(_INPUT))
    if isinstance(sent, dict) and isinstance(sent.get("messages"), list):
        sent = sent["messages"]
    asked = messages(sent if isinstance(sent, list) else raw.attributes.get(_INPUT), "user")
    answered = messages(raw.attributes.get(_OUTPUT), "assistant")
    return Content(input=asked, output=answered, consumed=_whole(asked, answered))


def _at(item: Any, *path: str) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _message(item: Any, role: str) -> Message:
    """Return one message from its flattened form, where each part has a name in between."""
    sent = _at(item, "message")
    if not isinstance(sent, dict):
        return message(item, role)
    plain = dict(sent)
    parts = sent.get("contents")
    if isinstance(parts, list) and "content" not in sent:
        plain["content"] = [_at(part, "message_content") for part in parts]
    calls = sent.get("tool_calls")
    if isinstance(calls, list):
        plain["tool_calls"] = [_tool_call(call) for call in calls]
    return message(plain, role)


def _tool_call(item: Any) -> dict[str, Any]:
    return {
        "id": _at(item, "tool_call", "id"),
        "name": _at(item, "tool_call", "function", "name"),
        "arguments": _at(item, "tool_call", "function", "arguments"),
    }


def _finish(raw: RawSpan, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why the model stopped, one reason per choice.

    ``llm.finish_reason`` is one word even for several choices, so the whole answer comes first.
    """
    return (
        _of_choices(answer)
        or reasons(first(raw.attributes, _FINISH))
        or _of_responses_api(answer)
        or reasons(answer.get("stop_reason"))
        or _of_generations(answer)
    )


def _words(items: Any, *path: str) -> tuple[str, ...]:
    found = [_at(item, *path) for item in items] if isinstance(items, list) else []
    return reasons([word for word in found if isinstance(word, str)])


def _of_choices(answer: Mapping[str, Any]) -> tuple[str, ...]:
    return _words(answer.get("choices"), "finish_reason") or _words(
        answer.get("candidates"), "finishReason"
    )


def _of_responses_api(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reason of OpenAI's Responses: it stands beside the status, not in it."""
    if answer.get("status") == "incomplete":
        return reasons(_at(answer.get("incomplete_details"), "reason")) or ("unknown",)
    if answer.get("object") != "response":
        return ()
    said = answer.get("output")
    items = said if isinstance(said, list) else []
    called = any(_at(item, "type") == "function_call" for item in items)
    return ("tool_call",) if called else reasons(answer.get("status"))


def _of_generations(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons in LangChain's result, which may hold an answer of Responses."""
    batches = answer.get("generations")
    batch = batches[0] if isinstance(batches, list) and batches else None
    found = _words(batch, "generation_info", "finish_reason")
    if found or not isinstance(batch, list) or len(batch) != 1:
        return found
    metadata = _at(batch[0], "message", "kwargs", "response_metadata")
    return _of_responses_api(metadata) if isinstance(metadata, dict) else ()
