"""What the operator asks for: read from TOML, checked key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tidegauge.policy import (
    BadPolicy,
    Capture,
    Policy,
    Project,
    knobs,
    policy_of,
    projects_of,
    read_policy,
)


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
    assert policy_of(knobs()) == Policy()


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
    [
        "policy = 5\n",
        "projects = 5\n",
        "[projects]\nshop = 5\n",
        "[[policy]]\nmin_calls = 5\n",
        "[polciy]\nmin_calls = 5\n",
        "min_calls = 5\n",
    ],
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


def test_a_project_has_the_keys_it_names_and_else_those_for_all(tmp_path: Path) -> None:
    text = """
    [policy]
    min_calls = 40
    [projects."*"]
    content_days = 7
    redact_names = ["iban"]
    [projects.shop]
    capture = "hash"
    numbers_days = 90
    redact_patterns = ['CUST-\\d+']
    """

    policy = read_policy(written(tmp_path, text))

    assert policy.min_calls == 40
    assert policy.project("other") == Project(content_days=7, redact_names=("iban",))
    assert policy.project("shop") == Project(
        capture=Capture.HASH,
        content_days=7,
        numbers_days=90,
        redact_names=("iban",),
        redact_patterns=(r"CUST-\d+",),
    )


def test_without_a_table_a_project_keeps_everything_for_the_usual_time() -> None:
    assert Policy().project("any") == Project()
    assert projects_of({}) == {}


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("capture", "none", "one of full, redacted, hash, off"),
        ("capture", 1, "one of full"),
        ("content_days", 0, "1 to 36500 days"),
        ("content_days", True, "1 to 36500 days"),
        ("content_days", 1.5, "1 to 36500 days"),
        ("numbers_days", "400", "1 to 36500 days"),
        ("redact_names", "iban", "a list of texts"),
        ("redact_patterns", [1], "a list of texts"),
    ],
)
def test_a_wrong_key_of_a_project_says_what_it_should_be(key: str, value: Any, fix: str) -> None:
    with pytest.raises(BadPolicy, match=rf"here: \[projects.shop\]: '{key}' must be {fix}"):
        projects_of({"shop": {key: value}}, "here")


def test_an_unknown_key_of_a_project_is_named() -> None:
    with pytest.raises(
        BadPolicy, match=r"\[projects.shop\]: unknown key 'keep'; known are capture"
    ):
        projects_of({"shop": {"keep": 1}})


def test_content_is_not_kept_longer_than_its_numbers() -> None:
    with pytest.raises(BadPolicy, match="'numbers_days' must not be less than 'content_days'"):
        projects_of({"shop": {"numbers_days": 20}})
