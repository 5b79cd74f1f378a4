"""Is Tidegauge itself well: ingest ledger, lag, job runs, outbox, detectors."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from dashboard import audit, connect, parts, queries, words
from tidegauge import clock
from tidegauge.finding import Finding, Signal, Verdict
from tidegauge.policy import BadPolicy, read_policy
from tidegauge.settings import Settings
from tidegauge.store import (
    jobs,
    ledger,
    migrate,
    normals,
    outbox,
    pages,
    rollups,
    spans,
    token_metrics,
    traces,
)
from tidegauge.store.engine import read
from tidegauge.store.jobs import Run
from tidegauge.store.ledger import Claim, Line
from tidegauge.store.outbox import Endpoint
from tidegauge.store.token_metrics import TokenCheck

_SOMETIMES = (
    *("Key", "Rejected", "Refused", "Late", "In the future", "Clock wrong", "Cut"),
    *("JSON", "Dropped by SDK", "Log records", "Metric points"),
)
# Left to itself a column is about twelve characters wide: reasons and exporters would be cut, and
# two exporters of one service look the same.
_WIDTHS = {
    name: st.column_config.TextColumn(width=pixels)
    for name, pixels in {
        "Exporter": 290,
        "Rejected": 130,
        "Refused": 130,
        "JSON": 130,
        "Dropped by SDK": 130,
        "Log records": 130,
        "Metric points": 130,
        "SDK": 220,
    }.items()
}
_NOT_READ = "(not read)"  # the service of a request that was refused before its body was
_MOST_REASONS = 20  # sources whose reasons are written out above the table
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def show() -> None:
    """Draw the page."""
    now = clock.now()
    st.title("System")
    st.caption("The whole installation, whatever the filters say. Counts are of the last 24 hours.")
    settings = connect.settings()
    project = settings.project
    with read(connect.engine()) as db:
        last_span = spans.last_received(db, project)
        lines = ledger.lines(db, project, now - clock.DAY)
        claim = ledger.claim(db, project, now - clock.DAY, kept_since=_kept_since(settings, now))
        checks = token_metrics.compare(db, project, clock.floor(now - clock.DAY, clock.HOUR), now)
        runs = jobs.last_runs(db, now)
        endpoints = outbox.endpoints(db)
        answers = normals.read_findings(db, project)
        size = pages.database_bytes(db)
        waiting = rollups.count_stale(db)
        unsettled = traces.count_unsettled(db)
    for warning in warnings_of(settings):
        st.warning(words.md(warning, words.SENTENCE))
    _numbers(last_span, unsettled, waiting, size, now)
    _ledger(lines, claim, last_span, now)
    _tokens(checks)
    audit.draw(*queries.audit(settings.database_url, project, now))
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


def _kept_since(settings: Settings, now: datetime) -> datetime:
    """Return from when on spans and counts are both there; the latest it can be, if not known."""
    try:
        days = read_policy(settings.policy_file).project(settings.project).numbers_days
    except BadPolicy:  # it was changed while we run: the analyst, who lives by it, says so
        days = 1
    return ledger.both_since(now, days)


def _stays_here(url: str) -> bool:
    """Return whether ``url`` leads to this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


def _numbers(
    last_span: datetime | None, unsettled: int, waiting: int, size: int, now: datetime
) -> None:
    columns = st.columns(4)
    columns[0].metric("Last span", words.md(words.ago(last_span, now)), border=True)
    columns[1].metric(
        "Traces waiting",
        words.md(words.short(unsettled)),
        border=True,
        help="To be put together: until then a call that two libraries tell of counts twice.",
    )
    columns[2].metric(
        "Minutes waiting",
        words.md(words.short(waiting)),
        border=True,
        help="To be counted again, because calls of theirs have come or changed.",
    )
    columns[3].metric("Database", words.md(words.size(size)), border=True)


