"""A provider's and a model's name, as any instrumentation writes them, to the entry of genai-prices.

Nothing is fetched: the list is the one of the installed package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, Provider

Listed = tuple[Provider, ModelInfo]

_NAME_CHARS = 200  # a longer name of a model is none
_LOCAL = "\0local"  # a provider that nobody is paid for
_OTHER = re.compile(r"[^a-z0-9]+")

#: By the letters and digits of a name alone: "x_ai", "x-ai" and "xAI" are one.
_ALIASES = {
    "xai": "x-ai",
    "gcpgenai": "google",
    "vertexai": "google",
    "amazon": "aws",
    "awsbedrock": "aws",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "togetherai": "together",
    "fireworksai": "fireworks",
    "perplexityai": "perplexity",
    "deepseekai": "deepseek",
    "voyage": "voyageai",
    "cohereclient": "cohere",
    "cohereai": "cohere",
    "azureai": "azure",
}
#: Where a name is none of these: the first part that it holds. A cloud stands before the maker of
#: a model that it hosts: "anthropic_bedrock" is paid to AWS.
_HINTS = (
    (
        re.compile(r"ollama|vllm|sglang|llama\.?_?cpp|llamafile|lm.?studio|local|gpt4all|tgi\b"),
        _LOCAL,
    ),
    (re.compile(r"compat|like|custom"), None),  # whatever is behind an OpenAI-compatible address
    (re.compile(r"bedrock"), "aws"),
    (re.compile(r"vertex|gemini|google"), "google"),
    (re.compile(r"^az(ure|\.)"), "azure"),
    (re.compile(r"^(chat)?openai"), "openai"),
    (re.compile(r"^(chat)?anthropic"), "anthropic"),
    (re.compile(r"^(chat)?mistral"), "mistral"),
    (re.compile(r"^(chat)?cohere"), "cohere"),
    (re.compile(r"^(chat)?groq"), "groq"),
)
#: Models whose weights anybody may run. Without a word on who served it, one of them may have cost
#: nothing; and OpenAI serves none of them, but many servers that speak its protocol do.
_OPEN = re.compile(
    r"gpt-oss|gemma|llama|mixtral|qwen|phi-?\d|deepseek-(r1|v\d|coder)|falcon|granite|olmo|smollm"
    r"|open-mi|mistral-nemo|ministral|pixtral|(?<!turbo)-instruct|\d(\.\d+)?b\b|:\d+(\.\d+)?[bm]\b|:latest$|gguf|awq",
)
#: Who makes such models: before a model's name they tell who made it, not who served it.
_OPEN_MAKERS = frozenset(
    {"openai", "google", "meta", "mistral", "deepseek", "moonshotai", "zai", "minimax", "cohere"}
)
#: Who is asked for a model where no provider is known: those whose models run nowhere else, and
#: under the same price. Of the other makers only the names of their own service are.
_MAKERS = frozenset({"openai", "anthropic", "google", "x-ai", "cohere", "voyageai", "perplexity"})
_SERVED = re.compile(
    r"deepseek-(chat|reasoner)$|(mistral|codestral|magistral|devstral)\b.*-latest$"
)

_BEDROCK = re.compile(
    r"^(?:[a-z]{2,6}(?:-gov)?\.)?"
    r"(?:anthropic|amazon|meta|cohere|mistral|ai21|deepseek|openai|qwen|writer|stability)\.[a-z]"
)
_ARN = re.compile(r"^arn:aws[a-z-]*:bedrock:[^:]*:[^:]*:(foundation-model|inference-profile)/(.+)$")
_RESOURCE = re.compile(r"^(?:projects/.*/|publishers/[^/]+/)?models/")
_PREFIX = re.compile(r"^([a-z0-9_.-]+)[/:](.+)$")
#: A snapshot that the list does not know costs what its model does.
_SNAPSHOT = re.compile(r"(-20\d\d-\d\d-\d\d|-20\d{6}|-00\d|-latest|@[a-z0-9]+)$")


@lru_cache(maxsize=4_096)
def listed(provider: str | None, *models: str | None) -> Listed | None:
    """Return the list's entry for the first of ``models`` that it knows. If none, return None.

    A provider that the list does not know (a framework, a gateway) is left out of the search. One
    that it knows is believed: a model of one's own behind an OpenAI-compatible server has no price.
    """
    said = provider_id(provider)
    for model in models:
        if said != _LOCAL and model and len(model) <= _NAME_CHARS:
            for host, name in _candidates(said, model.strip().lower()):
                if found := _find(host, name):
                    return found
    return None


@lru_cache(maxsize=4_096)
def provider_id(name: str | None) -> str | None:
    """Return what the list calls a provider. If it does not know it, return None.

    >>> provider_id("azure.ai.openai"), provider_id("gcp.gemini"), provider_id("strands-agents")
    ('azure', 'google', None)
    """
    if not name or len(name) > _NAME_CHARS:
        return None
    low = name.strip().lower()
    for part in (low, low.partition(".")[0]):
        compact = _OTHER.sub("", part)
        if found := _ids().get(compact) or _ALIASES.get(compact):
            return found
    return next((known for hint, known in _HINTS if hint.search(low)), None)


@cache
def _ids() -> dict[str, str]:
    providers = data_snapshot.get_snapshot().providers
    return {_OTHER.sub("", one.id): one.id for one in providers}


def _candidates(provider: str | None, model: str) -> Iterator[tuple[str | None, str]]:
    """Yield who may have served a model under which name, the likeliest first."""
    name = _RESOURCE.sub("", model)
    if arn := _ARN.match(name):
        provider, name = "aws", arn[2]
    elif name.startswith("arn:"):
        return  # provisioned throughput and custom models are paid by the hour
    if provider is not None:
        yield from _snapshots(provider, name)
    if _BEDROCK.match(name):
        yield from _snapshots("aws", name)
    elif name.startswith("ft:"):
        yield from _snapshots("openai", name)
    elif "@" in name:
        yield from _snapshots("google", name)
    elif (prefixed := _PREFIX.match(name)) and (host := provider_id(prefixed[1])):
        if host != _LOCAL and not (host in _OPEN_MAKERS and _OPEN.search(prefixed[2])):
            yield from _candidates(host, prefixed[2])
    elif provider is None:
        yield from _snapshots(None, name)
        if prefixed:
            yield from _candidates(None, prefixed[2])


def _snapshots(provider: str | None, name: str) -> Iterator[tuple[str | None, str]]:
    yield provider, name
    # A fine-tuned model ends with names of its owner, which may look like anything.
    if not name.startswith("ft:") and (plain := _SNAPSHOT.sub("", name)) != name:
        yield provider, plain


def _find(provider: str | None, name: str) -> Listed | None:
    if provider in (None, "openai") and _OPEN.search(name):
        return None
    try:
        found = data_snapshot.get_snapshot().find_provider_model(name, None, provider, None)
    except LookupError:
        return None
    by_name = provider is None
    if by_name and found[0].id not in _MAKERS and not _SERVED.match(name):
        return None
    return found
