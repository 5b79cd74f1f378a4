"""Rows to Plotly figures; no Streamlit here."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard import words
from dashboard.look import MARKS, OTHER_MARK, Theme
from tidegauge.clock import HOUR, floor
from tidegauge.finding import Change
from tidegauge.normal import Normal

Figure = dict[str, Any]

CONFIG = {"displaylogo": False, "scrollZoom": False, "displayModeBar": False}
LANE_SHARE = 0.16  # of the plot's height, for the change lane
LABEL_SHARE = 0.25  # of the width; changes nearer than this in one row have no room for a label
_ROWS = (0.5, -0.5)  # of the change lane
MOST_MARKS = 60  # newest; a chart with more lines shows nothing


@dataclass(frozen=True, slots=True)
class Points:
    """One line: a value per step; None where no call carried it."""

    at: tuple[datetime, ...]  # start of each step, UTC
    value: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class AlertMark:
    """When an alert was open; ``until`` None: it still is."""

    alert_id: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything one chart tells."""

    since: datetime
    until: datetime
    line: Points
    unit: str  # s, share, tokens, usd, calls
    name: str  # of the line, in words
    step: timedelta = timedelta(0)
    normal: Normal | None = None
    week_ago: Points | None = None  # already moved to this week's times
    changes: Sequence[Change] = ()
    alerts: Sequence[AlertMark] = ()
    lane: bool = True


def figure(story: Story, theme: Theme, height: int = 260) -> Figure:
    """Return the chart as a Plotly dict: band, last week, line, alert spans, change lane.

    A dict, since a go.Figure costs a tenth more per rerun and gives nothing here.
    """
    traces = [*_band(story, theme), *_week_ago(story, theme), _line(story, theme)]
    if story.lane:
        traces.append(_lane(story, theme))
    return {"data": traces, "layout": _layout(story, theme, height)}


def takeaway(story: Story) -> str:
    """Return what the chart says in one sentence: its accessible name."""
    known = [v for v in story.line.value if v is not None]
    if not known:
        return f"{story.name}: no calls in this time."
    parts = [f"{story.name}: {words.number(known[-1], story.unit)} at the end"]
    parts.append(f"between {words.number(min(known), story.unit)}")
    text = f"{parts[0]}, {parts[1]} and {words.number(max(known), story.unit)}"
    if story.normal is not None:
        low, high = story.normal.band(story.until)
        text += f"; usual {words.number(low, story.unit)} to {words.number(high, story.unit)}"
    marks = words.plural(len(story.changes), "change")
    return f"{text}; {marks}, {words.plural(len(story.alerts), 'alert')}."


def spark(values: Sequence[float | None]) -> list[float]:
    """Return values for a table's small line; a gap counts as 0 calls there."""
    return [0.0 if value is None else rounded(value) for value in values]


def rounded(value: float) -> float:
    """Return ``value`` to four digits: more is not visible and makes the page bigger.

    >>> rounded(1234.567), rounded(0.000123456), rounded(0.0)
    (1235.0, 0.0001235, 0.0)
    """
    if value == 0 or not math.isfinite(value):
        return 0.0
    return round(value, 3 - math.floor(math.log10(abs(value))))


def _shown(value: float, unit: str) -> float:
    return rounded(value * 100 if unit == "share" else value)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def _line(story: Story, theme: Theme) -> Figure:
    middle = story.step / 2
    return {
        "type": "scatter",
        "mode": "lines+markers",
        # A step between two empty ones is no part of a line: without its dot it would not show.
        "marker": {"size": [5 if one else 0 for one in alone(story.line.value)]},
        "x": [_time(at + middle) for at in story.line.at],
        "y": [None if v is None else _shown(v, story.unit) for v in story.line.value],
        "line": {"color": theme.line, "width": 2},
        "name": story.name,
        "hovertemplate": f"%{{y}}{_suffix(story.unit)}<br>%{{x|%a %H:%M}} UTC<extra></extra>",
        "connectgaps": False,
    }


