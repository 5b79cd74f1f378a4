"""Is Tidegauge itself well: ingest ledger, lag, job runs, outbox, detectors."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from dashboard import connect, parts, words
from tidegauge import clock
from tidegauge.finding import Finding, Signal, Verdict
from tidegauge.settings import Settings
from tidegauge.store import jobs, migrate, normals, outbox, pages, rollups, spans
from tidegauge.store.engine import read
from tidegauge.store.jobs import Run
from tidegauge.store.outbox import Endpoint

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def show() -> None:
    """Draw the page."""
    now = clock.now()
    st.title("System")
    project = connect.settings().project
    with read(connect.engine()) as db:
        last_span = spans.last_received(db, project)
        hours = pages.counts_by_hour(db, project, clock.floor(now, clock.HOUR) - clock.DAY)
        runs = jobs.last_runs(db, now)
        endpoints = outbox.endpoints(db)
        answers = normals.read_findings(db, project)
        size = pages.database_bytes(db)
        waiting = rollups.count_stale(db)
    for warning in warnings_of(connect.settings()):
        st.warning(words.md(warning, words.SENTENCE))
    _numbers(last_span, waiting, size, now)
    _ledger(hours)
    _jobs(runs, now)
    _outbox(endpoints, now)
    _detectors(answers, now)
    _versions()


def warnings_of(settings: Settings) -> list[str]:
    """Return what in the settings an operator should know."""
    found = []
    if settings.host not in _LOOPBACK:
        found.append("Anyone who reaches this machine can read prompts: there is no login yet")
    if not settings.webhook_url:
        found.append("Nobody is told of alerts: TIDEGAUGE_WEBHOOK_URL is not set")
    elif settings.webhook_url.startswith("http://") and not _stays_here(settings.webhook_url):
        found.append("Alerts leave this machine unencrypted: the webhook's address is http")
    return found


def _stays_here(url: str) -> bool:
    """Return whether ``url`` leads to this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


def _numbers(last_span: datetime | None, waiting: int, size: int, now: datetime) -> None:
    columns = st.columns(3)
    columns[0].metric("Last span", words.md(words.ago(last_span, now)), border=True)
    columns[1].metric("Minutes waiting to be counted", words.md(words.short(waiting)), border=True)
    columns[2].metric("Database", words.md(words.size(size)), border=True)


def _ledger(hours: Mapping[datetime, Mapping[str, int]]) -> None:
    st.subheader("Ingest ledger, last 24 hours")
    if not hours:
        st.text("No spans were received in the last 24 hours.")
        return
    outcomes = sorted({outcome for counts in hours.values() for outcome in counts})
    parts.table(
        [
            {"Hour": words.moment(hour)} | {name: counts.get(name, 0) for name in outcomes}
            for hour, counts in sorted(hours.items(), reverse=True)
        ]
    )


def _jobs(runs: Sequence[Run], now: datetime) -> None:
    st.subheader("Jobs")
    if not runs:
        st.text("No job has run yet: is the analyst running (tidegauge analyse)?")
        return
    parts.table([_run_row(run, now) for run in runs])


def _run_row(run: Run, now: datetime) -> dict[str, Any]:
    took = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    return {
        "Job": run.job,
        "Began": words.ago(run.started_at, now),
        "Took": words.number(took, "s"),
        "Outcome": run.outcome or "running, or its process died",
        "Looked at": run.looked_at,
        "Error": run.error or "",
    }


def _outbox(endpoints: Sequence[Endpoint], now: datetime) -> None:
    st.subheader("Outbox")
    if not endpoints:
        st.text("No endpoint is set: alerts are shown here only.")
        return
    parts.table(
        [
            {
                "To": one.name,
                "State": one.state,
                "Waiting": one.waiting,
                "Dead": one.dead,
                "Failures in a row": one.failures,
                "Failing since": words.moment(one.failing_since),
                "Last success": words.ago(one.last_ok_at, now),
            }
            for one in endpoints
        ]
    )


def _detectors(answers: Sequence[Finding], now: datetime) -> None:
    st.subheader("Detectors")
    if not answers:
        st.text("No detector has looked yet.")
        return
    parts.table([row for signal in Signal if (row := _detector_row(signal, answers, now))])


def _detector_row(
    signal: Signal, answers: Sequence[Finding], now: datetime
) -> dict[str, Any] | None:
    mine = [one for one in answers if one.signal is signal]
    if not mine:
        return None
    verdicts = [one.verdict for one in mine]
    newest = max(one.until for one in mine)
    return {
        "Detector": signal.value,
        "Looked at traffic until": words.ago(newest, now),
        "Series": len({one.series for one in mine}),
        "Calls": sum(one.calls for one in mine if one.until == newest),
        "Moved": verdicts.count(Verdict.MOVED),
        "Usual": verdicts.count(Verdict.USUAL),
        "Unknown": verdicts.count(Verdict.UNKNOWN),
    }


def _versions() -> None:
    st.subheader("Versions")
    engine = connect.engine()
    parts.table(
        [
            {"Part": "Tidegauge", "Version": version("tidegauge")},
            {"Part": "Schema", "Version": migrate.state(engine)},
            {"Part": "Database", "Version": engine.dialect.name},
            {"Part": "Streamlit", "Version": version("streamlit")},
            {"Part": "Python", "Version": platform.python_version()},
        ]
    )
