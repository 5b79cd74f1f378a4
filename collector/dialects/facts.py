"""The numbers and names of a call, under every name that dialects give them; first present wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.dialects.tokens import Tokens
from collector.dialects.values import (
    Attributes,
    count,
    first,
    first_count,
    flag,
    number,
    text,
    texts,
)

_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model_name", "embedding.model_name")
_RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model")

_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
    "gen_ai.usage.details.cache_read_tokens",
)
_CACHE_WRITE = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "gen_ai.usage.details.reasoning_tokens",
)
_TOTAL = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")

_TEMPERATURE = ("gen_ai.request.temperature", "llm.temperature")
_TOP_P = ("gen_ai.request.top_p", "llm.top_p")
_MAX_TOKENS = ("gen_ai.request.max_tokens", "gen_ai.request.max_completion_tokens")
_STOP = ("gen_ai.request.stop_sequences", "llm.chat.stop_sequences")
_CHOICES = ("gen_ai.request.choice.count", "gen_ai.request.n")
_OUTPUT_TYPE = ("gen_ai.output.type", "gen_ai.openai.request.response_format")
_SCHEMA = "gen_ai.request.structured_output_schema"
_STREAMING = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")

_PROMPT_VERSION = (
    "gen_ai.prompt.version",
    "traceloop.prompt.version",
    "llm.prompt_template.version",
    "langfuse.observation.prompt.version",
)
_TEMPLATE = ("llm.prompt_template.template", "traceloop.prompt.template")

_PROVIDERS = {
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
    "aws": "aws.bedrock",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a span says in flat attributes. ``None`` where it does not."""

    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    tokens: Tokens
    streaming: bool | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop_sequences: tuple[str, ...]
    choices: int | None
    output_type: str | None
    prompt_version: str | None
    template: str | None


def facts(attributes: Attributes, parameters: Mapping[str, Any] | None = None) -> Facts:
    """Read the flat attributes; ``parameters`` is the request's JSON, for what they do not name."""
    asked = parameters or {}
    return Facts(
        provider=provider(first(attributes, _PROVIDER)),
        request_model=text(first(attributes, _REQUEST_MODEL)) or text(asked.get("model")),
        response_model=text(first(attributes, _RESPONSE_MODEL)),
        response_id=text(attributes.get("gen_ai.response.id")),
        tokens=sent_tokens(attributes),
        streaming=flag(first(attributes, _STREAMING)),
        temperature=number(_asked(attributes, _TEMPERATURE, asked, "temperature")),
        top_p=number(_asked(attributes, _TOP_P, asked, "top_p")),
        max_tokens=_max_tokens(attributes, asked),
        stop_sequences=_stop(_asked(attributes, _STOP, asked, "stop", "stop_sequences")),
        choices=count(_asked(attributes, _CHOICES, asked, "n")),
        output_type=_output_type(attributes, asked),
        prompt_version=_version(first(attributes, _PROMPT_VERSION)),
        template=text(first(attributes, _TEMPLATE)),
    )


def _asked(
    attributes: Attributes, names: tuple[str, ...], asked: Mapping[str, Any], *keys: str
) -> Any:
    found = first(attributes, names)
    return first(asked, keys) if found is None and asked else found


def provider(value: Any) -> str | None:
    """Return a provider in OTel's spelling.

    >>> provider("OpenAI"), provider("anthropic.messages"), provider("az.ai.openai")
    ('openai', 'anthropic', 'azure.ai.openai')
    """
    found = text(value)
    if found is None:
        return None
    name = found.lower()
    if name.startswith(("openai.", "anthropic.")):
        return name.partition(".")[0]
    return _PROVIDERS.get(name, name)


def sent_tokens(attributes: Attributes) -> Tokens:
    """Return the token counts as they were sent."""
    return Tokens(
        input=first_count(attributes, _INPUT),
        output=first_count(attributes, _OUTPUT),
        cache_read=first_count(attributes, _CACHE_READ),
        cache_write=first_count(attributes, _CACHE_WRITE),
        reasoning=first_count(attributes, _REASONING),
        total=first_count(attributes, _TOTAL),
    )


def _max_tokens(attributes: Attributes, asked: Mapping[str, Any]) -> int | None:
    keys = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return count(_asked(attributes, _MAX_TOKENS, asked, *keys)) or None


def _stop(value: Any) -> tuple[str, ...]:
    """Return stop sequences; one that is bare text may well begin with a bracket."""
    return (value,) if isinstance(value, str) and value[:1] not in ("[", '"') else texts(value)


def _output_type(attributes: Attributes, asked: Mapping[str, Any]) -> str | None:
    """Return ``json`` or ``text``, or what else was asked for.

    The form may be asked for as a word, as ``response_format``, or as the ``text`` of Responses.
    """
    named = text(first(attributes, _OUTPUT_TYPE))
    if named is None and attributes.get(_SCHEMA) is not None:
        return "json"
    form = asked.get("response_format")
    if form is None and isinstance(asked.get("text"), dict):
        form = asked["text"].get("format")
    if named is None:
        named = text(form.get("type") if isinstance(form, dict) else form)
    return "json" if named in ("json_object", "json_schema") else named


def _version(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return text(value)
