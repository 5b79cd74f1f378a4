"""Values of flat names as facts: names, versions, providers, amounts of money and of time."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from collector.dialects.values import number, text
from tidegauge.call import MAX_USD


def as_it_is(value: Any) -> Any:
    """Return a value that its user decodes, unless it is a word for nothing."""
    return None if value is None or value in _ABSENT else value


_ABSENT = ("", "none", "null", "None", "NOT_GIVEN")


def milliseconds(value: Any) -> float | None:
    """Return seconds of a number of milliseconds."""
    found = number(value)
    return None if found is None else found / 1_000


def usd(value: Any) -> Decimal | None:
    """Return an amount of US dollars that a call may cost; 0 says that the sender knew no price.

    >>> usd(0.25), usd("0"), usd("n/a")
    (Decimal('0.25'), None, None)
    """
    found = number(value)
    return Decimal(str(found)) if found is not None and 0 < found <= MAX_USD else None


def name_or_id(value: Any) -> str | None:
    """Return a name; ids are often numbers."""
    if value.__class__ is str or value is None:
        return text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value)


def version(value: Any) -> str | None:
    """Return a version, which may have been sent as a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return text(value)


_PROVIDERS = {
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
}


def provider(value: Any) -> str | None:
    """Return a provider in OTel's spelling.

    >>> provider("OpenAI"), provider("anthropic.messages"), provider("az.ai.openai")
    ('openai', 'anthropic', 'azure.ai.openai')
    """
    found = text(value)
    if found is None:
        return None
    return _known_spelling(found) if len(found) <= _WORD_CHARS else _spelled(found)


def _spelled(found: str) -> str:
    name = found.lower()
    if name.startswith(("openai.", "anthropic.")):
        return name.partition(".")[0]
    return _PROVIDERS.get(name, name)


_WORD_CHARS = 100  # of a provider: what is longer is none, and is not remembered
_known_spelling = lru_cache(maxsize=1_000)(_spelled)
