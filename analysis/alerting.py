"""Findings and changes to alerts: decide, put it into words, write rows and messages at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis import attribution
from analysis.alerts import message
from analysis.alerts.case import Case, speaker
from analysis.alerts.lifecycle import PROMPT_STANDS, Pending, Quiet, Step, Why, decide
from analysis.alerts.looks import Look, length, looks, out
from analysis.attribution import Cause
from analysis.windows import settled
from tidegauge.alert import PROMPT, Alert, Member, Notice, State, Text, alert_id
from tidegauge.bucket import Bucket, merge
from tidegauge.clock import HOUR, MINUTE, floor
from tidegauge.finding import Change, Finding, Series, Signal
from tidegauge.policy import Policy
from tidegauge.store import alerts, changes, jobs, rollups
from tidegauge.store.alerts import Waiting
from tidegauge.store.engine import Connection, Engine, read, write

_COMPARED = HOUR  # the calls before the move that it is compared with
_BY_THE_MINUTE = 3 * HOUR  # what lasts longer is read in hours, and stays cheap
_NEWS = timedelta(hours=1)  # a prompt change older than this, loaded late, is no news
_STILL_COMING = HOUR  # a silent prompt change shows its effect only after some calls
_AROUND = 15 * MINUTE

Seen = Mapping[Member, Look]


@dataclass(frozen=True, slots=True)
class _Write:
    """One alert to write, and whether it is told."""

    before: Alert | None
    notice: Notice
    told: bool


def judge(
    engine: Engine, findings: Sequence[Finding], policy: Policy, base_url: str, now: datetime
) -> int:
    """Bring the alerts up to date with ``findings``; return how many were told of.

    Alerts, events and messages are one transaction: after a crash either all are there or none,
    and the next run decides anew.
    """
    seen = looks(findings)
    with read(engine) as db:
        since = _news_since(jobs.mark(db, "detect"), now)
        open_and_late = alerts.current(db, since)
        rows = alerts.read_pending(db)
        pending = [_pending(row) for row in rows if row.windows]
        quiet = [
            Quiet(fingerprint=row.fingerprint, since=row.since) for row in rows if not row.windows
        ]
        silent = [one for one in _changes(db, since) if _can_be_told(one, policy, now)]
        decision = decide(open_and_late, pending, seen, silent, policy, now, quiet=quiet)
        writes = [
            one
            for step in decision.steps
            if (one := _write(db, step, seen, policy, base_url, now)) is not None
        ]
    waiting = [*map(_waiting, decision.pending), *map(_silence, decision.quiet)]
    if not writes and set(waiting) == set(rows):
        return 0  # a quiet minute takes no write lock
    with write(engine) as db:
        alerts.write_pending(db, waiting)
        return sum(_keep(db, one) and one.told for one in writes)


def _news_since(looked_until: datetime | None, now: datetime) -> datetime:
    """Return from when on a silent prompt change is news: an analyst that was down has missed some."""
    last = now if looked_until is None else min(looked_until, now)
    return max(last - _NEWS, now - PROMPT_STANDS)


def _keep(db: Connection, one: _Write) -> bool:
    """Write one alert. One that a person has just acknowledged waits for the next run."""
    if one.before is None:
        alerts.open_alert(db, one.notice)
        return True
    return alerts.change_alert(db, one.before, one.notice, told=one.told)


def _write(
    db: Connection, step: Step, seen: Seen, policy: Policy, base_url: str, now: datetime
) -> _Write | None:
    """Return what is to be written of a step. If nothing is, return None."""
    old = step.before
    if old is not None and not step.changes_anything and not _still_coming(old, now):
        return None
    leader = step.members[0]
    fingerprint = old.fingerprint if old else leader.fingerprint
    identity = old.alert_id if old else alert_id(fingerprint, now)
    case = _case(db, step, identity, seen, policy, base_url, now)
    text = _text(step, case, seen, policy, now)
    told = step.tell is not None
    alert = Alert(
        alert_id=identity,
        fingerprint=fingerprint,
        signal=leader.signal,
        series=leader.series,
        members=step.members,
        state=step.state,
        severity=step.severity,
        opened_at=old.opened_at if old else now,
        starts_at=case.onset if old is None or step.why is Why.MOVED_ANEW else old.starts_at,
        updated_at=now if old is None or told else old.updated_at,
        ends_at=now if step.state is State.RESOLVED else None,
        sequence=_sequence(db, old, fingerprint, told=told),
        calm_since=step.calm_since,
        acknowledged_by=old.acknowledged_by if old and step.state is not State.FIRING else None,
        text=text,
    )
    kind = step.tell.value if step.tell else "alert.updated"
    return _Write(old, Notice(kind=kind, at=now, reason=step.why.value, alert=alert), told)


def _sequence(db: Connection, old: Alert | None, fingerprint: str, *, told: bool) -> int:
    if old is None:
        return alerts.next_sequence(db, fingerprint)
    return old.sequence + told


def _text(step: Step, case: Case, seen: Seen, policy: Policy, now: datetime) -> Text:
    """Return the words of a step; while an alert is calm, those it had."""
    old = step.before
    if old is None:
        return message.write(case)
    if step.state is State.RESOLVED:
        look = seen.get(old.members[0])
        finding = look.newest if look else None
        return message.resolved(old, finding, step.why, now, min_calls=policy.min_calls)
    if case.findings or (old.signal == PROMPT and _still_coming(old, now)):
        return message.write(case)
    return old.text


def _still_coming(alert: Alert, now: datetime) -> bool:
    return alert.signal == PROMPT and now - alert.starts_at < _STILL_COMING


def _can_be_told(change: Change, policy: Policy, now: datetime) -> bool:
    """Return whether a silent prompt change has been there for a window.

    Told of at once, on-call would read nothing of what it did.
    """
    seen_until = floor(change.at, MINUTE) + timedelta(minutes=min(policy.windows_min))
    return change.silent and seen_until <= settled(now, policy.settle_s)


def _case(
    db: Connection,
    step: Step,
    identity: str,
    seen: Seen,
    policy: Policy,
    base_url: str,
    now: datetime,
) -> Case:
    """Read what the words of one alert need: all of it of the member that speaks."""
    findings = tuple(look.finding for look in out(step.members, seen))
    about = speaker(step.members, findings)
    known = changes.read_changes(db, about.series.project, step.starts_at - HOUR, now)
    onset = _onset(db, step, about, seen, now)
    first = floor(onset, MINUTE)  # a prompt changes within a minute; its new calls are in there
    until = max(findings[0].until if findings and about.signal != PROMPT else now, first)
    earlier = _minutes(db, about.series, first - _COMPARED - _AROUND, first)
    before = merge([b for b in earlier if b.start >= first - _COMPARED], about.series, onset)
    soon = _minutes(db, about.series, first, min(first + _COMPARED, until))
    after = merge(_since(db, about.series, first, until), about.series, onset)
    errors = seen.get(Member(Signal.ERRORS.value, about.series))
    return Case(
        alert_id=identity,
        severity=step.severity,
        members=step.members,
        findings=findings,
        cause=_cause(about, seen, known, before, after, onset),
        silent=_silent(step.members, about.series, known),
        onset=onset,
        now=now,
        min_calls=policy.min_calls,
        base_url=base_url,
        calls_per_min=_rates(earlier, soon, first, until),
        usual_errors=errors.newest.usual if errors else None,
    )


def _minutes(db: Connection, series: Series, since: datetime, until: datetime) -> list[Bucket]:
    return rollups.read_buckets(db, series.project, rollups.MINUTE_S, since, until, series=series)


def _since(db: Connection, series: Series, first: datetime, until: datetime) -> list[Bucket]:
    """Return the calls in [first, until): of what has lasted for long, the whole hours as such."""
    if until - first <= _BY_THE_MINUTE:
        return _minutes(db, series, first, until)
    start, end = floor(first + HOUR, HOUR), floor(until, HOUR)
    hours = rollups.read_buckets(db, series.project, rollups.HOUR_S, start, end, series=series)
    return [
        *_minutes(db, series, first, start),
        *hours,
        *_minutes(db, series, end, until),
    ]


def _onset(db: Connection, step: Step, about: Member, seen: Seen, now: datetime) -> datetime:
    """Return when it began: the prompt's first call, or the minute the level changed."""
    if step.before is not None and step.why is not Why.MOVED_ANEW:
        return step.before.starts_at
    if about.signal == PROMPT or about not in seen:
        return step.starts_at
    finding = seen[about].start
    start = floor(finding.since - 2 * length(finding) - _COMPARED - _AROUND, MINUTE)
    minutes = _minutes(db, about.series, start, now)
    return attribution.onset(minutes, finding) if minutes else step.starts_at


