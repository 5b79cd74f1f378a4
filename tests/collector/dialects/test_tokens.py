from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.tokens import Tokens, audited
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
    found = audited(Tokens(**sent), answered=False)

    assert (found.input, found.output, found.audit, found.rule) == (input, output, audit, rule)


def test_no_output_tokens_beside_an_output_are_unknown_and_not_zero() -> None:
    found = audited(Tokens(input=0, output=0), answered=True)

    assert (found.input, found.output, found.rule) == (None, None, "zero_with_text")
    assert audited(Tokens(input=7, output=0), answered=True).input == 7
    assert audited(Tokens(input=7, output=0), answered=False).output == 0


def test_an_answer_without_a_count_is_unsure() -> None:
    found = audited(Tokens(input=7), answered=True)

    assert (found.audit, found.rule) == (UNSURE, "output_not_reported")
