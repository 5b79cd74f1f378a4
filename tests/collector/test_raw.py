from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.raw import (
    ATTRIBUTES,
    EVENTS,
    bounded,
    bounded_events,
    clean_int,
    clean_text,
    is_indexed,
)


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


READ = {
    "gen_ai.usage.input_tokens": 10,
    "llm.token_count.prompt": 10,
    "error.type": "x",
    "http.response.status_code": 500,
    "tidegauge.use_case": "faq",
}


def test_what_we_read_is_kept_before_what_an_application_adds() -> None:
    own = [(f"app.{chr(97 + n // 26)}{chr(97 + n % 26)}", n) for n in range(200)]

    kept, dropped = bounded([*own, *READ.items()])

    assert READ.items() <= kept.items()
    assert (len(kept), dropped) == (ATTRIBUTES, 200 + len(READ) - ATTRIBUTES)
    assert list(kept)[:3] == ["app.aa", "app.ab", "app.ac"]


def test_the_last_of_equal_keys_wins_above_the_limit_too() -> None:
    pairs = [("gen_ai.usage.output_tokens", 1), *((f"k{n}", n) for n in range(ATTRIBUTES))]

    kept, dropped = bounded([*pairs, ("gen_ai.usage.output_tokens", 2)])

    assert kept["gen_ai.usage.output_tokens"] == 2
    assert dropped == 1


def test_an_exception_behind_a_long_stream_is_kept() -> None:
    chunk = "llm.content.completion.chunk"
    sent = ["start", *[chunk] * 300, "middle", "exception"]

    assert bounded_events(sent, str) == (["start", chunk, "middle", "exception"], 299)
    assert bounded_events([chunk] * EVENTS, str) == ([chunk] * EVENTS, 0)


def test_the_last_event_is_kept_whatever_the_others_are() -> None:
    kept, dropped = bounded_events([*map(str, range(500)), "exception"], str)

    assert (len(kept), dropped) == (EVENTS, 501 - EVENTS)
    assert kept[-1] == "exception"
