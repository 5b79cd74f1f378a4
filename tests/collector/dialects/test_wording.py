from __future__ import annotations

import pytest

from collector.dialects.wording import asks, operation_in, stands_around, words_of
from tidegauge.call import Operation


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acme.llm.promptTokens", ("acme", "llm", "prompt", "tokens")),
        ("LLMCall", ("llm", "call")),
        ("chat gpt-4o", ("chat", "gpt", "4o")),
        ("", ()),
        ("\U0001f600", ()),
    ],
)
def test_a_name_has_words_however_they_were_joined(name: str, words: tuple[str, ...]) -> None:
    assert words_of(name) == words


def test_only_the_beginning_of_a_long_name_is_looked_at() -> None:
    assert len("".join(words_of("a" * 10_000))) == 200


@pytest.mark.parametrize("name", ["invoke_agent geo", "MyChain", "tools/call", "agent.chat"])
def test_agents_chains_and_tools_stand_around_calls(name: str) -> None:
    assert stands_around(name)


@pytest.mark.parametrize("name", ["chat gpt-4o", "acme.llm.request", "embed texts", "POST"])
def test_calls_do_not(name: str) -> None:
    assert not stands_around(name)


def test_a_name_says_whether_it_asks_a_model() -> None:
    assert asks("llm.generate")
    assert not asks("summarize")


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("llm.call", Operation.CHAT),
        ("embed texts", Operation.EMBEDDINGS),
        ("acme.Reranker", Operation.RERANK),
    ],
)
def test_a_name_says_what_it_asks_for(name: str, operation: Operation) -> None:
    assert operation_in(name) is operation
