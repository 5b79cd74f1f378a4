"""Token counts that mean the same in every dialect, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from collector.dialects.values import MAX_COUNT
from tidegauge.call import Audit

_CHARS = 4_000  # of text, from where it tells about a count
_CHARS_A_TOKEN = 25  # more than any tokenizer gets into one, over a text of some length
_TOKENS_A_CHAR = 4  # more than any tokenizer makes of one
_SLACK = 64  # tokens that are in no text: frames of messages, names of roles


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
    # What its dialect is known to do; None where only the numbers themselves can tell.
    excludes_cached: bool | None = None  # input is without both kinds of cached tokens
    excludes_reasoning: bool | None = None
    estimated: bool = False  # counted by the sender's library, not told by the provider
    guessed: bool = False  # taken from names that we do not know, by their words
    audit: Audit | None = None
    rule: str | None = None  # why the audit is not "ok"


_AUDIT = Tokens._fields.index("audit")  # what stands before it is the sender's
_TOLD, _UNTOLD = Tokens._fields[:6], Tokens()[6:]


def told_tokens(named: Mapping[str, Any]) -> Tokens:
    """Return the counts that flat attributes tell."""
    return Tokens._make((*map(named.get, _TOLD), *_UNTOLD))


class Seen(NamedTuple):
    """What else a span tells of the call whose tokens are audited."""

    answered: bool = False  # the span holds an answer: text, or a call of a tool
    expected: bool = False  # it ended well and is of a kind that has a usage
    failed: bool = False  # an error, or a client that went away: nothing need be reported
    streaming: bool | None = None
    limit: int | None = None  # output tokens allowed, over all choices
    input_chars: int = 0  # of text in the span
    output_chars: int = 0
    plain: bool = False  # the answer is all there and is text alone


NOTHING_SEEN = Seen()


def audited(sent: Tokens, seen: Seen = NOTHING_SEEN) -> Tokens:
    """Return the counts in one meaning, and which rule changed or doubts them.

    Counts that no rule can settle stay as sent and are marked unsure. A 0 that cannot be and a
    guess of the sender's are taken for what they are: not known. For what each rule means, see
    ``tidegauge/audit_rules.py``.
    """
    if sent.input is None and sent.output is None:
        return _missing(sent, seen)
    if sent.estimated:  # a guess is not stored as a count; the span keeps it
        return Tokens(estimated=True, audit=Audit.UNSURE, rule="estimated")
    found = _settled(sent)
    rule = found.rule
    if not (found.input and found.output) and not seen.failed:
        known, zero = _without_zeros(found, seen)
        if zero is not None:
            return _marked(known, Audit.UNSURE, zero)
    doubt = _doubt(found, sent, seen)
    if doubt is not None:
        return _marked(found, Audit.UNSURE, doubt)
    return _marked(found, Audit.OK if rule is None else Audit.ADJUSTED, rule)


def _marked(found: Tokens, audit: Audit, rule: str | None) -> Tokens:
    # Built in one go: _replace takes three times as long, and this runs for every call.
    return Tokens._make((*found[:_AUDIT], audit, rule))


def _missing(sent: Tokens, seen: Seen) -> Tokens:
    """Return that nothing is known, and whether something should be."""
    none = Tokens(estimated=sent.estimated)
    if seen.failed or not (seen.answered or seen.expected):
        return none
    rule = "stream_without_usage" if seen.streaming else "usage_missing"
    return none._replace(audit=Audit.UNSURE, rule=rule)


def _settled(sent: Tokens) -> Tokens:
    """Return the counts with all that belongs to them, and the rule that added something."""
    if not (sent.cache_read or sent.cache_write or sent.reasoning):
        return _completed(sent) if sent.total else sent  # nearly every span
    cached = (sent.cache_read or 0) + (sent.cache_write or 0)
    reasoning = sent.reasoning or 0
    with_cached = _cached_rule(sent, cached)
    with_reasoning = _reasoning_rule(sent, reasoning)
    if not with_cached and not with_reasoning:
        with_cached, with_reasoning = _by_total(sent, cached, reasoning)
    if with_cached and sent.input is not None:
        sent = sent._replace(input=_sum(sent.input, cached), rule=with_cached)
    if with_reasoning and sent.output is not None:
        sent = sent._replace(output=_sum(sent.output, reasoning), rule=with_reasoning)
    return _completed(sent)


def _sum(one: int, other: int) -> int:
    """Return a sum that a database holds."""
    return min(one + other, MAX_COUNT)


def _cached_rule(sent: Tokens, cached: int) -> str | None:
    """Return why the input is known to be without its cached tokens."""
    if sent.input is None or not cached:
        return None
    if sent.excludes_cached:
        return "input_excludes_cached"
    return "cached_exceed_input" if cached > sent.input else None


def _reasoning_rule(sent: Tokens, reasoning: int) -> str | None:
    """Return why the output is known to be without its reasoning."""
    if sent.output is None or not reasoning:
        return None
    if sent.excludes_reasoning:
        return "output_excludes_reasoning"
    return "reasoning_exceeds_output" if reasoning > sent.output else None


def _by_total(sent: Tokens, cached: int, reasoning: int) -> tuple[str | None, str | None]:
    """Return what a total tells: one that is larger by the cached tokens has them beside it."""
    if not sent.total or sent.input is None or sent.output is None:
        return None, None
    more = sent.total - sent.input - sent.output
    if more <= 0:
        return None, None
    cached_may = cached > 0 and sent.excludes_cached is None
    reasoning_may = reasoning > 0 and sent.excludes_reasoning is None
    if cached_may and more == cached:
        return "total_includes_cached", None
    if reasoning_may and more == reasoning:
        return None, "total_includes_reasoning"
    if cached_may and reasoning_may and more == cached + reasoning:
        return "total_includes_cached", "total_includes_reasoning"
    return None, None


def _completed(sent: Tokens) -> Tokens:
    """Return the counts with the one side that follows from the total and the other."""
    if not sent.total or sent.rule is not None:
        return sent
    if sent.output is None and sent.input and sent.total > sent.input:
        return sent._replace(output=sent.total - sent.input, rule="derived_from_total")
    if sent.input is None and sent.output and sent.total > sent.output:
        return sent._replace(input=sent.total - sent.output, rule="derived_from_total")
    return sent


def _without_zeros(found: Tokens, seen: Seen) -> tuple[Tokens, str | None]:
    """Return the counts without those zeros that mean "not reported", and the rule that says so."""
    if found.input == found.output == 0:
        return Tokens(), "zero_with_text" if seen.answered else "all_zero"
    if found.output == 0 and seen.answered:
        return found._replace(output=None, reasoning=None), "zero_with_text"
    if found.input == 0 and seen.input_chars:
        unknown = found._replace(input=None, cache_read=None, cache_write=None)
        return unknown, "zero_with_messages"
    if found.output is None and seen.answered:
        return found, "stream_without_usage" if seen.streaming else "output_not_reported"
    return found, None


def _doubt(found: Tokens, sent: Tokens, seen: Seen) -> str | None:
    """Return the first rule that doubts the counts."""
    # The first test of each line holds for few spans: it keeps the rule itself from being asked.
    if sent.guessed:
        return "guessed_names"
    if sent.total and _total_differs(found, sent):
        return "total_differs"
    if seen.limit is not None and _over_limit(found, seen.limit):
        return "output_over_limit"
    if seen.input_chars >= _CHARS and _is_below(found.input, seen.input_chars):
        return "input_below_text"
    if seen.output_chars >= _CHARS and _is_below(found.output, seen.output_chars):
        return "output_below_text"
    return "output_above_text" if seen.plain and _output_above_text(found, seen) else None


def _total_differs(found: Tokens, sent: Tokens) -> bool:
    """Return whether a total is none of those that libraries make of these counts."""
    if found.input is None or found.output is None:
        return False
    plain = (sent.input or 0) + (sent.output or 0)
    if sent.total == plain:
        return False
    cached = (sent.cache_read or 0) + (sent.cache_write or 0)
    reasoning = sent.reasoning or 0
    known = {plain, plain + cached, plain + reasoning, plain + cached + reasoning}
    return sent.total not in known and sent.total != found.input + found.output


def _over_limit(found: Tokens, limit: int) -> bool:
    # Some servers do not count reasoning against the limit, and some counts are off by one.
    visible = (found.output or 0) - (found.reasoning or 0)
    return visible > limit * 1.25 + 16


def _is_below(tokens: int | None, chars: int) -> bool:
    return tokens is not None and tokens * _CHARS_A_TOKEN < chars


def _output_above_text(found: Tokens, seen: Seen) -> bool:
    # Where reasoning is not reported, thoughts that nobody sees may be the difference.
    if found.output is None or found.reasoning is None:
        return False
    return found.output - found.reasoning > seen.output_chars * _TOKENS_A_CHAR + _SLACK


#: Every rule that ``audited`` can give.
RULES = frozenset(
    {
        "guessed_names",
        "total_differs",
        "output_over_limit",
        "input_below_text",
        "output_below_text",
        "output_above_text",
        "estimated",
        "input_excludes_cached",
        "output_excludes_reasoning",
        "cached_exceed_input",
        "reasoning_exceeds_output",
        "total_includes_cached",
        "total_includes_reasoning",
        "stream_start_added",
        "derived_from_total",
        "zero_with_text",
        "zero_with_messages",
        "all_zero",
        "output_not_reported",
        "stream_without_usage",
        "usage_missing",
    }
)
