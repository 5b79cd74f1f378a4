"""Is this alert real? The list, and one alert with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from dashboard import connect, parts, queries, reads, scope, words
from dashboard.runbooks import RUNBOOKS
from dashboard.signals import CATALOG
from tidegauge import clock
from tidegauge.alert import Alert, State
from tidegauge.call import Call
from tidegauge.store import alerts
from tidegauge.store.alerts import Event
from tidegauge.store.engine import read, write
from tidegauge.store.outbox import Delivery
from tidegauge.store.spans import Filter, calls

_BEFORE, _AFTER = timedelta(hours=3), timedelta(hours=3)  # of the chart, around the start
_SAMPLES = 20
_RESOLVED_SHOWN = 50


def show() -> None:
    """Draw the page: one alert where the address names it, else the list."""
    now = clock.now()
    wanted = st.query_params.get("alert")
    if wanted is None:
        _list(now)
        return
    with read(connect.engine()) as db:
        one = alerts.get(db, wanted)
        history = alerts.events(db, wanted)
        sent = alerts.deliveries(db, wanted)
    if one is None:
        st.title("Alert not found")
        st.text(f"There is no alert {words.plain(wanted)}. It may have been deleted by retention.")
        parts.link("All alerts", "alerts")
        return
    _detail(one, history, sent, now)


def _list(now: datetime) -> None:
    st.title("Alerts")
    with read(connect.engine()) as db:
        # By state: an old alert that still fires must not be hidden by many that are over.
        known = [
            *reads.open_alerts(db),
            *alerts.list_alerts(db, State.RESOLVED, _RESOLVED_SHOWN),
        ]
        found = [one for one in known if parts.current_scope().holds(one.series)]
        answers = reads.health(db, parts.current_scope().project, now)
    still_open = [one for one in found if one.state is not State.RESOLVED]
    if not still_open:
        st.success(
            f"✓ 0 firing. Last check {words.ago(answers.last_look, now)}, "
            f"{words.plural(answers.signals, 'signal')} on "
            f"{words.plural(answers.services, 'service')}."
        )
    for one in still_open:
        _card(one, now)
    closed = [one for one in found if one.state is State.RESOLVED]
    if closed:
        st.subheader("Resolved")
        for one in closed:
            _card(one, now)


def _card(one: Alert, now: datetime) -> None:
    with st.container(border=True):
        left, right = st.columns([6, 1], vertical_alignment="center")
        with left:
            _state_line(one, now)
            st.markdown(f"**{words.md(one.title, words.SENTENCE)}**")
        with right:
            parts.link("Open →", "alerts", alert=one.alert_id)


def _state_line(one: Alert, now: datetime) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        parts.state_badge(one.state)
        st.badge(words.md(one.severity), color="gray")
        ended = one.ends_at or now
        lasted = words.lasting((ended - one.starts_at).total_seconds())
        st.caption(
            f"{words.md(one.alert_id)} · {words.md(lasted)} · since {words.moment(one.starts_at)}"
        )


def _detail(one: Alert, history: Sequence[Event], sent: Sequence[Delivery], now: datetime) -> None:
    st.title(words.md(one.title, words.SENTENCE))
    _state_line(one, now)
    _acknowledge(one)
    left, right = st.columns([3, 2])
    with left:
        _labelled("Impact", one.text.impact)
        _labelled("Likely cause", one.text.likely_cause)
        _labelled("First action", one.text.first_action)
    with right:
        st.markdown("**Evidence**")
        for (
            row
        ) in one.text.evidence:  # not a table: it would cut the text, and on a phone most of it
            st.markdown(f"{words.md(row.name)}: **{words.md(row.text, words.SENTENCE)}**")
    _runbook(one)
    _chart(one, now)
    below, beside = st.columns(2)
    with below:
        st.subheader("Timeline")
        parts.table([_event_row(event) for event in history])
    with beside:
        st.subheader("Deliveries")
        _deliveries(sent)
    _samples(one, now)
    parts.link("All alerts", "alerts")


def _runbook(one: Alert) -> None:
    steps = RUNBOOKS.get(one.signal)
    if steps is None:
        return
    if st.query_params.get("do") == "silence":
        st.info("There are no silences yet. Acknowledge: it ends the repeats of this alert.")
    asked_for = st.query_params.get("show") == "runbook"
    with st.expander(f"Runbook: {words.md(one.signal)}", expanded=asked_for):
        for number, step in enumerate(steps, start=1):
            st.markdown(words.md(f"{number}. {step}", words.SENTENCE))


def _labelled(label: str, text: str) -> None:
    st.markdown(f"**{words.md(label)}**")
    st.text(text)  # as text: names that a client chose stand in it


def _acknowledge(one: Alert) -> None:
    if one.state is State.FIRING:
        st.button(
            "Acknowledge",
            key="acknowledge",
            shortcut="A",
            on_click=_take,
            args=(one.alert_id,),
        )
    elif one.acknowledged_by:
        st.caption(f"Acknowledged by {words.md(one.acknowledged_by)}")


def _take(alert_id: str) -> None:
    with write(connect.engine()) as db:
        taken = alerts.acknowledge(db, alert_id, connect.settings().reviewer, clock.now())
    if taken is None:
        st.toast("Nothing to acknowledge: it is taken or resolved already.")


def _chart(one: Alert, now: datetime) -> None:
    until = min(max(one.starts_at + _AFTER, one.starts_at + clock.MINUTE), now)
    during = scope.between(one.starts_at - _BEFORE, until)
    leading = one.signal if one.signal in CATALOG else "output_tokens"
    beside = "latency" if leading != "latency" else "output_tokens"
    stories = queries.stories(
        connect.settings().database_url, one.series, (leading, beside), during, False
    )
    st.caption(words.md(parts.series_name(one.series), words.SENTENCE))
    for column, story in zip(st.columns(2), stories, strict=True):
        with column:
            st.markdown(f"**{words.md(story.name)}**")
            parts.chart(story, key=f"alert-{story.name}", height=270)
    parts.chart_key(stories)


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "When": words.moment(event.at),
        "What": event.kind,
        "By": event.by or "Tidegauge",
        "Text": event.text,
    }


def _deliveries(sent: Sequence[Delivery]) -> None:
    if not sent:
        st.text("Nobody is told: no webhook is set (TIDEGAUGE_WEBHOOK_URL).")
        return
    parts.table(
        [
            {
                "To": one.endpoint,
                "Message": one.kind,
                "State": one.state,
                "Answer": "none yet" if one.last_status is None else str(one.last_status),
                "Attempts": one.attempts,
                "When": words.moment(one.done_at or one.due_at),
                "Error": one.last_error or "",
            }
            for one in sent
        ]
    )


def _samples(one: Alert, now: datetime) -> None:
    st.subheader("Requests of this time")
    series = one.series
    wanted = Filter(
        since=one.starts_at,
        until=one.ends_at or now,
        service=series.service,
        environment=series.environment,
        use_case=series.use_case,
        model=series.model,
    )
    with read(connect.engine()) as db:
        found = calls(db, series.project, wanted, newest_first=True, limit=_SAMPLES)
    if not found:
        st.text("None is stored.")
        return
    parts.table([_sample_row(call) for call in found])


def _sample_row(call: Call) -> dict[str, Any]:
    return parts.call_row(call)
