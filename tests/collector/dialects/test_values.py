from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.values import (
    count,
    decoded,
    first,
    first_count,
    flag,
    from_json,
    texts,
    unflattened,
)


def test_empty_words_do_not_hide_a_later_name() -> None:
    assert first({"a": "", "b": "none", "c": 0}, ("a", "b", "c")) == 0


@pytest.mark.parametrize("value", ["x", "", None, True, -1, 1.5, "1e400", 2**40, [1], float("inf")])
def test_what_is_no_count_is_unknown(value: Any) -> None:
    assert count(value) is None


@pytest.mark.parametrize("value", [17, "17", 17.0, '"17"', "1.7e1"])
def test_a_count_may_be_text(value: Any) -> None:
    assert count(value) == 17


def test_a_flag_may_be_a_word() -> None:
    assert [flag(value) for value in (True, "False", '"true"', "yes", 1)] == [
        True, False, True, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["{'a': {1, 2}}", "[lambda: 0]", "['a'", "(" * 5_000, "['\\d']"])
def test_what_is_neither_json_nor_plain_data_stays_text(text: str) -> None:
    assert decoded(text) in (text, ["\\d"])


def test_json_in_text_is_made_fit_for_both_databases() -> None:
    deep = from_json("[" * 100 + "]" * 100)
    depth = 0
    while isinstance(deep, list):
        deep, depth = deep[0], depth + 1

    assert (depth, deep) == (31, "[nested too deeply]")
    assert from_json('{"a\\u0000": ["b\\u0000"]}') == {"a": ["b"]}


def test_flattened_keys_that_contradict_each_other_cost_nothing() -> None:
    attributes = {"p.0": "text", "p.0.role": "user", "p.1.role": "x", "p.1": "late"}

    assert unflattened(attributes, "p.") == ["text", {"role": "x"}]


def test_flattened_keys_are_ordered_by_number_and_bounded() -> None:
    attributes: dict[str, Any] = {f"p.{n}.x": n for n in (10, 9, 0)}
    attributes["p.0." + ".".join("a" * 5_000)] = "deep"

    assert unflattened(attributes, "p.") == [{"x": 0}, {"x": 9}, {"x": 10}]


def test_lists_of_text_leave_out_what_is_none() -> None:
    assert texts([1, "a", None]) == ("a",)


@pytest.mark.parametrize("sent", ["n/a", "", -1, None, True, "1.5", []])
def test_a_value_that_is_no_count_does_not_hide_the_next(sent: Any) -> None:
    assert first_count({"a": sent, "b": "7"}, ("a", "b")) == 7


def test_the_first_count_wins_also_when_it_is_0() -> None:
    assert first_count({"a": 0, "b": 7}, ("a", "b")) == 0
    assert first_count({}, ("a", "b")) is None


def test_a_list_that_was_spread_leaves_what_was_sent_as_it_is() -> None:
    sent: dict[str, Any] = {"p.0.message": {"role": "user", "parts": {}}, "p.0.message.name": "x"}
    assert unflattened(sent, "p.") == [{"message": {"role": "user", "parts": {}}}]
    assert sent["p.0.message"] == {"role": "user", "parts": {}}
