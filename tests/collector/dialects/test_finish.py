from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.finish import reasons, truncated


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (["stop", "length"], ("stop", "length")),
        ('["STOP"]', ("stop",)),
        ("['tool_use']", ("tool_call",)),
        ('"end_turn"', ("stop",)),
        ("FinishReason.MAX_TOKENS", ("length",)),
        ("content-filter", ("content_filter",)),
        ("SAFETY", ("content_filter",)),
        ("cancelled", ("error",)),
        ([""], ("unknown",)),
        (["a new word"], ("unknown",)),
        ([7, None], ()),
        (None, ()),
    ],
)
def test_reasons_arrive_in_many_encodings(sent: Any, expected: tuple[str, ...]) -> None:
    assert reasons(sent) == expected


@pytest.mark.parametrize(
    ("found", "cut"),
    [
        (("length",), True),
        (("unknown", "length"), True),
        (("stop",), False),
        (("tool_call", "content_filter"), False),
        (("stop", "unknown"), None),
        (("error",), None),
        ((), None),
    ],
)
def test_what_the_reasons_do_not_say_is_unknown(found: tuple[str, ...], cut: bool | None) -> None:
    assert truncated(found) is cut


@pytest.mark.parametrize(
    "sent",
    [
        ['"max_tokens"'],
        '"[\\"length\\"]"',
        "[<FinishReason.LENGTH: 2>]",
        "[<FinishReason.MAX_TOKENS: 'MAX_TOKENS'>]",
        "['FinishReason.LENGTH']",
        ["<FinishReason.LENGTH: 2>"],
    ],
)
def test_a_reason_is_read_whatever_it_is_wrapped_in(sent: Any) -> None:
    assert reasons(sent) == ("length",)


def test_incomplete_alone_does_not_say_why() -> None:
    assert reasons(["incomplete"]) == ("unknown",)
    assert truncated(reasons(["incomplete"])) is None