def alone(values: Sequence[float | None]) -> list[bool]:
    """Return for each value whether it is there and both its neighbours are not.

    >>> alone([1.0, None, 2.0, None, 3.0, 4.0])
    [True, False, True, False, False, False]
    """
    around = [None, *values, None]
    return [
        one is not None and around[i] is None and around[i + 2] is None
        for i, one in enumerate(values)
    ]


def _week_ago(story: Story, theme: Theme) -> list[Figure]:
    if story.week_ago is None:
        return []
    middle = story.step / 2
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [_time(at + middle) for at in story.week_ago.at],
            "y": [None if v is None else _shown(v, story.unit) for v in story.week_ago.value],
            "line": {"color": theme.past, "width": 1, "dash": "dot"},
            "name": "a week earlier",
            "hovertemplate": f"%{{y}}{_suffix(story.unit)} a week earlier<extra></extra>",
        }
    ]


def _band(story: Story, theme: Theme) -> list[Figure]:
    """Return the expected range as one filled polygon, through the middles of the hours."""
    if story.normal is None:
        return []
    hours = int((story.until - story.since) / HOUR) + 3
    first = floor(story.since, HOUR) - HOUR / 2
    at = [first + i * HOUR for i in range(hours + 1)]
    edges = [story.normal.band(moment) for moment in at]
    low = [_shown(edge[0], story.unit) for edge in edges]
    high = [_shown(edge[1], story.unit) for edge in edges]
    x = [_time(moment) for moment in at]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x + x[::-1],
            "y": high + low[::-1],
            "fill": "toself",
            "fillcolor": theme.band,
            "line": {"width": 0},
            "hoverinfo": "skip",
            "name": "usual range",
        }
    ]


def _lane(story: Story, theme: Theme) -> Figure:
    changes = list(story.changes)[-MOST_MARKS:]
    marks = [MARKS.get(change.kind, OTHER_MARK) for change in changes]
    spots = _spots(changes, story)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [_time(change.at) for change in changes],
        "y": [row for row, _ in spots],
        "yaxis": "y2",
        "text": [
            _label(change) if named else ""
            for change, (_, named) in zip(changes, spots, strict=True)
        ],
        "textposition": [_side(change, story) for change in changes],
        "textfont": {"size": 11, "color": theme.text},
        "marker": {
            "symbol": [mark.symbol for mark in marks],
            "color": [getattr(theme, mark.colour) for mark in marks],
            "size": 10,
        },
        "customdata": [_told(change) for change in changes],
        "hovertemplate": "%{customdata}<br>%{x|%a %Y-%m-%d %H:%M} UTC<extra></extra>",
        "cliponaxis": False,
        "name": "changes",
    }


def _spots(changes: Sequence[Change], story: Story) -> list[tuple[float, bool]]:
    """Return each change's row in the lane, and whether its label has room there."""
    near = (story.until - story.since) * LABEL_SHARE
    last: dict[float, datetime] = {}
    spots = []
    for change in changes:
        free = [row for row in _ROWS if row not in last or change.at - last[row] > near]
        row = free[0] if free else _ROWS[0]
        spots.append((row, bool(free)))
        last[row] = change.at
    return spots


def _label(change: Change) -> str:
    if change.field == "prompt_checksum":
        return html.escape(f" prompt text {words.plain(change.after)[:4]} ")
    name = change.field if change.kind == "parameter" else change.kind
    return html.escape(f" {name} {_brief(change.after)} ")


def _told(change: Change) -> str:
    silent = ", silently" if change.silent else ""
    before = _brief(change.before) if change.before is not None else "not known"
    text = f"{change.kind}{silent}: {change.field} {before} → {_brief(change.after)}"
    return html.escape(f"{text} ({words.plain(change.series.service)})")


def _brief(value: str) -> str:
    value = words.plain(value)
    return value if len(value) <= 14 else value[:12] + "…"


def _side(change: Change, story: Story) -> str:
    return "middle left" if _late(change.at, story) else "middle right"


def _late(at: datetime, story: Story) -> bool:
    """Return whether text to the right of ``at`` would leave the chart."""
    return at > story.since + (story.until - story.since) * (1 - LABEL_SHARE)


