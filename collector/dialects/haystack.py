"""Haystack to a reading: everything of a call stands in the JSON of a component's output."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from collector.dialects.bodies import at, ended
from collector.dialects.content import Content, Message, message, tools
from collector.dialects.facts import Facts, facts
from collector.dialects.model_names import offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.tokens import Tokens
from collector.dialects.usage import used
from collector.dialects.values import from_json, mapping, text
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "haystack"
SCOPES: tuple[str, ...] = ("haystack",)

_TYPE = "haystack.component.type"
_STEP = "haystack.agent.step.llm"
_SENT = ("haystack.component.input", f"{_STEP}.input")
_RECEIVED = ("haystack.component.output", f"{_STEP}.output")
_EMBEDDERS = ("TextEmbedder", "DocumentEmbedder")
_NO_TEXT = ("ImageGenerator", "AudioGenerator", "VideoGenerator")
_PROVIDERS = {
    "AzureOpenAI": "azure.ai.openai",
    "OpenAI": "openai",
    "Anthropic": "anthropic",
    "AmazonBedrock": "aws.bedrock",
    "GoogleGenAI": "gcp.gemini",
    "GoogleAI": "gcp.gemini",
    "VertexAI": "gcp.vertex_ai",
    "Mistral": "mistral_ai",
    "Cohere": "cohere",
    "Ollama": "ollama",
}
_ZONE_S = 900  # clocks of the world differ by whole quarters of an hour


def fits(raw: RawSpan) -> bool:
    """Return whether Haystack wrote the span; its tracer may have any name."""
    return raw.name.startswith("haystack.") or _TYPE in raw.attributes


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a generator, an agent's step or an embedder; pipelines and agents repeat what those say.

    Without content tracing a call has no model and no counts, but is one.
    """
    kind = text(raw.attributes.get(_TYPE)) or ""
    operation = operation_of(told) or _operation(raw.name, kind)
    if operation is None:
        return None
    sent, received = (_of(raw, names) for names in (_SENT, _RECEIVED))
    metas = _metas(received)
    if operation is Operation.EMBEDDINGS and not metas:
        return None  # an embedder that runs in the process itself
    content = _content(sent, received) if operation is not Operation.EMBEDDINGS else Content()
    last = metas[-1] if metas else {}
    return Reading(
        dialect=NAME,
        operation=operation,
        named=told,
        facts=_facts(facts(told, mapping(sent.get("generation_kwargs"))), last, kind),
        content=content,
        finish=tuple(word for meta in metas for word in ended(meta)),
        first_token_s=_first_token_s(raw, last),
    )


def _operation(name: str, kind: str) -> Operation | None:
    if name == _STEP or (kind.endswith("Generator") and not kind.endswith(_NO_TEXT)):
        return Operation.CHAT
    return Operation.EMBEDDINGS if kind.endswith(_EMBEDDERS) else None


def _of(raw: RawSpan, names: tuple[str, ...]) -> dict[str, Any]:
    value = next((raw.attributes[name] for name in names if name in raw.attributes), None)
    found = from_json(value)
    return found if isinstance(found, dict) else {}


def _metas(received: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the provider told of each answer: in it, or beside answers that are plain text."""
    beside = received.get("meta")
    if beside is None:
        replies = received.get("replies")
        beside = [_meta(reply) for reply in replies] if isinstance(replies, list) else []
    items = beside if isinstance(beside, list) else [beside]
    return [item for item in items if isinstance(item, dict) and item]


def _meta(reply: Any) -> Any:
    return at(reply, "meta") or at(reply, "_meta")


def _facts(told: Facts, meta: Mapping[str, Any], kind: str) -> Facts:
    """Return the facts; what a component was made with, its model too, is in none of its spans."""
    model = text(meta.get("model"))
    by_kind = next((name for start, name in _PROVIDERS.items() if kind.startswith(start)), None)
    return told._replace(
        provider=told.provider or by_kind or (offered_by(model) if model else None),
        response_model=told.response_model or model,
        response_id=told.response_id or text(meta.get("id")),
        tokens=_tokens(meta, kind),
        streaming=True if meta.get("completion_start_time") else told.streaming,
    )


def _tokens(meta: Mapping[str, Any], kind: str) -> Tokens:
    found = used(meta.get("usage"))
    return found._replace(excludes_cached=True) if kind.startswith("Anthropic") else found


def _first_token_s(raw: RawSpan, meta: Mapping[str, Any]) -> float | None:
    """Return seconds to the first chunk: its time is the sender's own, mostly without its zone."""
    written = meta.get("completion_start_time")
    try:
        moment = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        moment = None
    if moment is None:
        return None
    after = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - raw.start_ns / 1e9
    seconds = after if moment.tzinfo else after % _ZONE_S
    lasted_s = (raw.end_ns - raw.start_ns) / 1e9
    return seconds if 0 <= seconds <= lasted_s < _ZONE_S else None


def _content(sent: Mapping[str, Any], received: Mapping[str, Any]) -> Content:
    asked = sent.get("messages", sent.get("prompt"))
    system = sent.get("system_prompt")
    first = [{"role": "system", "content": system}] if isinstance(system, str) and system else []
    messages = _messages(asked, "user")
    return Content(
        input=first + (messages or []) if first or messages else None,
        output=_messages(received.get("replies"), "assistant"),
        tools=tools(sent.get("tools")),
        consumed=frozenset((*_SENT, *_RECEIVED)) if sent or received else frozenset(),
    )


def _messages(found: Any, role: str) -> list[Message] | None:
    if found is None:
        return None
    items = found if isinstance(found, list) else [found]
    return [_message(item, role) for item in items]


def _message(item: Any, role: str) -> Message:
    """Return one message, whose parts have a name each instead of a type."""
    if not isinstance(item, dict):
        return message(item, role)
    content = item.get("content", item.get("_content"))
    parts = [_part(part) for part in content] if isinstance(content, list) else content
    return message({"role": item.get("role") or item.get("_role"), "content": parts}, role)


def _part(part: Any) -> Any:
    """Return a part as OTel writes it."""
    match part:
        case {"text": text_}:
            return {"type": "text", "content": text_}
        case {"tool_call": {"tool_name": name} as call}:
            made = {"id": call.get("id"), "name": name, "arguments": call.get("arguments")}
            return {"type": "tool_call", **made}
        case {"tool_call_result": {"result": result} as answer}:
            id_ = at(answer, "origin", "id")
            return {"type": "tool_call_response", "id": id_, "response": result}
        case {"reasoning": {"reasoning_text": thought}}:
            return {"type": "reasoning", "content": thought}
    return part
