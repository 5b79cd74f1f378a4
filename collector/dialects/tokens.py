"""Token counts that mean the same in every dialect, and whether they can be trusted."""

from __future__ import annotations

from typing import NamedTuple

from tidegauge.call import Audit


class Tokens(NamedTuple):
    """Token counts: as sent by a dialect, or after the audit.

    After it, input includes cached tokens and output includes reasoning.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    total: int | None = None
    audit: Audit | None = None
    rule: str | None = None  # why the audit is not "ok"


def audited(sent: Tokens, *, answered: bool) -> Tokens:
    """Return the counts in one meaning, and which rule changed or doubts them.

    ``answered``: whether the span holds output text. Counts that no rule can settle stay as sent
    and are marked unsure.
    """
    if sent.input is None and sent.output is None:
        return sent._replace(cache_read=None, cache_write=None, reasoning=None)
    if answered and not sent.output:
        return _unreported(sent)
    cached = (sent.cache_read or 0) + (sent.cache_write or 0)
    fixed = _with_cached(_with_reasoning(sent), cached)
    if fixed.rule is not None:
        return fixed._replace(audit=Audit.ADJUSTED)
    if _total_differs(sent):
        return sent._replace(audit=Audit.UNSURE, rule="total_differs")
    return sent._replace(audit=Audit.OK)


def _unreported(sent: Tokens) -> Tokens:
    """Take 0 output tokens beside an output for what they are: not reported."""
    if sent.output is None:
        return sent._replace(audit=Audit.UNSURE, rule="output_not_reported")
    return Tokens(input=sent.input or None, audit=Audit.UNSURE, rule="zero_with_text")


def _with_cached(sent: Tokens, cached: int) -> Tokens:
    """Add cached tokens where the input provably excludes them."""
    if sent.input is None or cached == 0:
        return sent
    if cached > sent.input:
        return sent._replace(input=sent.input + cached, rule="cached_exceed_input")
    if sent.total is not None and sent.total == sent.input + cached + (sent.output or 0):
        return sent._replace(input=sent.input + cached, rule="total_includes_cached")
    return sent


def _with_reasoning(sent: Tokens) -> Tokens:
    """Add reasoning tokens where the output provably excludes them."""
    if sent.output is None or not sent.reasoning:
        return sent
    if sent.reasoning > sent.output:
        return sent._replace(output=sent.output + sent.reasoning, rule="reasoning_exceeds_output")
    if sent.total is not None and sent.total == (sent.input or 0) + sent.output + sent.reasoning:
        return sent._replace(output=sent.output + sent.reasoning, rule="total_includes_reasoning")
    return sent


def _total_differs(sent: Tokens) -> bool:
    return sent.total is not None and sent.total != (sent.input or 0) + (sent.output or 0)
