from __future__ import annotations

import time
from typing import Any

import pytest

from collector.dialects.content import Content
from collector.dialects.prompt_identity import masked, prompt_checksum

TOOL = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "The height of the tide.",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}},
    },
}
OTHER = {"type": "function", "function": {"name": "moon", "parameters": {}}}


def identity(system: Any, tools: list[Any] | None = None, template: str | None = None) -> str:
    sent = [{"role": "system", "content": system}, {"role": "user", "content": "hi"}]
    found = prompt_checksum(Content(input=sent, tools=tools), template)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Today is 2026-11-24.", "Today is 2027-01-02."),
        ("It is 2026-11-24T15:10:11Z now", "It is 2027-01-02T05:06:07.123+01:00 now"),
        ("Date: Tue, 24 Nov 2026 15:10:11 GMT", "Date: Wed, 2 Dec 2026 05:06:07 GMT"),
        ("Today is Tuesday, November 24, 2026", "Today is Friday, May 1, 2026"),
        ("Today is 24 November 2026.", "Today is 1 May 2026."),
        ("At 9:05 AM, sharp", "At 10:15 p.m., sharp"),
        ("You help on a Monday.", "You help on a Sunday."),
        (
            "user 123e4567-e89b-12d3-a456-426614174000, be kind",
            "user 0a4fce67-beef-dead-a456-deadbeef4000, be kind",
        ),
        ("session 3f9a0b12cd", "session a00b12cd77"),
        ("request req_01ABcdEF", "request req_7Zy9"),
        ("token c2VjcmV0MTIz==", "token dG9rZW40NTY="),
        ("mail ann@example.com", "mail bob.smith+x@mail.example.org"),
        ("see https://example.com/a?user=ann&x=y now", "see https://example.com/a?user=bob now"),
        ("from 10.0.0.1:8080", "from 192.168.17.201:443"),
        ("You have  12 credits\n\nleft", "You have 7 credits left"),
        ("今天是2026年11月24日。", "今天是2027年1月2日。"),
    ],
)
def test_values_that_are_filled_in_change_nothing(one: str, other: str) -> None:
    assert masked(one) == masked(other)
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Answer in English.", "Answer in French."),
        ("You have 12 credits.", "You have 12 points."),
        ("有3个苹果的人", "有3个梨的人"),
        ("see https://example.com/a?x=1", "see https://example.com/b?x=1"),
        ("What? Be kind.", "What? Be rude."),
    ],
)
def test_other_words_are_another_prompt(one: str, other: str) -> None:
    assert identity(one) != identity(other)


def test_tools_are_the_same_in_any_order_and_in_any_wrapping() -> None:
    function: dict[str, Any] = TOOL["function"]  # type: ignore[assignment]
    turned = {"function": dict(reversed(function.items())), "type": "function"}
    flat = {
        "name": "tide",
        "description": function["description"],
        "input_schema": function["parameters"],
    }

    same = {
        identity("a", [TOOL, OTHER]),
        identity("a", [OTHER, turned]),
        identity("a", [flat, OTHER]),
    }
    assert len(same) == 1


def test_another_tool_is_another_prompt() -> None:
    function: dict[str, Any] = TOOL["function"]  # type: ignore[assignment]
    reworded = {"type": "function", "function": {**function, "description": "How high it is."}}

    found = [identity("a", tools) for tools in ([TOOL], [reworded], [TOOL, OTHER], None)]
    assert len(set(found)) == len(found)


def test_a_template_names_the_text_alone() -> None:
    assert identity("Hello Ann", template="Hello {name}") == identity(
        "Hello Bob", template="Hello {name}"
    )
    assert identity("Hello Ann", template="Hello {name}") != identity(
        "Hello Ann", template="Bye {name}"
    )


def test_a_prompt_that_is_not_there_has_no_checksum() -> None:
    assert prompt_checksum(Content(), None) is None
    assert prompt_checksum(Content(input=[{"role": "user", "content": "hi"}]), None) is None


@pytest.mark.parametrize(
    "content", [None, 7, ["a", {"type": "image"}], {"__proto__": {}}, "", "\x00"]
)
def test_a_prompt_of_any_form_has_a_checksum(content: Any) -> None:
    assert len(identity(content, [content, TOOL])) == 16


@pytest.mark.parametrize(
    "unit",
    ["a", "1", "a1 ", "1-", "a@", "@a.a", "?a=", "a?b=", "nov 1 ", "# ", "Monday", "1=", "1 "],
)
def test_no_text_takes_long(unit: str) -> None:
    text = (unit * 200_000)[:200_000]

    before = time.thread_time()
    masked(text)

    assert time.thread_time() - before < 0.5  # a quadratic search would take minutes
