"""Vercel AI SDK attributes, ai.* (4 to 6, and 7 in its old form) and gen_ai.* (7), to a reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from collector.dialects import genai
from collector.dialects.content import Content, Message, from_otel, message, tools
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.told import provider, usd
from collector.dialects.usage import filled, used
from collector.dialects.values import decoded, first, from_json, mapping, text
from collector.raw import RawSpan

NAME = "vercel_ai"
SCOPES: tuple[str, ...] = ("ai", "gen_ai")

_OPERATION = "ai.operationId"
_METADATA = "ai.response.providerMetadata"
_SPLIT = "ai.usage.inputTokenDetails.noCacheTokens"  # since 6: input includes what is cached
_FIRST_CHUNK = frozenset({"ai.stream.firstChunk"})
_FINISH = ("gen_ai.response.finish_reasons", "ai.response.finishReason", "ai.finishReason")
_SENT = ("ai.prompt.messages", "ai.prompt")
_EMBEDDED = ("ai.values", "ai.value", "ai.documents")
_SAID = ("ai.response.text", "ai.response.object", "ai.result.text", "ai.result.object")
_CALLS = ("ai.response.toolCalls", "ai.result.toolCalls")
_REASONING = "ai.response.reasoning"
_VECTORS = ("ai.embeddings", "ai.embedding")
_OF_INPUT = frozenset((*_SENT, *_EMBEDDED))
_OF_OUTPUT = frozenset((*_SAID, *_CALLS, _REASONING))
# "openai.chat", "google.generative-ai": the provider, and which of its interfaces.
_PROVIDERS = {
    "google": "gcp.gemini",
    "google.vertex": "gcp.vertex_ai",
    "amazon-bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "mistral": "mistral_ai",
}


def fits(raw: RawSpan) -> bool:
    """Return whether the AI SDK wrote the span: it names its operation, or stands in its scope."""
    return _OPERATION in raw.attributes or raw.scope_name == "gen_ai"


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read the spans around each request to a provider; those above them repeat their sums."""
    operation = operation_of(told)
    if operation is None:
        return None
    if _OPERATION not in raw.attributes:
        found = genai.reading_of(raw, operation, told)
        return replace(found, dialect=NAME, facts=_detailed(raw, found.facts))
    return Reading(
        dialect=NAME,
        operation=operation,
        named=told,
        facts=_detailed(raw, _facts(raw, told)),
        content=_content(raw),
        finish=reasons(first(raw.attributes, _FINISH)),
        first_token_s=first_token_s(raw, told, _FIRST_CHUNK),
        schema=told.get("schema"),
    )


def _facts(raw: RawSpan, told: Named) -> Facts:
    found = facts(told)
    kind = text(raw.attributes[_OPERATION]) or ""
    is_object = kind.startswith(("ai.generateObject", "ai.streamObject"))
    return found._replace(
        provider=_provider(raw) or found.provider,
        streaming=kind.endswith("doStream") if ".do" in kind else found.streaming,
        output_type=found.output_type or ("json" if is_object else None),
    )


def _provider(raw: RawSpan) -> str | None:
    """Return the provider without its interface: "azure-openai.chat" is azure.ai.openai."""
    name = text(first(raw.attributes, ("ai.model.provider", "gen_ai.system")))
    if name is None:
        return None
    name = name.lower()
    if name.startswith("google.vertex"):
        return _PROVIDERS["google.vertex"]
    maker = name.partition(".")[0]
    return _PROVIDERS.get(maker) or provider(maker)


def _detailed(raw: RawSpan, found: Facts) -> Facts:
    """Add what only the provider's own metadata tell: cached and reasoning tokens, cost, tier."""
    tokens = found.tokens
    if _SPLIT in raw.attributes:
        tokens = tokens._replace(excludes_cached=False)
        found = found._replace(tokens=tokens)
    if _METADATA not in raw.attributes or _is_complete(raw, tokens):
        return found
    told = mapping(raw.attributes[_METADATA])
    usages = [own for name in told.values() for own in _usages(name)]
    for own in usages:
        tokens = filled(tokens, used(own)._replace(input=None, output=None, total=None))
    if found.tokens.excludes_cached is None:
        tokens = tokens._replace(excludes_cached=_excludes_cached(found, told))
    return found._replace(
        tokens=tokens,
        app_cost_usd=found.app_cost_usd or _cost(told),
        service_tier=found.service_tier or _tier(told),
    )


