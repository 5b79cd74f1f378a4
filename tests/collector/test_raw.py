from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.raw import bounded, clean_int, clean_text, is_indexed


@given(
    st.text(alphabet=st.sampled_from("a\0ä€😀\ud800\udc00\udfff"), max_size=30), st.integers(0, 40)
)
def test_clean_text_can_be_stored_and_is_no_longer_than_its_limit(text: str, limit: int) -> None:
    clean = clean_text(text, limit)

    assert len(clean.encode()) <= limit
    assert "\0" not in clean


def test_a_pair_of_surrogates_is_the_character_it_stands_for() -> None:
    assert clean_text("\ud83d\ude00") == "😀"


@pytest.mark.parametrize(("sent", "kept"), [(2**63, 2**63 - 1), (-(2**70), -(2**63)), (5, 5)])
def test_whole_numbers_fit_into_64_bits(sent: int, kept: int) -> None:
    assert clean_int(sent) == kept


@pytest.mark.parametrize(
    ("key", "indexed"),
    [("gen_ai.prompt.0.role", True), ("a.12", True), ("gpt-4.1x", False), ("h2.x", False)],
)
def test_keys_of_flattened_lists_are_known(key: str, indexed: bool) -> None:
    assert is_indexed(key) is indexed


def test_the_last_of_equal_keys_wins() -> None:
    assert bounded([("a", 1), ("a", 2)]) == ({"a": 2}, 0)
