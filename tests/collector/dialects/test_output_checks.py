# ruff: noqa: RUF001 - what providers write
from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.output_checks import (
    PARSED,
    Form,
    is_refusal,
    look_at,
    output_kind,
    output_valid,
    parsed,
    repetition,
)
from tidegauge.call import OutputKind

SCHEMA = {"type": "object", "required": ["a"]}
STOP = ("stop",)
PROSE = (
    "The tide rises twice a day, pulled by the moon. A gauge on the quay writes its height every "
    "six minutes, so that the harbour master can tell a ship when to leave. In a storm the sea "
    "stands higher than the tables say; then he looks at the gauge and not at the book."
)


def said(**message: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", **message}]


def kind(output: Any, finish: tuple[str, ...] = STOP, tokens: int | None = None) -> Any:
    return output_kind(look_at(output, asked_json=False, choices=1), finish, tokens)


@pytest.mark.parametrize(
    ("output", "finish", "expected"),
    [
        (said(content="Good morning"), STOP, OutputKind.TEXT),
        (said(content='{"a": 1}'), STOP, OutputKind.JSON),
        (said(content=" [1, 2]\n"), STOP, OutputKind.JSON),
        (said(content="[1] says so"), STOP, OutputKind.TEXT),
        (said(content="7"), STOP, OutputKind.TEXT),
        (said(content={"a": 1}), STOP, OutputKind.JSON),
        (said(content=None, tool_calls=[{"name": "f"}]), STOP, OutputKind.TOOL_CALL),
        (said(content="I look it up", tool_calls=[{}]), STOP, OutputKind.TOOL_CALL),
        (None, ("tool_call",), OutputKind.TOOL_CALL),
        (None, ("content_filter",), OutputKind.REFUSAL),
        (said(content=None, refusal="No."), STOP, OutputKind.REFUSAL),
        (
            said(content=None, parts=[{"type": "refusal", "refusal": "No."}]),
            STOP,
            OutputKind.REFUSAL,
        ),
        (said(content="I’m sorry, but I can’t help with that."), STOP, OutputKind.REFUSAL),
        (said(content=""), STOP, OutputKind.EMPTY),
        (said(content=" \n"), STOP, OutputKind.EMPTY),
        # Nothing captured is not nothing said.
        (said(content=None), STOP, None),
        (said(content=""), (), None),
        (said(content=None, parts=[{"type": "image"}]), STOP, None),
        (None, STOP, None),
        ([], STOP, None),
    ],
)
def test_the_kind_of_an_answer(output: Any, finish: tuple[str, ...], expected: Any) -> None:
    assert kind(output, finish) is expected


def test_no_output_tokens_and_no_text_is_an_empty_answer() -> None:
    assert kind(said(content=None), tokens=0) is OutputKind.EMPTY


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't assist with that request.", True),
        ("I cannot help with that.", True),
        ("Sorry, I am unable to comply with this.", True),
        ("As an AI language model, I cannot provide instructions for that.", True),
        ("I can't help but admire it.", False),
        ("I'm sorry to hear that. Have you tried to restart it?", False),
        ("I'm sorry, but I can't find your order.", False),
        ("I cannot provide that number, because the report does not hold it.", False),
        ("They said: I cannot help with that.", False),
        ("I cannot help with that. " + "But here is more. " * 100, False),
    ],
)
def test_only_what_opens_like_a_refusal_and_is_short_is_one(text: str, refused: bool) -> None:
    assert is_refusal(text) is refused


@pytest.mark.parametrize(
    ("output", "schema", "truncated", "valid"),
    [
        (said(content='{"a": 1}'), None, False, True),
        (said(content='{"a": 1}'), SCHEMA, None, True),
        (said(content='{"b": 1}'), SCHEMA, False, False),
        (said(content='{"b": 1}'), {"$ref": "http://127.0.0.1:9/"}, False, True),
        (said(content={"b": 1}), SCHEMA, False, False),
        (said(content='{"a": 1'), None, None, False),
        (said(content='{"a": 1}'), None, True, False),
        (said(content="Sure! {}"), None, False, False),
        (said(content='```json\n{"a": 1}\n```'), None, False, False),
        (said(content="I'm sorry, but I can't help with that."), None, False, None),
        (said(content=None, refusal="No."), None, False, None),
        (said(content="", tool_calls=[{"name": "f"}]), None, False, None),
        (said(content=None), None, False, None),
        (said(content="[" + "1," * PARSED + "1]"), None, False, None),
        (None, None, False, None),
    ],
)
def test_an_answer_that_was_to_be_json_is_valid_or_not(
    output: Any, schema: Any, truncated: bool | None, valid: bool | None
) -> None:
    look = look_at(output, asked_json=True, choices=1)

    assert output_valid(look, schema, truncated=truncated) is valid


def test_of_several_choices_all_have_to_be_valid_and_of_several_messages_the_last() -> None:
    output = said(content="I think.") + said(content="{}")

    def valid(choices: int) -> bool | None:
        look = look_at(output, asked_json=True, choices=choices)
        return output_valid(look, None, truncated=False)

    assert valid(1) is True
    assert valid(2) is False


@pytest.mark.parametrize("end", range(1, 60))
def test_json_that_ends_anywhere_is_unclosed(end: int) -> None:
    text = '{"a": [1, -2.5e3, true, null, "x\\u00e9y", {"b": {}}], "c": "d"}'
    assert parsed(text)[0] is Form.VALID
    assert parsed(text[:end])[0] is Form.UNCLOSED


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("I am sorry, I will try again. " * 100, 0.95, 1.0),
        ("a" * 200, 0.95, 1.0),
        ("The same line.\n" * 20, 0.75, 1.0),
        ("的" * 300, 0.95, 1.0),
        (PROSE, 0.0, 0.1),
    ],
)
def test_repetition_is_one_for_a_loop_and_none_for_prose(
    text: str, least: float, most: float
) -> None:
    found = repetition(text)

    assert found is not None
    assert least <= found <= most


def test_a_loop_at_the_end_is_found_behind_whatever_came_before() -> None:
    prose = "".join(chr(97 + (index * index * 31 + index) % 26) for index in range(20_000))

    found = repetition(prose + "and again " * 500)

    assert found is not None
    assert found > 0.9


def test_short_answers_are_not_measured() -> None:
    assert repetition("a" * 199) is None
