"""OpenLLMetry (Traceloop) attributes, indexed (before 0.54) and current, to a reading."""

from __future__ import annotations

from typing import Any

from collector.dialects.content import Content, Message, from_otel, message
from collector.dialects.facts import facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, named
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.values import first, from_json, unflattened
from collector.raw import RawSpan

NAME = "openllmetry"

_MARKERS = (
    "traceloop.span.kind",
    "traceloop.workflow.name",
    "traceloop.entity.path",
    "gen_ai.is_streaming",
    "llm.request.type",
)
_FINISH = ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")
_CHUNKS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})
_PROMPT, _COMPLETION, _FUNCTIONS = "gen_ai.prompt.", "gen_ai.completion.", "llm.request.functions."


def fits(raw: RawSpan) -> bool:
    """Return whether one of Traceloop's instrumentations wrote the span."""
    return not raw.attributes.keys().isdisjoint(_MARKERS)


def read(raw: RawSpan, told: Named | None = None) -> Reading:
    """Read the attributes; the first chunk is known by the time of its event."""
    told = named(raw.attributes) if told is None else told
    content = from_otel(raw.attributes) or _indexed(raw)
    return Reading(
        dialect=NAME,
        named=told,
        facts=facts(told),
        content=content,
        finish=_finish(raw, content),
        first_token_s=first_token_s(raw, told, _CHUNKS),
    )


def _indexed(raw: RawSpan) -> Content:
    """Read ``gen_ai.prompt.0.content`` and the like."""
    sent = unflattened(raw.attributes, _PROMPT)
    received = unflattened(raw.attributes, _COMPLETION)
    functions = unflattened(raw.attributes, _FUNCTIONS)
    if not (sent or received or functions):
        return Content()
    return Content(
        input=[_message(item, "user") for item in sent] or None,
        output=[_message(item, "assistant") for item in received] or None,
        tools=[_function(item) for item in functions] or None,
        consumed=frozenset(filter(_is_content, raw.attributes)),
    )


def _is_content(key: str) -> bool:
    for prefix in (_PROMPT, _COMPLETION):
        if key.startswith(prefix):
            return key[len(prefix) : len(prefix) + 1].isdigit()
    return False


def _message(item: Any, role: str) -> Message:
    """Return one message; content of several parts comes as JSON text."""
    if isinstance(item, dict) and str(item.get("content"))[:2] == "[{":
        parts = from_json(item["content"])
        item = {**item, "content": item["content"] if parts is None else parts}
    return message(item, role)


def _function(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {name: from_json(value) or value for name, value in item.items()}


def _finish(raw: RawSpan, content: Content) -> tuple[str, ...]:
    """Return why the model stopped; empty words in the answers say nothing."""
    found = reasons(first(raw.attributes, _FINISH))
    if set(found) - {"unknown"}:
        return found
    words = [item.get("finish_reason") for item in content.output or ()]
    return reasons([word for word in words if isinstance(word, str) and word]) or found
