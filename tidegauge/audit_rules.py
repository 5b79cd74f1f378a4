"""Why the tokens of a call were changed or are doubted, and what to change in the app."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class AuditRule(NamedTuple):
    """One rule of the token audit, for people."""

    meaning: str  # what it says of the counts
    fix: str  # what to change in the application


_NOTHING = "Nothing: the counts stored are right."
_USAGE = (
    "Ask for the usage: stream_options={'include_usage': true} with OpenAI's API and what is like "
    "it; else update the instrumentation."
)

#: The rules by name: what ``tokens_audit_rule`` of a call holds.
AUDIT_RULES: Mapping[str, AuditRule] = MappingProxyType(
    {
        "input_excludes_cached": AuditRule(
            "This instrumentation counts cached tokens beside the input; they were added.",
            _NOTHING,
        ),
        "output_excludes_reasoning": AuditRule(
            "This instrumentation counts reasoning beside the output; it was added.",
            _NOTHING,
        ),
        "cached_exceed_input": AuditRule(
            "More tokens came from the cache than the input is said to have; they were added.",
            _NOTHING,
        ),
        "reasoning_exceeds_output": AuditRule(
            "More reasoning tokens than output tokens; they were added.",
            _NOTHING,
        ),
        "total_includes_cached": AuditRule(
            "The total fits only if cached tokens stand beside the input; they were added.",
            _NOTHING,
        ),
        "total_includes_reasoning": AuditRule(
            "The total fits only if reasoning stands beside the output; it was added.",
            _NOTHING,
        ),
        "stream_start_added": AuditRule(
            "This instrumentation adds what the first event of a stream counts, 1 in most, to the "
            "whole output; 1 was taken off.",
            "Update the instrumentation, so that it counts the output of a stream once.",
        ),
        "derived_from_total": AuditRule(
            "One side was not sent; it is the total less the other side.",
            "Update the instrumentation, so that it sends both sides.",
        ),
        "zero_with_text": AuditRule(
            "0 output tokens beside an answer: not reported. Stored as not known.",
            _USAGE,
        ),
        "zero_with_messages": AuditRule(
            "0 input tokens beside the messages sent: not reported. Stored as not known.",
            _USAGE,
        ),
        "all_zero": AuditRule(
            "0 tokens on both sides of a call that did not fail: not reported. "
            "Stored as not known.",
            _USAGE,
        ),
        "output_not_reported": AuditRule(
            "The input was counted and the output was not, though there is an answer.",
            _USAGE,
        ),
        "stream_without_usage": AuditRule(
            "A stream ended without token counts.",
            "Set include_usage (stream_options={'include_usage': true}); without it the provider "
            "does not tell the counts of a stream.",
        ),
        "usage_missing": AuditRule(
            "A call ended well and no token counts were sent.",
            "If it streams, set include_usage (stream_options={'include_usage': true}); else "
            "switch on the usage, or the content it is read from, in the instrumentation.",
        ),
        "estimated": AuditRule(
            "The library guessed what the provider did not tell. Stored as not known; the guess stays "
            "in the attributes.",
            _USAGE,
        ),
        "guessed_names": AuditRule(
            "No library that we know wrote this span; its counts were found by the words of names.",
            "Send them under the names of OpenTelemetry's GenAI conventions: "
            "gen_ai.usage.input_tokens and gen_ai.usage.output_tokens.",
        ),
        "total_differs": AuditRule(
            "The total is neither the sum of both sides nor that sum with cached tokens or "
            "reasoning.",
            "Update the instrumentation; compare one call with the provider's own answer.",
        ),
        "output_over_limit": AuditRule(
            "Far more output tokens than the request allowed: a sum over several calls, or another "
            "limit than the one that was sent.",
            "Look for a span that repeats the sum of its calls; send max_tokens as it was asked.",
        ),
        "input_below_text": AuditRule(
            "Far fewer input tokens than the messages have text: cached tokens are missing, or "
            "only a part was counted.",
            "Update the instrumentation: older ones leave out what came from the cache.",
        ),
        "output_below_text": AuditRule(
            "Far fewer output tokens than the answer has text.",
            "Update the instrumentation; compare one call with the provider's own answer.",
        ),
        "output_above_text": AuditRule(
            "Far more output tokens than the answer has text, and no reasoning to explain them.",
            "Look for a span that repeats the sum of its calls; update the instrumentation, so "
            "that it reports reasoning.",
        ),
    }
)