def _layout(story: Story, theme: Theme, height: int) -> Figure:
    top = {"gridcolor": theme.grid, "zeroline": False, "fixedrange": True, "automargin": False}
    x_axis = {
        "range": [_time(story.since), _time(story.until)],
        "showgrid": False,
        "type": "date",
        "tickfont": {"color": theme.text, "size": 12},
        "hoverformat": "%a %H:%M",
    }
    layout: Figure = {
        "height": height,
        # the defaults leave a chart this low about 60 pixels to draw in
        "margin": {"l": 52, "r": 12, "t": 8, "b": 28},
        "font": {"color": theme.text, "size": 12},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": "pan",
        "xaxis": x_axis | ({"anchor": "y2"} if story.lane else {}),
        "yaxis": top
        | {
            "rangemode": "tozero",
            "ticksuffix": _suffix(story.unit),
            "nticks": 5,
            "tickfont": {"color": theme.text, "size": 12},
            "domain": [LANE_SHARE + 0.06, 1] if story.lane else [0, 1],
        }
        | _range(story),
        "shapes": [*_alert_shapes(story, theme), *_change_shapes(story, theme)],
        "annotations": _annotations(story, theme),
    }
    if story.lane:
        layout["yaxis2"] = {
            "domain": [0, LANE_SHARE],
            "range": [-1, 1],
            "visible": False,
            "fixedrange": True,
        }
    return layout


def _range(story: Story) -> Figure:
    """Return a y range that holds line and band; an axis of nothing but zeros gets a height."""
    values = [_shown(v, story.unit) for v in story.line.value if v is not None]
    if story.week_ago is not None:
        values += [_shown(v, story.unit) for v in story.week_ago.value if v is not None]
    if story.normal is not None:
        values += [
            _shown(story.normal.band(story.until - HOUR * i)[1], story.unit) for i in range(24)
        ]
    top = max(values, default=0.0)
    return {"range": [0, top * 1.08 if top > 0 else 1]}


def _alert_shapes(story: Story, theme: Theme) -> list[Figure]:
    return [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": _time(max(mark.since, story.since)),
            "x1": _time(min(mark.until or story.until, story.until)),
            "y0": LANE_SHARE + 0.06 if story.lane else 0,
            "y1": 1,
            "fillcolor": theme.alert,
            "opacity": 0.18,
            "line": {"width": 0},
            "layer": "below",
        }
        for mark in story.alerts
    ]


def _change_shapes(story: Story, theme: Theme) -> list[Figure]:
    # a line right through a change lane's marker ties both together
    return [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": _time(change.at),
            "x1": _time(change.at),
            "y0": LANE_SHARE / 4 if story.lane else 0,
            "y1": 1,
            "line": {
                # Plotly's default black disappears in dark mode
                "color": getattr(theme, MARKS.get(change.kind, OTHER_MARK).colour),
                "width": 1.5,
                "dash": MARKS.get(change.kind, OTHER_MARK).dash,
            },
        }
        for change in list(story.changes)[-MOST_MARKS:]
    ]


def _annotations(story: Story, theme: Theme) -> list[Figure]:
    plain = {"showarrow": False, "font": {"color": theme.text, "size": 11}}
    notes: list[Figure] = [
        plain
        | {
            "x": _time(max(mark.since, story.since)),
            "xref": "x",
            "y": 1,
            "yref": "paper",
            "xanchor": "right" if _late(mark.since, story) else "left",
            "yanchor": "top",
            "text": "alert",
        }
        for mark in list(story.alerts)[-3:]
    ]
    if all(value is None for value in story.line.value):
        middle = {"x": 0.5, "xref": "paper", "y": 0.55, "yref": "paper"}
        notes.append(plain | middle | {"text": "no calls in this time"})
    if story.lane and not story.changes:
        side = {"x": 0, "xref": "paper", "xanchor": "left", "y": LANE_SHARE / 2, "yref": "paper"}
        notes.append(plain | side | {"text": "no changes in this time"})
    return notes


def _suffix(unit: str) -> str:
    return {"s": " s", "share": " %"}.get(unit, "")
