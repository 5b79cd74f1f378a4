"""Is something wrong?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import charts, connect, parts, queries, words
from dashboard.reads import Overview, Reading, ServiceRow
from tidegauge import clock
from tidegauge.alert import Alert, State
from tidegauge.finding import Change

_SHOWN_ALERTS = 3


def show() -> None:
    """Draw the page."""
    now = clock.now()
    st.title("Overview")
    if not parts.has_spans(now):
        parts.empty_state()
        return
    settings = connect.settings()
    minute = clock.floor(now, clock.MINUTE)
    seen = queries.overview(settings.database_url, parts.current_scope(), settings.reviewer, minute)
    parts.stale_bar(seen.health, now)
    _state(seen, now)
    _numbers(seen.readings)
    _charts(seen)
    _services(seen, now)
    _foot(seen, now)


def _state(seen: Overview, now: datetime) -> None:
    for one in seen.open_alerts[:_SHOWN_ALERTS]:
        _alert_line(one, now)
    if len(seen.open_alerts) > _SHOWN_ALERTS:
        parts.link(f"All {len(seen.open_alerts)} open alerts", "alerts")
    if not seen.open_alerts:
        health = seen.health
        st.success(
            f"✓ Nothing is firing. {words.plural(health.signals, 'signal')} on "
            f"{words.plural(health.services, 'service')} checked "
            f"{words.ago(health.last_look, now)}."
        )


def _alert_line(one: Alert, now: datetime) -> None:
    text, link = st.columns([7, 1], vertical_alignment="center")
    lasting = words.lasting((now - one.starts_at).total_seconds())
    with text:
        if one.state is State.FIRING:
            st.error(f"▲ {words.md(one.title, words.SENTENCE)} · {words.md(lasting)}")
        else:
            st.warning(
                f"◆ {words.md(one.title, words.SENTENCE)} · "
                f"taken by {words.md(one.acknowledged_by)}"
            )
    with link:
        parts.link("Open →", "alerts", alert=one.alert_id)


def _numbers(readings: tuple[Reading, ...]) -> None:
    for column, one in zip(st.columns(len(readings)), readings, strict=True):
        usual = words.number(one.usual, one.unit)
        column.metric(
            words.md(one.title),
            words.md(words.number(one.now, one.unit)),
            words.against(one.now, one.usual),
            delta_arrow="off" if words.against(one.now, one.usual) == "0 %" else "auto",
            delta_color="off",
            delta_description=words.md(usual) if one.usual is not None else None,
            border=True,
        )
    if any(one.usual is not None for one in readings):
        st.caption("Small: the change, and the value of the same hours a week earlier.")


def _charts(seen: Overview) -> None:
    if seen.focus is None:
        st.info("No calls in this window. A longer window is in the sidebar.")
        return
    # Above both: beside each title a long name would wrap, and the charts would not align.
    st.caption(words.md(parts.series_name(seen.focus), words.SENTENCE))
    for i, (column, story) in enumerate(
        zip(st.columns(len(seen.stories)), seen.stories, strict=True)
    ):
        with column:
            st.markdown(f"**{words.md(story.name)}**")
            parts.chart(story, key=f"overview-{i}", height=250)
    parts.chart_key(seen.stories)


def _services(seen: Overview, now: datetime) -> None:
    st.subheader("Services")
    parts.table(
        [_service_row(row, now) for row in seen.services],
        column_config={
            "Requests": st.column_config.LineChartColumn("Requests", width="small", y_min=0)
        },
        alt="Every service with its state and numbers",
    )


def _service_row(row: ServiceRow, now: datetime) -> dict[str, Any]:
    before = f" ({words.number(row.latency_before, 's')})" if row.latency_before else ""
    return {
        "Service": words.plain(row.service),
        "State": parts.state_text(row.state),
        "Per hour": words.short(row.calls_per_hour),
        "p95 latency (week ago)": words.number(row.latency_p95, "s") + before,
        "Errors": words.number(row.error_share, "share"),
        "p95 output tokens": words.number(row.output_tokens_p95, "tokens"),
        "Cost per hour": words.number(row.cost_per_hour, "usd"),
        "Last change": _change_text(row.last_change, now),
        "Requests": charts.spark(row.calls),
    }


def _change_text(change: Change | None, now: datetime) -> str:
    if change is None:
        return "none in this window"
    return f"{change.kind} {words.plain(change.after)[:16]}, {words.ago(change.at, now)}"


def _foot(seen: Overview, now: datetime) -> None:
    review, health = seen.review, seen.health
    waiting = f"{review.left} waiting"
    if review.oldest_at is not None:
        waiting += f", oldest {words.lasting((now - review.oldest_at).total_seconds())}"
    left, middle, right = st.columns(3)
    with left:
        parts.link(f"Review: {waiting}", "review")
    middle.caption(f"Last span {words.ago(health.last_span, now)}")
    right.caption(
        f"{words.plural(health.signals, 'signal')} checked {words.ago(health.last_look, now)}, "
        f"{words.short(health.learning)} still learning"
    )
