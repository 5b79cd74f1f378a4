"""What the operator asks for: read from TOML, checked key by key."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tidegauge.policy import BadPolicy, Policy, policy_of, read_policy


def written(folder: Path, text: str) -> Path:
    path = folder / "tidegauge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_or_a_table_the_defaults_hold(tmp_path: Path) -> None:
    assert read_policy(None) == Policy()
    assert read_policy(written(tmp_path, "# nothing yet\n")) == Policy()


def test_what_the_file_names_replaces_the_default_and_nothing_else(tmp_path: Path) -> None:
    text = "[policy]\nwindows_min = [1, 5]\nmin_calls = 40\nlatency_effect = 0.3\nrepeat_h = 2\n"

    assert read_policy(written(tmp_path, text)) == Policy(
        windows_min=(1, 5), min_calls=40, latency_effect=0.3, repeat_h=2
    )


def test_every_key_takes_its_own_default() -> None:
    defaults = {field.name: field.default for field in fields(Policy)}

    assert policy_of(defaults) == Policy()


def test_an_unknown_key_is_named_beside_those_that_are_known() -> None:
    with pytest.raises(BadPolicy, match=r"here: unknown key 'min_cals'; known are .*min_calls"):
        policy_of({"min_cals": 5}, "here")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("min_calls", "many"),
        ("min_calls", 40.5),
        ("min_calls", True),
        ("min_calls", -1),
        ("latency_effect", -0.1),
        ("latency_effect", "0.2"),
        ("windows_min", 5),
        ("windows_min", []),
        ("windows_min", [5, "15"]),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_an_example(key: str, value: Any) -> None:
    with pytest.raises(BadPolicy, match=rf"policy: '{key}' must look like "):
        policy_of({key: value})


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match=r"tidegauge\.toml: cannot be read as TOML"):
        read_policy(written(tmp_path, "[policy\n"))
    with pytest.raises(BadPolicy, match=r"none\.toml: cannot be read"):
        read_policy(tmp_path / "none.toml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tidegauge.toml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(BadPolicy, match="cannot be read as TOML"):
        read_policy(path)


@pytest.mark.parametrize(
    "text",
    ["policy = 5\n", "[[policy]]\nmin_calls = 5\n", "[polciy]\nmin_calls = 5\n", "min_calls = 5\n"],
)
def test_a_policy_outside_of_its_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadPolicy, match=r"tidegauge\.toml"):
        read_policy(written(tmp_path, text))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(BadPolicy, match="'latency_effect'"):
        policy_of({"latency_effect": value})


@pytest.mark.parametrize("value", [[0], [5, 0]])
def test_a_window_without_length_is_refused(value: list[int]) -> None:
    with pytest.raises(BadPolicy, match="'windows_min'"):
        policy_of({"windows_min": value})
