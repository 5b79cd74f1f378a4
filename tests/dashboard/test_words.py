"""Text that a client chose stays text, whatever is in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import words

_BARE = re.compile(r"(?<!\\)(?:\\\\)*[`*_{}\[\]()<>#+.!|~$:^=&'\"@/-]")


@given(st.text(max_size=60))
def test_no_sign_of_markdown_is_left_unescaped(name: str) -> None:
    assert not _BARE.search(words.md(name))


@given(st.text(max_size=60))
def test_a_name_is_one_line_of_bounded_length(name: str) -> None:
    shown = words.plain(name)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 80


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\u200b", "\x00", "\n", "\u2028"])
def test_signs_that_cannot_be_seen_are_taken_out(sign: str) -> None:
    assert sign not in words.plain(f"bot{sign}txt")


@pytest.mark.parametrize("address", ["http://evil.example/x", "www.evil.example"])
def test_a_bare_address_does_not_become_a_link(address: str) -> None:
    unescaped = words.md(address).replace("\\", "")
    assert address not in unescaped


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "share", "0 %"),
        (0.123, "share", "12.3 %"),
        (0.0421, "s", "42 ms"),
        (0.9999, "s", "1.0 s"),
        (250.0, "s", "250 s"),
        (0.0021, "usd", "$0.0021"),
        (1234.5, "usd", "$1,234.50"),
        (17_300, "calls", "17.3k"),
    ],
)
def test_a_number_is_shown_with_its_unit(value: float, unit: str, text: str) -> None:
    assert words.number(value, unit) == text


def test_a_difference_too_small_to_show_has_no_sign() -> None:
    assert words.against(100.1, 100.0) == "0 %"
