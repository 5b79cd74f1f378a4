"""How did this signal move, and against what?"""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard import charts, connect, parts, queries, words
from dashboard.charts import Story
from dashboard.scope import Span
from dashboard.signals import CATALOG
from tidegauge import clock
from tidegauge.finding import Series

_BESIDE = ("output_tokens", "input_tokens", "latency", "errors", "truncation", "requests")
_SMALL = 4


def show() -> None:
    """Draw the page."""
    now = clock.now()
    st.title("Trends")
    if not parts.has_spans(now):
        parts.empty_state()
        return
    chosen = _pick(now)
    if chosen is None:
        st.info("No series fits the filters in the sidebar.")
        return
    series, key, compare = chosen
    during = parts.shown_span(clock.floor(now, clock.MINUTE))
    beside = tuple(other for other in _BESIDE if other != key)[:_SMALL]
    stories = queries.stories(
        connect.settings().database_url, series, (key, *beside), during, compare
    )
    _big(stories[0])
    _small(stories[1:])
    parts.link("Show the requests of this time", "requests", **_request_query(series, during))


def _pick(now: datetime) -> tuple[Series, str, bool] | None:
    known = parts.scoped_series(now)
    if not known:
        return None
    names = {parts.series_name(one): one for one in known}
    titles = {key: one.title for key, one in CATALOG.items()}
    left, middle, right = st.columns([4, 3, 2], vertical_alignment="bottom")
    # in the URL, so that a link names what it shows
    name = left.selectbox("Series", list(names), key="series", bind="query-params")
    key = middle.selectbox(
        "Signal", list(titles), index=_asked(list(titles)), format_func=titles.__getitem__
    )
    st.query_params["signal"] = key or "latency"
    compare = right.toggle("And a week earlier", key="compare", bind="query-params")
    return names.get(name or "", known[0]), key or "latency", compare


def _asked(keys: list[str]) -> int:
    """Return the place of the signal that the address asks for, by its key: alerts link so.

    A bound selectbox would put the title into the address.
    """
    wanted = st.query_params.get("signal", "")
    return keys.index(wanted) if wanted in keys else 0


def _big(story: Story) -> None:
    st.text(charts.takeaway(story))
    parts.chart(story, key="trend", height=380)
    parts.chart_key((story,))
    parts.learning_note(story)


def _small(stories: tuple[Story, ...]) -> None:
    for i in range(0, len(stories), 2):
        for column, story in zip(st.columns(2), stories[i : i + 2], strict=False):
            with column:
                st.markdown(f"**{words.md(story.name)}**")
                parts.chart(story, key=f"small-{story.name}", height=210)


def _request_query(series: Series, during: Span) -> dict[str, str]:
    return {
        "service": series.service,
        "environment": series.environment,
        "use_case": series.use_case,
        "model": series.model,
        "from": f"{during.since:%Y-%m-%dT%H:%M:%SZ}",
        "to": f"{during.until:%Y-%m-%dT%H:%M:%SZ}",
    }