def _is_complete(raw: RawSpan, tokens: Tokens) -> bool:
    """Return whether the counts are told by attributes: 6 and later, where content is not read."""
    return _SPLIT in raw.attributes and tokens.cache_read is not None


def _usages(own: Any) -> list[dict[str, Any]]:
    """Return where a provider's metadata may keep counts."""
    if not isinstance(own, dict):
        return []
    inner = [own[name] for name in ("usage", "usageMetadata") if isinstance(own.get(name), dict)]
    return [*inner, own]


def _excludes_cached(found: Facts, told: dict[str, Any]) -> bool | None:
    """Return whether input is without cached tokens: until version 5 it is, for Anthropic.

    Anthropic's own usage, where it is sent, has the number that excludes them to compare with.
    """
    own = told.get("anthropic")
    if not isinstance(own, dict):
        return None
    usage = own.get("usage")
    bare = used(usage).input if isinstance(usage, dict) else None
    return True if bare is None else bare == found.tokens.input


def _cost(told: dict[str, Any]) -> Any:
    gateway, router = told.get("gateway"), told.get("openrouter")
    if isinstance(gateway, dict) and (cost := usd(gateway.get("cost"))) is not None:
        return cost
    usage = router.get("usage") if isinstance(router, dict) else None
    return usd(usage.get("cost")) if isinstance(usage, dict) else None


def _tier(told: dict[str, Any]) -> str | None:
    own = told.get("openai")
    return text(own.get("serviceTier")) if isinstance(own, dict) else None


def _content(raw: RawSpan) -> Content:
    found = raw.attributes
    definitions = found.get("ai.prompt.tools")
    sent, received = _sent(raw), _received(raw)
    consumed = frozenset(_VECTORS)
    if sent is not None:
        consumed |= _OF_INPUT
    if received is not None:
        consumed |= _OF_OUTPUT
    return Content(
        input=sent,
        output=received,
        tools=tools(definitions) if definitions else None,
        consumed=consumed,
    )


def _sent(raw: RawSpan) -> list[Message] | None:
    sent = decoded(first(raw.attributes, _SENT))
    if isinstance(sent, dict):  # {"system": ..., "prompt": ... or "messages": ...}
        system, said = sent.get("system"), sent.get("messages", sent.get("prompt"))
        first_one = [{"role": "system", "content": system}] if system else []
        return [*first_one, *_messages(said)]
    if sent is not None:
        return _messages(sent)
    values = first(raw.attributes, _EMBEDDED)
    return None if values is None else _values(values)


def _values(values: Any) -> list[Message]:
    items = values if isinstance(values, list) else [values]
    return [{"role": "user", "content": _plain(item)} for item in items]


def _plain(item: Any) -> Any:
    found = from_json(item)
    return item if found is None else found


def _messages(said: Any) -> list[Message]:
    items = said if isinstance(said, list) else [said]
    return [_message(item) for item in items]


def _message(item: Any) -> Message:
    if not isinstance(item, dict):
        return {"role": "user", "content": item}
    parts = item.get("content")
    if not isinstance(parts, list):
        return message(item, "user")
    return message({**item, "content": [_part(part) for part in parts]}, "user")


def _part(part: Any) -> Any:
    """Return a part with the names of OTel's."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"type": "text", "content": part.get("text")}
    if kind == "reasoning":
        return {"type": "reasoning", "content": part.get("text")}
    if kind == "tool-call":
        return {"type": "tool_call", **_call(part)}
    if kind == "tool-result":
        given = part.get("output", part.get("result"))
        value = given.get("value") if isinstance(given, dict) and "value" in given else given
        return {"type": "tool_call_response", "id": part.get("toolCallId"), "response": value}
    return part


def _call(call: Any) -> dict[str, Any]:
    told = call if isinstance(call, dict) else {}
    arguments = told.get("input", told.get("args"))
    return {"id": told.get("toolCallId"), "name": told.get("toolName"), "arguments": arguments}


def _received(raw: RawSpan) -> list[Message] | None:
    otel = from_otel(raw.attributes).output
    said, calls = first(raw.attributes, _SAID), first(raw.attributes, _CALLS)
    if said is None and calls is None:
        return otel
    made: Message = {"role": "assistant", "content": said}
    listed = decoded(calls)
    if isinstance(listed, list):
        made["tool_calls"] = [_call(call) for call in listed]
    if raw.attributes.get(_REASONING):
        made["reasoning"] = raw.attributes[_REASONING]
    return [made]
