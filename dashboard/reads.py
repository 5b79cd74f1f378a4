"""What each page needs from the database, as frozen values; no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard import signals
from dashboard.charts import AlertMark, Points, Story
from dashboard.scope import Scope, Span, span
from dashboard.signals import CATALOG, Shown
from tidegauge.alert import Alert, State
from tidegauge.bucket import Bucket, Measure
from tidegauge.clock import HOUR
from tidegauge.finding import Change, Finding, Series, Verdict
from tidegauge.normal import Normal
from tidegauge.store import alerts, changes, jobs, normals, pages, reviews, spans
from tidegauge.store.engine import Connection
from tidegauge.store.reviews import Progress

LOOK = "detect"  # the job that asks the detectors
_WEEK = timedelta(days=7)
_TWO_MEASURES = (Measure.LATENCY, Measure.OUTPUT_TOKENS)
_FRESH = 3 * HOUR  # findings about older windows belong to series that no longer send


@dataclass(frozen=True, slots=True)
class Reading:
    """A number beside what it was in the same hours a week earlier."""

    title: str
    unit: str
    now: float | None
    usual: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """One service on the Overview."""

    service: str
    state: str  # firing, acknowledged, usual, moved, learning
    calls_per_hour: float
    latency_p95: float | None  # s
    latency_before: float | None  # s, a week earlier
    error_share: float | None
    output_tokens_p95: float | None
    cost_per_hour: float | None  # USD
    last_change: Change | None
    calls: tuple[float | None, ...]  # per hour, by step


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Is anyone still watching: the newest span, the newest look, and what it looked at."""

    last_span: datetime | None
    last_look: datetime | None
    signals: int  # pairs of series and signal that the newest findings judge
    services: int
    learning: int  # pairs that have no verdict yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything the first page shows."""

    span: Span
    open_alerts: tuple[Alert, ...]
    readings: tuple[Reading, ...]
    focus: Series | None
    stories: tuple[Story, ...]
    services: tuple[ServiceRow, ...]
    review: Progress
    health: Health


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the table of services is made of; buckets are one a series, over the whole span."""

    span: Span
    buckets: Sequence[Bucket]
    before: Sequence[Bucket]  # a week earlier
    open_alerts: Sequence[Alert]
    answers: Sequence[Finding]
    changes: Sequence[Change]
    traffic: Mapping[str, tuple[float | None, ...]]


def read_overview(db: Connection, scope: Scope, reviewer: str, now: datetime) -> Overview:
    """Return the Overview from one read transaction."""
    shown = span(scope.window, now)
    buckets = _scoped(db, scope, shown, _TWO_MEASURES)
    before = _scoped(db, scope, shown.week_earlier(), _TWO_MEASURES)
    still_open = tuple(one for one in open_alerts(db) if scope.holds(one.series))
    focus = _focus(still_open, buckets)
    return Overview(
        span=shown,
        open_alerts=still_open,
        readings=readings(buckets, before, shown),
        focus=focus,
        stories=tuple(
            story(db, focus, CATALOG[key], shown) for key in _pair(still_open) if focus is not None
        ),
        services=_services(
            _Seen(
                span=shown,
                buckets=buckets,
                before=before,
                open_alerts=still_open,
                answers=normals.read_findings(db, scope.project, since=now - _FRESH),
                changes=changes.read_changes(db, scope.project, shown.since, shown.until),
                traffic=_traffic(db, scope, shown),
            )
        ),
        review=reviews.progress(db, reviewer, now),
        health=health(db, scope.project, now),
    )


def readings(
    buckets: Sequence[Bucket], before: Sequence[Bucket], shown: Span
) -> tuple[Reading, ...]:
    """Return the five numbers of the Overview."""
    length = shown.until - shown.since
    made = []
    for key in ("requests", "errors", "latency_p95", "output_tokens_p95", "truncation"):
        one = CATALOG[key]
        usual = signals.value_of(one, before, length) if before else None
        made.append(Reading(one.title, one.unit, signals.value_of(one, buckets, length), usual))
    return tuple(made)


def story(
    db: Connection,
    series: Series,
    shown: Shown,
    during: Span,
    *,
    compare: bool = False,
) -> Story:
    """Return what one chart of one series tells."""
    week = _points(db, series, shown, during.week_earlier()) if compare else None
    return Story(
        since=during.since,
        until=during.until,
        line=_points(db, series, shown, during),
        unit=shown.unit,
        name=shown.title,
        step=during.step,
        normal=_normal(db, series, shown),
        week_ago=signals.moved_by(week, _WEEK) if week else None,
        changes=tuple(
            one
            for one in changes.read_changes(db, series.project, during.since, during.until)
            if one.series == series
        ),
        alerts=tuple(
            AlertMark(one.alert_id, one.starts_at, one.ends_at)
            for one in [*open_alerts(db), *alerts.list_alerts(db, State.RESOLVED)]
            if any(member.series == series for member in one.members)
            and (one.ends_at is None or one.ends_at >= during.since)
            and one.starts_at < during.until
        ),
    )


def health(db: Connection, project: str, now: datetime) -> Health:
    """Return whether spans come in and somebody looks at them."""
    answers = normals.read_findings(db, project, since=now - _FRESH)
    pairs: dict[tuple[Series, str], list[Verdict]] = {}
    for one in answers:
        pairs.setdefault((one.series, one.signal), []).append(one.verdict)
    return Health(
        last_span=spans.last_received(db, project),
        last_look=jobs.last_ok(db, LOOK, now),
        signals=len(pairs),
        services=len({one.series.service for one in answers}),
        learning=sum(all(v is Verdict.UNKNOWN for v in verdicts) for verdicts in pairs.values()),
    )


def open_alerts(db: Connection) -> list[Alert]:
    """Return every alert that is not over: firing before acknowledged, the worst first."""
    found = alerts.list_alerts(db, State.FIRING) + alerts.list_alerts(db, State.ACKNOWLEDGED)
    return sorted(
        found, key=lambda one: (one.state != State.FIRING, -one.severity.rank, one.starts_at)
    )


def _scoped(
    db: Connection, scope: Scope, during: Span, measures: Sequence[Measure]
) -> list[Bucket]:
    found = pages.read_totals(
        db, scope.project, during.rollup_s, during.since, during.until, measures=measures
    )
    return [bucket for bucket in found if scope.holds(bucket.series)]


def _traffic(db: Connection, scope: Scope, during: Span) -> dict[str, tuple[float | None, ...]]:
    """Return each service's calls per hour, step by step; None where it made none."""
    step_s = int(during.step.total_seconds())
    found = pages.read_calls(db, scope.project, during.rollup_s, during.since, during.until, step_s)
    steps = [during.since + i * during.step for i in range(_steps_in(during))]
    place = {at: i for i, at in enumerate(steps)}
    lines: dict[str, list[float | None]] = {}
    for (series, at), calls in found.items():
        if scope.holds(series) and at in place:
            line = lines.setdefault(series.service, [None] * len(steps))
            line[place[at]] = (line[place[at]] or 0.0) + calls * (HOUR / during.step)
    return {service: tuple(line) for service, line in lines.items()}


