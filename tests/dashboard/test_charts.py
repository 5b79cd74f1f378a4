"""Figures are plain dicts, so what they tell is tested without a browser."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dashboard import charts
from dashboard.charts import AlertMark, Points, Story
from dashboard.look import DARK, LIGHT, MARKS, Theme
from tests.world import NOON
from tidegauge.clock import HOUR, MINUTE
from tidegauge.finding import Change, Series, Signal
from tidegauge.normal import HOURS_OF_PROFILE, Normal

BOT = Series("default", "bot", "prod", "answer", "gpt-4o")


def a_normal(**fields: Any) -> Normal:
    usual: dict[str, Any] = {
        "series": BOT,
        "signal": Signal.LATENCY,
        "learned_at": NOON,
        "hours": 300,
        "log_scale": True,
        "profile": (math.log(2.0),) * HOURS_OF_PROFILE,
        "wander_sd": 0.1,
    }
    return Normal(**(usual | fields))


def a_change(kind: str = "prompt", at: timedelta = HOUR, **fields: Any) -> Change:
    usual: dict[str, Any] = {"field": "prompt_version", "before": "91", "after": "92"}
    return Change(series=BOT, kind=kind, at=NOON + at, **(usual | fields))


def a_story(**fields: Any) -> Story:
    steps = tuple(NOON + i * HOUR for i in range(6))
    usual: dict[str, Any] = {
        "since": NOON,
        "until": NOON + 6 * HOUR,
        "line": Points(steps, (2.0, 2.1, None, 2.0, 5.0, 5.5)),
        "unit": "s",
        "name": "Latency",
        "step": HOUR,
    }
    return Story(**(usual | fields))


def drawn(story: Story, theme: Theme = LIGHT) -> dict[str, Any]:
    return charts.figure(story, theme)


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in figure["data"] if one["name"] == name]
    return dict(found)


def test_a_step_without_calls_is_a_gap_and_not_zero() -> None:
    line = trace(drawn(a_story()), "Latency")
    assert line["y"][2] is None
    assert line["connectgaps"] is False


def test_the_usual_range_is_one_polygon_that_cannot_be_hovered() -> None:
    band = trace(drawn(a_story(normal=a_normal())), "usual range")
    half = len(band["x"]) // 2
    assert band["x"][:half] == band["x"][half:][::-1]
    assert band["y"][0] == pytest.approx(2.0 * math.exp(0.3), rel=0.001)
    assert band["y"][-1] == pytest.approx(2.0 * math.exp(-0.3), rel=0.001)
    assert (band["fill"], band["hoverinfo"], band["line"]["width"]) == ("toself", "skip", 0)


def test_the_usual_range_covers_the_whole_time_shown() -> None:
    band = trace(drawn(a_story(normal=a_normal())), "usual range")
    assert min(band["x"]) <= "2026-01-15T12:00:00Z"
    assert max(band["x"]) >= "2026-01-15T18:00:00Z"


def test_shares_are_shown_in_per_cent() -> None:
    story = a_story(unit="share", line=Points((NOON,), (0.0123,)))
    figure = drawn(story)
    assert trace(figure, "Latency")["y"] == [1.23]
    assert figure["layout"]["yaxis"]["ticksuffix"] == " %"


def test_every_kind_of_change_has_its_own_dash_and_marker() -> None:
    assert len({mark.dash for mark in MARKS.values()}) == len(MARKS)
    assert len({mark.symbol for mark in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("kind", [*MARKS, "something new"])
def test_a_change_is_a_line_and_a_marker_with_an_explicit_colour(kind: str, theme: Theme) -> None:
    figure = drawn(a_story(changes=[a_change(kind)]), theme)
    (line,) = [one for one in figure["layout"]["shapes"] if one["type"] == "line"]
    lane = trace(figure, "changes")
    assert line["line"]["color"] == lane["marker"]["color"][0] != "black"
    assert "91 → 92" in lane["customdata"][0]


def test_a_silent_change_says_so() -> None:
    lane = trace(drawn(a_story(changes=[a_change(silent=True)])), "changes")
    assert lane["customdata"][0].startswith("prompt, silently:")


def test_labels_of_near_changes_do_not_lie_on_each_other() -> None:
    near = [a_change(at=HOUR + i * MINUTE) for i in range(4)]
    lane = trace(drawn(a_story(changes=near)), "changes")
    named = [y for y, text in zip(lane["y"], lane["text"], strict=True) if text]
    assert len(named) == len(set(named)) == 2
    assert len(lane["customdata"]) == 4  # the others are told in the tooltip


def test_a_change_of_hostile_name_is_text_and_not_markup() -> None:
    lane = trace(drawn(a_story(changes=[a_change(after='<a href="http://evil">x</a>')])), "changes")
    assert "<a" not in lane["text"][0] + lane["customdata"][0]


def test_an_open_alert_is_shaded_from_its_start_to_the_end_of_the_chart() -> None:
    marks = [AlertMark("A-1", NOON + 4 * HOUR, None)]
    (shape,) = drawn(a_story(alerts=marks))["layout"]["shapes"]
    assert (shape["x0"], shape["x1"]) == ("2026-01-15T16:00:00Z", "2026-01-15T18:00:00Z")
    assert shape["opacity"] <= 0.2


def test_last_week_is_a_thin_line_of_its_own() -> None:
    week = Points((NOON, NOON + HOUR), (1.0, 1.1))
    line = trace(drawn(a_story(week_ago=week)), "a week earlier")
    assert (line["y"], line["line"]["width"]) == ([1.0, 1.1], 1)


def test_height_margin_and_text_colour_are_always_set() -> None:
    layout = charts.figure(a_story(), DARK, height=300)["layout"]
    assert layout["height"] == 300
    assert set(layout["margin"]) == {"l", "r", "t", "b"}
    assert layout["font"]["color"] == DARK.text


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_palette_has_ten_colours_or_plotly_ignores_it(theme: Theme) -> None:
    assert len(theme.palette) == 10


def test_a_week_of_minutes_would_be_too_many_points_and_no_step_makes_them() -> None:
    from dashboard import scope

    for window, length in scope.WINDOWS.items():
        assert length / scope.span(window, NOON).step <= 1500


def test_the_takeaway_names_the_end_the_range_and_the_marks() -> None:
    story = a_story(normal=a_normal(), changes=[a_change()])
    assert charts.takeaway(story) == (
        "Latency: 5.5 s at the end, between 2.0 s and 5.5 s; usual 1.5 s to 2.7 s; "
        "1 change, 0 alerts."
    )


def test_a_chart_without_calls_says_so_in_its_takeaway_and_on_itself() -> None:
    story = replace(a_story(), line=Points((NOON,), (None,)))
    assert charts.takeaway(story) == "Latency: no calls in this time."
    notes = [note["text"] for note in drawn(story)["layout"]["annotations"]]
    assert "no calls in this time" in notes
