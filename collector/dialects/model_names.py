"""What the name of a model tells where nothing else does: who offers it, and its bare name."""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES_KNOWN = 2_000

# As LiteLLM and the frameworks on top of it write them: "openai/gpt-4o-mini".
_ROUTES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "groq": "groq",
    "mistral": "mistral_ai",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "xai": "x_ai",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "together_ai": "together_ai",
    "fireworks_ai": "fireworks_ai",
    "huggingface": "huggingface",
}
_FAMILIES = (
    (
        r"arn:aws|(us|eu|apac|global)\.\w+\.|(anthropic|amazon|meta|cohere|mistral|ai21)\.",
        "aws.bedrock",
    ),
    (r"gpt-|chatgpt|o[134](-|$)|text-embedding-(3|ada)|davinci|babbage", "openai"),
    (r"claude", "anthropic"),
    (r"gemini|gemma", "gcp.gemini"),
    (r"mistral-|codestral|ministral|magistral", "mistral_ai"),
    (r"command-|embed-english|embed-multilingual|rerank-", "cohere"),
    (r"grok-", "x_ai"),
    (r"deepseek-", "deepseek"),
)
_FAMILY = tuple((re.compile(pattern), provider) for pattern, provider in _FAMILIES)


@lru_cache(maxsize=_NAMES_KNOWN)
def offered_by(model: str) -> str | None:
    """Return the provider that the name of a model tells, in OTel's spelling; None for others.

    >>> offered_by("gpt-4o-mini"), offered_by("bedrock/amazon.nova-lite-v1:0"), offered_by("mine")
    ('openai', 'aws.bedrock', None)
    """
    route, slash, _ = model.partition("/")
    if slash and route in _ROUTES:
        return _ROUTES[route]
    name = model.rpartition("/")[2] if slash and not model.startswith("arn:") else model
    return next((provider for pattern, provider in _FAMILY if pattern.match(name)), None)


@lru_cache(maxsize=_NAMES_KNOWN)
def bare(model: str) -> str:
    """Return the name that the provider knows, without the route to it that stands before.

    One model would otherwise be two series, one for each library that an application calls it with.

    >>> bare("openai/gpt-4o-mini"), bare("openrouter/openai/gpt-4o"), bare("meta-llama/Llama-3")
    ('gpt-4o-mini', 'openai/gpt-4o', 'meta-llama/Llama-3')
    """
    route, slash, rest = model.partition("/")
    if route == "models":  # Gemini's own name for it
        return rest
    return rest if slash and rest and route in _ROUTES else model
