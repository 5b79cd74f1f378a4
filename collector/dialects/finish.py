"""Why a model stopped, in one vocabulary: stop, length, content_filter, tool_call, error, unknown."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from collector.dialects.values import texts, unquoted

WORDS = {
    "stop": "stop end_turn stop_sequence complete completed finished eos eos_token pause_turn compaction",
    # Not "incomplete", the status of Responses: a content filter ends in it, too.
    "length": "length max_tokens max_output_tokens model_length token_limit "
    "model_context_window_exceeded max_length error_limit",
    "content_filter": "content_filter content_filtered safety recitation blocklist prohibited_content "
    "spii image_safety language guardrail_intervened refusal error_toxic",
    "tool_call": "tool_calls tool_call tool_use function_call malformed_function_call",
    "error": "error failed cancelled abort",
}
_ENUM = re.compile(r"<\w+\.(\w+): [^<>]*>")
_REPR_CHARS = 4_096
_REASONS = {word: reason for reason, words in WORDS.items() for word in words.split()}


def reasons(value: Any) -> tuple[str, ...]:
    """Return the reasons in our words, one per choice.

    >>> reasons(["end_turn"]), reasons('["max_tokens"]'), reasons("FinishReason.LENGTH")
    (('stop',), ('length',), ('length',))
    """
    said = texts(value)
    if len(said) == 1:  # nearly every answer
        return _reasons_in(said[0])
    return tuple(found for text in said for found in _reasons_in(text))


@lru_cache(maxsize=1_000)
def _reasons_in(text: str) -> tuple[str, ...]:
    return tuple(map(reason, _words(unquoted(text))))


def _words(text: str) -> list[str]:
    """Return the names in the repr of an enum, or of a list of them; any other text as it is.

    >>> _words("[<FinishReason.LENGTH: 2>]"), _words("stop")
    (['LENGTH'], ['stop'])
    """
    return _ENUM.findall(text[:_REPR_CHARS]) or [text]


def reason(word: str) -> str:
    """Return one reason in our words.

    >>> reason("tool-calls"), reason("")
    ('tool_call', 'unknown')
    """
    return _REASONS.get(word.rsplit(".", 1)[-1].lower().replace("-", "_"), "unknown")


def truncated(found: tuple[str, ...]) -> bool | None:
    """Return whether an answer was cut at the token limit; None where the reasons do not say."""
    if "length" in found:
        return True
    return False if found and not {"unknown", "error"} & set(found) else None
