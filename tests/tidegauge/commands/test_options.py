"""Times on the command line, and settings from it and the environment."""

from __future__ import annotations

from datetime import timedelta

import pytest
import typer

from tests.world import NOON
from tidegauge.alert import State
from tidegauge.commands.options import AlertState, moment, settings
from tidegauge.settings import BadSettings


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("30s", timedelta(seconds=30)),
        ("30m", timedelta(minutes=30)),
        ("1.5 h", timedelta(minutes=90)),
        (" 7d ", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("2026-01-15T11:00:00Z", timedelta(hours=1)),
        ("2026-01-15T11:00:00", timedelta(hours=1)),
        ("2026-01-15T13:00:00+02:00", timedelta(hours=1)),
        ("2026-01-15", timedelta(hours=12)),
    ],
)
def test_a_time_is_an_age_or_iso_8601_and_utc_unless_it_says(text: str, before: timedelta) -> None:
    assert moment(text, NOON) == NOON - before
    assert moment(text, NOON).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2 months", "-2h", "2026-13-01", "9999999999d", "0001-01-01T00:00:00+09:00"],
)
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"use ISO 8601 .* or an age"):
        moment(text, NOON)


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_HOST", "10.0.0.1")
    monkeypatch.setenv("TIDEGAUGE_PROJECT", "shop")

    found = settings(host="10.0.0.2", project=None)

    assert (found.host, found.project) == ("10.0.0.2", "shop")


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_PROJET", "shop")

    with pytest.raises(BadSettings, match="TIDEGAUGE_PROJET: no such setting"):
        settings()


def test_the_states_on_the_command_line_are_those_of_an_alert() -> None:
    assert {state.value for state in AlertState} == {state.value for state in State}
