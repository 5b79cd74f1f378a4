"""The usage object of a response, whoever's names it uses: OpenAI, Anthropic, Google, frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.dialects.tokens import Tokens
from collector.dialects.values import count, decoded, first_count, from_json, mapping

_NAMES = {
    "input": """
        input_tokens prompt_tokens input promptTokenCount prompt_token_count inputTokens
        promptTokens inputTokenCount input_token_count
        """,
    "output": """
        output_tokens completion_tokens output candidatesTokenCount candidates_token_count
        outputTokens completionTokens outputTokenCount output_token_count generated_token_count
        """,
    "cache_read": """
        cache_read_input_tokens cacheReadInputTokens input_cache_read input_cached_tokens
        cached_tokens cachedContentTokenCount cached_content_token_count cachedInputTokens
        cache_read cachedPromptTokens cacheReadTokens promptCacheHitTokens prompt_cache_hit_tokens
        """,
    "cache_write": """
        cache_creation_input_tokens cacheCreationInputTokens cacheWriteInputTokens
        input_cache_creation input_cache_write cache_creation_tokens cache_write_tokens
        cache_creation cache_write cacheWriteTokens
        """,
    "reasoning": """
        reasoning_tokens output_reasoning output_reasoning_tokens reasoningTokens reasoning
        thoughtsTokenCount thoughts_token_count
        """,
    "total": "total_tokens total totalTokenCount total_token_count totalTokens",
}
_PARTS = (
    """
    prompt_tokens_details input_tokens_details input_token_details promptTokensDetails
    inputTokenDetails inputTokensDetails
    """,
    """
    completion_tokens_details output_tokens_details output_token_details completionTokensDetails
    outputTokenDetails outputTokensDetails
    """,
)


_FACTS = tuple(_NAMES)  # in the order of Tokens
_COUNTS = {
    name: (_FACTS.index(fact), rank)
    for fact, listed in _NAMES.items()
    for rank, name in enumerate(listed.split())
}
_SIDES = {name: side for side, listed in enumerate(_PARTS) for name in listed.split()}
# What the parts of a side may tell: "input": 3 inside of them is no input.
_OF_SIDE = tuple(
    {name: place for name, place in _COUNTS.items() if _FACTS[place[0]] in facts}
    for facts in (("cache_read", "cache_write"), ("reasoning",))
)
_LAST = 99  # behind every name
_SIX = len(_FACTS)
_NOT_TOLD = (None,) * _SIX


def counts_in(value: Any) -> dict[str, Any]:
    """Return a usage object from its JSON or from Python's repr of it, of which numbers count."""
    if isinstance(value, str) and value[:2] == "{'" and '"' not in value:
        found = from_json(_as_json(value))  # 10 times as fast as Python's own parser
        if isinstance(found, dict):
            return found
    return mapping(value)


def _as_json(value: str) -> str:
    text = value.replace("'", '"').replace("None", "null")
    return text.replace("True", "true").replace("False", "false")


def used(usage: Any) -> Tokens:
    """Return the counts of a usage object as they are; nothing is added up.

    >>> used({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}})[:3]
    (9, None, 4)
    """
    if not isinstance(usage, dict):
        return Tokens()
    found: list[int | None] = [None] * len(_FACTS)
    ranks = [_LAST] * len(_FACTS)
    _take(usage, _COUNTS, found, ranks)
    for name in usage.keys() & _SIDES.keys():
        parts = usage[name] if isinstance(usage[name], dict) else decoded(usage[name])
        if isinstance(parts, dict):
            _take(parts, _OF_SIDE[_SIDES[name]], found, ranks)
    sent, said, read, written, thought, total = found
    return Tokens(sent, said, read, written, thought, total)


def _take(
    usage: Mapping[str, Any],
    table: Mapping[str, tuple[int, int]],
    found: list[int | None],
    ranks: list[int],
) -> None:
    """Take the counts that a table names, each by the name to be believed first."""
    for name in usage.keys() & table.keys():
        place, rank = table[name]
        if rank < ranks[place] and (told := count(usage[name])) is not None:
            found[place] = told
            ranks[place] = rank


def usage_of(body: Mapping[str, Any]) -> Tokens:
    """Return the counts in a response, and what its provider is known to leave out of them."""
    google = body.get("usageMetadata", body.get("usage_metadata"))
    if "candidates" in body and google is not None:
        return used(google)._replace(excludes_reasoning=True)
    found = used(body.get("usage"))
    is_anthropic = "stop_reason" in body and "choices" not in body
    return found._replace(excludes_cached=True) if is_anthropic else found


def filled(told: Tokens, found: Tokens) -> Tokens:
    """Return the counts that are told, with those that only another place tells."""
    if found[:_SIX] == _NOT_TOLD or None not in told[:_SIX]:
        return told
    pairs = zip(told[:_SIX], found[:_SIX], strict=True)
    return Tokens._make((*[other if one is None else one for one, other in pairs], *told[_SIX:]))


def thought_in(body: Mapping[str, Any]) -> int | None:
    """Return the reasoning tokens in a response: the count that many sums leave out."""
    google = body.get("usageMetadata", body.get("usage_metadata"))
    usage = google if google is not None else body.get("usage")
    if not isinstance(usage, dict):
        return None
    for name in ("completion_tokens_details", "output_tokens_details"):
        parts = usage.get(name)
        if isinstance(parts, dict):
            return count(parts.get("reasoning_tokens"))
    return first_count(usage, ("thoughtsTokenCount", "thoughts_token_count"))
