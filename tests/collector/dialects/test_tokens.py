from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.tokens import RULES, Seen, Tokens, audited
from collector.dialects.values import MAX_COUNT
from tidegauge.call import Audit

OK, ADJUSTED, UNSURE = Audit.OK, Audit.ADJUSTED, Audit.UNSURE


@pytest.mark.parametrize(
    ("sent", "input", "output", "audit", "rule"),
    [
        ({"input": 10, "output": 5}, 10, 5, OK, None),
        ({"input": 10, "output": 5, "total": 15}, 10, 5, OK, None),
        ({"input": 9, "total": 9}, 9, None, OK, None),
        ({"input": 52, "output": 5, "cache_read": 40, "cache_write": 12}, 52, 5, OK, None),
        # Anthropic's own numbers: the input leaves out what the cache held.
        (
            {"input": 12, "output": 5, "cache_read": 40},
            52, 5, ADJUSTED, "cached_exceed_input",
        ),
        (
            {"input": 50, "output": 5, "cache_read": 40, "total": 95},
            90, 5, ADJUSTED, "total_includes_cached",
        ),
        # Gemini's own numbers: the output leaves out the thoughts.
        (
            {"input": 10, "output": 5, "reasoning": 64},
            10, 69, ADJUSTED, "reasoning_exceeds_output",
        ),
        (
            {"input": 10, "output": 70, "reasoning": 64, "total": 144},
            10, 134, ADJUSTED, "total_includes_reasoning",
        ),
        ({"input": 10, "output": 5, "total": 99}, 10, 5, UNSURE, "total_differs"),
        ({"cache_read": 4}, None, None, None, None),
    ],
)  # fmt: skip
def test_counts_mean_the_same_whoever_sent_them(
    sent: dict[str, Any],
    input: int | None,
    output: int | None,
    audit: Audit | None,
    rule: str | None,
) -> None:
    found = audited(Tokens(**sent))

    assert (found.input, found.output, found.audit, found.rule) == (input, output, audit, rule)


ANSWERED = Seen(answered=True)
STREAM = Seen(answered=True, streaming=True)
ENDED = Seen(expected=True)
THOUGHT = {"input": 10, "output": 900, "reasoning": 0}
LONG = Seen(input_chars=40_000)