def _cause(
    about: Member,
    seen: Seen,
    known: Sequence[Change],
    before: Bucket,
    after: Bucket,
    onset: datetime,
) -> Cause | None:
    signal = Signal.OUTPUT_TOKENS.value if about.signal == PROMPT else about.signal
    look = seen.get(Member(signal, about.series))
    if look is None:
        return None
    related = [one.finding for member, one in seen.items() if member.series == about.series]
    mine = [one for one in known if one.series == about.series]
    return attribution.explain(look.finding, related, mine, before, after, onset=onset)


def _silent(members: Sequence[Member], here: Series, known: Sequence[Change]) -> tuple[Change, ...]:
    """Return the silent prompt changes an alert speaks for, the newest of ``here`` first."""
    ours = [one for one in members if one.signal == PROMPT]
    found = [one for one in known if one.silent and Member(PROMPT, one.series) in ours]
    found.sort(key=lambda one: one.at, reverse=True)

    def order(one: Change) -> tuple[bool, int]:
        return one.series != here, ours.index(Member(PROMPT, one.series))

    return tuple(sorted(found, key=order))


def _rates(
    earlier: Sequence[Bucket], soon: Sequence[Bucket], onset: datetime, until: datetime
) -> tuple[float, float] | None:
    """Return calls a minute in the hour before the onset, and in the hour after it.

    Not since the onset: what lasts for a day has seen the day's own rhythm. Each is divided by
    the minutes it covers: a series that is ten minutes old has no hour before.
    """
    old = [one for one in earlier if one.start >= onset - _COMPARED]
    since = max(onset - _COMPARED, min((one.start for one in earlier), default=onset))
    lasted = min(until - onset, _COMPARED)
    if lasted < MINUTE or not old:
        return None
    calls = [sum(one.calls for one in part) for part in (old, soon)]
    return calls[0] / ((onset - since) / MINUTE), calls[1] / (lasted / MINUTE)


def _changes(db: Connection, since: datetime) -> list[Change]:
    return [
        change
        for project in rollups.projects(db)
        for change in changes.read_changes(db, project, since)
    ]


def _pending(row: Waiting) -> Pending:
    return Pending(
        fingerprint=row.fingerprint, since=row.since, counted=row.counted, windows=row.windows
    )


def _silence(one: Quiet) -> Waiting:
    return Waiting(fingerprint=one.fingerprint, since=one.since, counted=one.since, windows=0)


def _waiting(one: Pending) -> Waiting:
    return Waiting(
        fingerprint=one.fingerprint, since=one.since, counted=one.counted, windows=one.windows
    )
