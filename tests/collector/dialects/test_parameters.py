from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.parameters import plain


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ({"maxTokens": 9}, "max_tokens", 9),
        ({"maxTokens": 9, "max_tokens": 7}, "max_tokens", 7),
        ({"generationConfig": {"maxOutputTokens": 9}}, "max_output_tokens", 9),
        ({"generationConfig": '{"topP": 0.5}'}, "top_p", 0.5),
        ({"inferenceConfig": "no JSON", "topP": 0.5}, "top_p", 0.5),
        ({"modelId": "m"}, "model", "m"),
        ({"response_mime_type": "application/json"}, "response_format", "json_object"),
        ({"response_format": "<class 'app.City'>"}, "response_format", "json_schema"),
        (
            {"response_mime_type": "application/json", "response_json_schema": {"type": "object"}},
            "response_format",
            {"type": "json_schema", "schema": {"type": "object"}},
        ),
        ({"response_format": {"type": "text"}}, "response_format", {"type": "text"}),
    ],
)
def test_parameters_have_one_name_each(asked: dict[str, Any], name: str, value: Any) -> None:
    assert plain(asked)[name] == value


def test_what_was_sent_stays_as_it_was() -> None:
    asked = {"maxTokens": 9}

    plain(asked)

    assert asked == {"maxTokens": 9}