# Every rule, by an example: counts sent, what else is seen, the input and output that are kept.
EXAMPLES: dict[str, tuple[dict[str, Any], Seen, int | None, int | None]] = {
    "input_excludes_cached": (
        {"input": 50, "output": 5, "cache_read": 40, "excludes_cached": True},
        ANSWERED, 90, 5,
    ),
    "output_excludes_reasoning": (
        {"input": 50, "output": 70, "reasoning": 64, "excludes_reasoning": True},
        ANSWERED, 50, 134,
    ),
    "cached_exceed_input": ({"input": 12, "output": 5, "cache_write": 40}, ANSWERED, 52, 5),
    "reasoning_exceeds_output": ({"input": 10, "output": 5, "reasoning": 64}, ANSWERED, 10, 69),
    "total_includes_cached": (
        {"input": 50, "output": 5, "cache_read": 40, "total": 95}, ANSWERED, 90, 5,
    ),
    "total_includes_reasoning": (
        {"input": 9, "output": 70, "reasoning": 64, "total": 143}, ANSWERED, 9, 134,
    ),
    # What a dialect has already put right.
    "stream_start_added": (
        {"input": 10, "output": 5, "rule": "stream_start_added"}, ANSWERED, 10, 5,
    ),
    "guessed_names": ({"input": 10, "output": 5, "guessed": True}, ANSWERED, 10, 5),
    "derived_from_total": ({"input": 10, "total": 15}, ANSWERED, 10, 5),
    "zero_with_text": ({"input": 7, "output": 0}, ANSWERED, 7, None),
    "zero_with_messages": ({"input": 0, "output": 5}, Seen(input_chars=9), None, 5),
    "all_zero": ({"input": 0, "output": 0, "total": 0}, ENDED, None, None),
    "output_not_reported": ({"input": 7}, ANSWERED, 7, None),
    "stream_without_usage": ({}, STREAM, None, None),
    "usage_missing": ({}, ENDED, None, None),
    "estimated": ({"input": 47, "output": 27, "estimated": True}, ANSWERED, None, None),
    "total_differs": ({"input": 10, "output": 5, "total": 99}, ANSWERED, 10, 5),
    "output_over_limit": ({"input": 10, "output": 500}, Seen(limit=100), 10, 500),
    "input_below_text": ({"input": 5, "output": 5}, LONG, 5, 5),
    "output_below_text": ({"input": 5, "output": 5}, Seen(output_chars=40_000), 5, 5),
    "output_above_text": (THOUGHT, Seen(output_chars=100, plain=True), 10, 900),
}  # fmt: skip


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_has_its_example(rule: str) -> None:
    sent, seen, input, output = EXAMPLES[rule]

    found = audited(Tokens(**sent), seen)

    assert (found.input, found.output, found.rule) == (input, output, rule)
    assert found.audit in (ADJUSTED, UNSURE)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        # A known total is no doubt, in whatever meaning.
        ({"input": 50, "output": 5, "cache_read": 40, "total": 95, "excludes_cached": False}, None),
        ({"input": 90, "output": 5, "cache_read": 40, "total": 95}, None),
        ({"input": 10, "output": 5, "total": 0}, None),
        # Traceloop counts one too many on Anthropic's streams; servers differ on reasoning.
        ({"input": 10, "output": 101}, Seen(limit=100)),
        ({"input": 10, "output": 900, "reasoning": 850}, Seen(limit=100)),
        # Hidden thoughts, a tool that is called, a text in a language of many tokens.
        ({"input": 10, "output": 900}, Seen(output_chars=100, plain=True)),
        (THOUGHT, Seen(output_chars=100)),
        ({"input": 10, "output": 300, "reasoning": 0}, Seen(output_chars=100, plain=True)),
        ({"input": 2_000, "output": 5}, LONG),
        # An answer of the cache alone.
        (
            {"input": 0, "output": 5, "cache_read": 40, "excludes_cached": True},
            Seen(input_chars=200),
        ),
    ],
)
def test_counts_that_can_be_are_not_doubted(sent: dict[str, Any], seen: Seen | None) -> None:
    found = audited(Tokens(**sent), seen or Seen())

    assert found.audit in (OK, ADJUSTED)


def test_both_sides_are_completed_by_what_is_known_of_the_dialect() -> None:
    disjoint = Tokens(
        input=10, output=5, cache_read=90, reasoning=64, total=169,
        excludes_cached=True, excludes_reasoning=True,
    )  # fmt: skip
    by_total = Tokens(input=100, output=70, cache_read=90, reasoning=64, total=324)

    assert audited(disjoint)[:2] == (100, 69)
    assert audited(by_total)[:2] == (190, 134)


def test_a_call_that_was_stopped_owes_no_counts() -> None:
    stopped = Seen(answered=True, expected=True, failed=True, streaming=True)

    assert audited(Tokens(), stopped) == Tokens()
    assert audited(Tokens(input=0, output=0), stopped).rule is None


def test_the_stored_counts_keep_their_order() -> None:
    for sent, seen, *_ in EXAMPLES.values():
        found = audited(Tokens(**sent), seen)

        if found.input is not None:
            assert (found.cache_read or 0) + (found.cache_write or 0) <= found.input
        if found.output is not None:
            assert (found.reasoning or 0) <= found.output


def test_no_sum_is_larger_than_a_database_holds() -> None:
    most = Tokens(
        input=MAX_COUNT, output=MAX_COUNT, cache_read=MAX_COUNT, reasoning=MAX_COUNT,
        excludes_cached=True, excludes_reasoning=True,
    )  # fmt: skip

    assert audited(most)[:2] == (MAX_COUNT, MAX_COUNT)
