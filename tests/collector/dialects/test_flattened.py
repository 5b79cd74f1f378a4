from __future__ import annotations

from typing import Any

from collector.dialects.flattened import messages

PREFIX = "llm.input_messages."


def read(**found: Any) -> list[dict[str, Any]]:
    flat = {f"{PREFIX}{key.replace('__', '.')}": value for key, value in found.items()}
    return messages(flat, PREFIX, "user")


def test_gemini_calls_its_answers_those_of_a_model() -> None:
    (found,) = read(**{"0__message__role": "model", "0__message__content": "Ho"})

    assert found == {"role": "assistant", "content": "Ho"}


def test_what_was_thought_is_not_said() -> None:
    part = "0__message__contents__{}__message_content__{}"
    (found,) = read(
        **{
            part.format(0, "type"): "reasoning",
            part.format(0, "text"): "Hm",
            part.format(1, "type"): "text",
            part.format(1, "text"): "Ho",
        }
    )

    assert (found["content"], found["reasoning"]) == ("Ho", "Hm")


def test_the_parts_of_a_message_are_more_than_its_text() -> None:
    part = "0__message__contents__0__message_content__{}"
    (found,) = read(
        **{
            "0__message__content": "Ho",
            part.format("type"): "text",
            part.format("text"): "Ho, whole",
        }
    )

    assert found["content"] == "Ho, whole"


def test_the_result_of_a_tool_names_its_call() -> None:
    (found,) = read(
        **{
            "0__message__role": "tool",
            "0__message__content": "18",
            "0__message__tool_call_id": "c",
        }
    )

    assert found == {"role": "tool", "content": "18", "tool_call_id": "c"}


def test_keys_without_an_index_are_no_messages() -> None:
    assert read(x__message__role="user", message="Hi") == []