def _ledger(lines: Sequence[Line], claim: Claim, last_span: datetime | None, now: datetime) -> None:
    st.subheader("Claimed against stored, last 24 hours")
    if not lines:
        _explain_no_lines(last_span, now)
        return
    if claim.stored == claim.rows:
        st.success(words.md(claim.text, words.SENTENCE), icon=":material/check:")
    else:
        st.error(words.md(claim.text, words.SENTENCE), icon=":material/warning:")
    lost = [line for line in lines if line.lost]
    if lost:
        st.warning(
            f"{words.plural(len(lost), 'source')} sent what is not stored; the exporter was told why:"
        )
        st.text(_reasons(lost))
    if any(line.source.service == ledger.OTHER for line in lines):
        st.warning(
            f"More than {words.plural(ledger.MOST_SOURCES, 'exporter')}: new ones are counted "
            "together, as their names seem to change all the time."
        )
    table = [ledger_row(line, now) for line in sorted(lines, key=lambda line: not line.lost)]
    # What is zero everywhere would push the rest out of sight.
    unused = {name for name in _SOMETIMES if not any(row[name] for row in table)}
    shown = [{name: cell for name, cell in row.items() if name not in unused} for row in table]
    parts.table(shown, column_config=_WIDTHS)
    st.caption(
        "Numbers are spans, Refused is whole requests. Received = stored + duplicate + rejected; "
        "an exporter is told that stored and duplicate spans are kept. A duplicate is a span that "
        "was sent again."
    )


def _reasons(lost: Sequence[Line]) -> str:
    """Return a line of each source that lost something, and why; those that lost most first."""

    def number(line: Line) -> int:
        return sum(line.rejected.values()) + sum(line.refused.values())

    ordered = sorted(lost, key=lambda line: -number(line))
    points = [words.plain(_reason(line), words.SENTENCE) for line in ordered[:_MOST_REASONS]]
    if len(lost) > _MOST_REASONS:
        points.append(f"and {words.plural(len(lost) - _MOST_REASONS, 'more source')}")
    return "\n".join(points)


def _reason(line: Line) -> str:
    who = [line.source.service or _NOT_READ, line.source.user_agent]
    what = [(line.rejected, "rejected"), (line.refused, "refused")]
    said = [f"{word}: {_named(counts)}" for counts, word in what if counts]
    return ": ".join([" · ".join(words.plain(one) for one in who if one), "; ".join(said)])


def _tokens(checks: Sequence[TokenCheck]) -> None:
    """Draw the tokens of the applications' own metrics beside those of their calls."""
    if not checks:
        return  # nobody has to send a metric
    st.subheader("Tokens by metrics and by calls, last 24 hours")
    parts.table([token_row(check) for check in checks])
    st.caption(
        "The applications' own metric beside the sum over their calls. Below 100 %, spans are "
        "missing; above, a call is counted twice, or the metric is not sent for every call."
    )


def token_row(check: TokenCheck) -> dict[str, Any]:
    """Return the two counts of one service, model and kind of token as a row."""
    return {
        "Service": words.plain(check.service),
        "Model": words.plain(check.model),
        "Tokens": check.type.value,
        "By its metric": _count(check.by_metric),
        "By its calls": _count(check.by_calls),
        "Calls / metric": "" if check.share is None else f"{check.share:.1%}",
    }


def _count(found: int | None) -> str:
    """Return a count as text: of a number that is not known, a table would show "None"."""
    return "" if found is None else f"{found:,}"


def _explain_no_lines(last_span: datetime | None, now: datetime) -> None:
    if last_span is None:
        parts.empty_state()
    else:
        st.text(
            f"No spans were received in the last 24 hours; the last one came "
            f"{words.ago(last_span, now)}. Does the exporter run, and does it reach the collector?"
        )
    st.text("A test span over HTTP and one over gRPC show where they go:")
    st.code("tidegauge send-test", language="bash")


def ledger_row(line: Line, now: datetime) -> dict[str, Any]:
    """Return one source as a row of the ledger."""
    source, counts = line.source, line.counts
    return {
        "State": "▲ not all stored" if line.lost else "✓ all stored",
        "Service": words.plain(source.service or _NOT_READ),
        "Exporter": words.plain(source.user_agent),
        "Received": line.received,
        "Stored": line.stored,
        "Duplicate": line.duplicate,
        "Rejected": _named(line.rejected),
        "Refused": _named(line.refused),
        "Late": counts.get(ledger.LATE, 0),
        "In the future": counts.get(ledger.FUTURE, 0),
        "Clock wrong": counts.get(ledger.CLOCK_SKEWED, 0),
        "Cut": counts.get(ledger.ATTRIBUTES_CUT, 0),
        "JSON": _named(line.json),
        "Dropped by SDK": _named(line.sdk_dropped),
        "Log records": _named(line.among(ledger.LOGS)),
        "Metric points": _named(line.among(ledger.METRICS)),
        "Last seen": words.ago(line.last_seen, now),
        "SDK": words.plain(source.sdk),
        "Key": words.plain(source.key_id),
    }


def _named(counts: Mapping[str, int]) -> str:
    """Return counts with their reasons; empty for none."""
    return ", ".join(f"{number:,} {words.plain(reason)}" for reason, number in counts.items())


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
