from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.tokens import Tokens
from collector.dialects.usage import counts_in, filled, thought_in, usage_of, used

OPENAI = {
    "prompt_tokens": 53,
    "completion_tokens": 79,
    "total_tokens": 132,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 64},
}


@pytest.mark.parametrize(
    "usage",
    [
        OPENAI,
        {
            "input_tokens": 53,
            "output_tokens": 79,
            "total_tokens": 132,
            "input_tokens_details": {"cached_tokens": 16},
            "output_tokens_details": {"reasoning_tokens": 64},
        },
        {
            "input_tokens": "53",
            "output_tokens": 79.0,
            "total_tokens": 132,
            "input_token_details": "{'cache_read': 16}",
            "output_token_details": {"reasoning": 64},
        },
        {
            "promptTokenCount": 53,
            "candidatesTokenCount": 79,
            "totalTokenCount": 132,
            "cachedContentTokenCount": 16,
            "thoughtsTokenCount": 64,
        },
        {
            "inputTokens": 53,
            "outputTokens": 79,
            "totalTokens": 132,
            "cacheReadInputTokens": 16,
            "reasoningTokens": 64,
        },
    ],
)
def test_the_same_usage_is_read_under_every_name(usage: dict[str, Any]) -> None:
    assert used(usage)[:6] == (53, 79, 16, None, 64, 132)


@pytest.mark.parametrize("usage", [None, [], "x", {}, {"input_tokens": -1, "details": {}}])
def test_what_is_no_usage_tells_nothing(usage: Any) -> None:
    assert used(usage) == Tokens()


def test_parts_of_a_side_tell_nothing_of_the_side_itself() -> None:
    assert used({"prompt_tokens_details": {"input": 3, "reasoning_tokens": 4}}) == Tokens()


def test_anthropics_usage_is_without_cached_tokens() -> None:
    usage = {"input_tokens": 26, "cache_creation_input_tokens": 12}

    assert usage_of({"stop_reason": "end_turn", "usage": usage}).excludes_cached is True
    assert usage_of({"choices": [], "stop_reason": None, "usage": usage}).excludes_cached is None


def test_googles_usage_is_without_reasoning() -> None:
    body = {"candidates": [], "usageMetadata": {"candidatesTokenCount": 15}}

    assert (usage_of(body).output, usage_of(body).excludes_reasoning) == (15, True)


@pytest.mark.parametrize(
    ("body", "thought"),
    [
        ({"usage": OPENAI}, 64),
        ({"usageMetadata": {"thoughtsTokenCount": 7}}, 7),
        ({"usage": {"output_tokens_details": {}}}, None),
        ({"usage": []}, None),
        ({}, None),
    ],
)
def test_reasoning_is_found_in_the_response(body: dict[str, Any], thought: int | None) -> None:
    assert thought_in(body) == thought


@pytest.mark.parametrize(
    "sent", ["{'a': None, 'b': {'c': True, 'd': 1}}", '{"a": null, "b": {"c": true, "d": 1}}']
)
def test_pythons_repr_and_json_are_the_same_usage(sent: str) -> None:
    assert counts_in(sent) == {"a": None, "b": {"c": True, "d": 1}}


@pytest.mark.parametrize("sent", [None, "", "{'", "{'a': <x>}", 7])
def test_a_text_that_is_no_usage_is_empty(sent: Any) -> None:
    assert counts_in(sent) == {}


def test_what_is_told_stays_and_what_is_not_is_filled() -> None:
    told = Tokens(input=9, excludes_cached=True)

    assert filled(told, Tokens(input=1, output=2)) == told._replace(output=2)