def _steps_in(during: Span) -> int:
    return max(1, int((during.until - during.since) / during.step))


def _points(db: Connection, series: Series, shown: Shown, during: Span) -> Points:
    measures = () if shown.measure is None else (shown.measure,)
    buckets = pages.read_points(
        db,
        series.project,
        during.rollup_s,
        during.since,
        during.until,
        measures=measures,
        series=(series,),
    )
    return signals.points(shown, buckets, during)


def _normal(db: Connection, series: Series, shown: Shown) -> Normal | None:
    found = pages.read_normal(db, series, shown.signal) if shown.signal else None
    return found[0] if found else None


def _focus(open_alerts: Sequence[Alert], buckets: Sequence[Bucket]) -> Series | None:
    """Return the series to draw: that of the worst alert, else the busiest."""
    if open_alerts:
        return open_alerts[0].series
    calls: dict[Series, int] = {}
    for bucket in buckets:
        calls[bucket.series] = calls.get(bucket.series, 0) + bucket.calls
    return max(calls, key=lambda one: (calls[one], one), default=None)


def _pair(open_alerts: Sequence[Alert]) -> tuple[str, str]:
    leading = open_alerts[0].signal if open_alerts else "latency"
    if leading not in CATALOG or leading == "latency":
        return ("latency", "output_tokens")
    return (leading, "latency")


def _services(seen: _Seen) -> tuple[ServiceRow, ...]:
    now_by, before_by = _by_service(seen.buckets), _by_service(seen.before)
    states = _states(seen.open_alerts, seen.answers)
    last = {one.series.service: one for one in seen.changes}  # by time, so the newest stays
    length = seen.span.until - seen.span.since
    rows = (
        ServiceRow(
            service=name,
            state=states.get(name, "learning"),
            calls_per_hour=signals.value_of(CATALOG["requests"], rows, length) or 0.0,
            latency_p95=signals.value_of(CATALOG["latency_p95"], rows, length),
            latency_before=signals.value_of(
                CATALOG["latency_p95"], before_by.get(name, []), length
            ),
            error_share=signals.value_of(CATALOG["errors"], rows, length),
            output_tokens_p95=signals.value_of(CATALOG["output_tokens_p95"], rows, length),
            cost_per_hour=signals.value_of(CATALOG["cost"], rows, length),
            last_change=last.get(name),
            calls=seen.traffic.get(name, ()),
        )
        for name, rows in now_by.items()
    )
    order = {"firing": 0, "acknowledged": 1, "moved": 2}
    return tuple(sorted(rows, key=lambda row: (order.get(row.state, 3), -row.calls_per_hour)))


def _by_service(buckets: Sequence[Bucket]) -> dict[str, list[Bucket]]:
    found: dict[str, list[Bucket]] = {}
    for bucket in buckets:
        found.setdefault(bucket.series.service, []).append(bucket)
    return found


def _states(open_alerts: Sequence[Alert], answers: Sequence[Finding]) -> dict[str, str]:
    """Return the worst that is known of each service."""
    worth = {Verdict.UNKNOWN: "learning", Verdict.USUAL: "usual", Verdict.MOVED: "moved"}
    states: dict[str, str] = {}
    for verdict, state in worth.items():
        states |= {one.series.service: state for one in answers if one.verdict is verdict}
    for one in sorted(open_alerts, key=lambda one: one.state is State.FIRING):
        states |= {member.series.service: str(one.state) for member in one.members}
    return states
