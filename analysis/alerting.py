"""Findings and changes to alerts: decide, put it into words, write rows and messages at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analysis import attribution
from analysis.alerts import message
from analysis.alerts.case import Case
from analysis.alerts.lifecycle import Pending, Step, decide
from analysis.alerts.looks import Look, length, looks, out
from analysis.attribution import Cause
from analysis.windows import settled
from tidegauge.alert import PROMPT, Alert, Member, Notice, State, Text, alert_id
from tidegauge.bucket import Bucket, merge
from tidegauge.clock import HOUR, MINUTE, floor
from tidegauge.finding import Change, Finding, Series, Signal
from tidegauge.policy import Policy
from tidegauge.store import alerts, changes, rollups
from tidegauge.store.alerts import Waiting
from tidegauge.store.engine import Connection, Engine, read, write

_COMPARED = HOUR  # the calls before the move that it is compared with
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
        open_and_late = alerts.current(db, now)
        pending = [_pending(row) for row in alerts.read_pending(db)]
        silent = [one for one in _changes(db, now - _NEWS) if _can_be_told(one, policy, now)]
        decision = decide(open_and_late, pending, seen, silent, policy, now)
        writes = [
            one
            for step in decision.steps
            if (one := _write(db, step, seen, policy, base_url, now)) is not None
        ]
    waiting = [_waiting(one) for one in decision.pending]
    if not writes and set(decision.pending) == set(pending):
        return 0  # a quiet minute takes no write lock
    with write(engine) as db:
        alerts.write_pending(db, waiting)
        return sum(_keep(db, one) and one.told for one in writes)


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
    text = _text(step, case, seen, now)
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
        starts_at=old.starts_at if old else case.onset,
        updated_at=now if old is None or told else old.updated_at,
        ends_at=now if step.state is State.RESOLVED else None,
        sequence=_sequence(db, old, fingerprint, told=told),
        calm_since=step.calm_since,
        acknowledged_by=old.acknowledged_by if old else None,
        text=text,
    )
    kind = step.tell.value if step.tell else "alert.updated"
    return _Write(old, Notice(kind=kind, at=now, reason=step.why.value, alert=alert), told)


def _sequence(db: Connection, old: Alert | None, fingerprint: str, *, told: bool) -> int:
    if old is None:
        return alerts.next_sequence(db, fingerprint)
    return old.sequence + told


def _text(step: Step, case: Case, seen: Seen, now: datetime) -> Text:
    """Return the words of a step; while an alert is calm, those it had."""
    old = step.before
    if old is None:
        return message.write(case)
    if step.state is State.RESOLVED:
        look = seen.get(old.members[0])
        return message.resolved(old, look.finding if look else None, step.why, now)
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
    """Read what the words of one alert need."""
    leader = step.members[0]
    findings = tuple(look.finding for look in out(step.members, seen))
    known = changes.read_changes(db, leader.series.project, step.starts_at - HOUR, now)
    lead = findings[0] if findings and leader.signal != PROMPT else None
    minutes = _minutes(db, leader.series, lead.since if lead else step.starts_at, lead, now)
    onset = _onset(step, seen, minutes)
    until = lead.until if lead else now
    first = floor(onset, MINUTE)  # a prompt changes within a minute; its new calls are in there
    before = merge(
        [b for b in minutes if first - _COMPARED <= b.start < first], leader.series, onset
    )
    after = merge([b for b in minutes if first <= b.start < until], leader.series, onset)
    return Case(
        alert_id=identity,
        severity=step.severity,
        members=step.members,
        findings=findings,
        cause=_cause(leader, seen, known, before, after, onset),
        silent=_silent(step.members, known),
        onset=onset,
        now=now,
        min_calls=policy.min_calls,
        base_url=base_url,
        calls_per_min=_rates(before, after, until - onset),
    )


def _minutes(
    db: Connection, series: Series, since: datetime, lead: Finding | None, now: datetime
) -> list[Bucket]:
    back = 2 * length(lead) if lead else timedelta()
    start = floor(since - back - _COMPARED - _AROUND, MINUTE)
    return rollups.read_buckets(db, series.project, rollups.MINUTE_S, start, now, series=series)


def _onset(step: Step, seen: Seen, minutes: Sequence[Bucket]) -> datetime:
    """Return when it began: the prompt's first call, or the minute the level changed."""
    leader = step.members[0]
    if step.before is not None:
        return step.before.starts_at
    if leader.signal == PROMPT or leader not in seen or not minutes:
        return step.starts_at
    return attribution.onset(minutes, seen[leader].start)


def _cause(
    leader: Member,
    seen: Seen,
    known: Sequence[Change],
    before: Bucket,
    after: Bucket,
    onset: datetime,
) -> Cause | None:
    signal = Signal.OUTPUT_TOKENS.value if leader.signal == PROMPT else leader.signal
    look = seen.get(Member(signal, leader.series))
    if look is None:
        return None
    related = [one.finding for member, one in seen.items() if member.series == leader.series]
    mine = [one for one in known if one.series == leader.series]
    return attribution.explain(look.finding, related, mine, before, after, onset=onset)


def _silent(members: Sequence[Member], known: Sequence[Change]) -> tuple[Change, ...]:
    """Return the silent prompt changes an alert speaks for, the leader's newest first."""
    ours = [one for one in members if one.signal == PROMPT]
    found = [one for one in known if one.silent and Member(PROMPT, one.series) in ours]
    found.sort(key=lambda one: one.at, reverse=True)
    return tuple(sorted(found, key=lambda one: ours.index(Member(PROMPT, one.series))))


def _rates(before: Bucket, after: Bucket, lasted: timedelta) -> tuple[float, float] | None:
    if lasted < MINUTE or not before.calls:
        return None
    return before.calls / (_COMPARED / MINUTE), after.calls / (lasted / MINUTE)


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


def _waiting(one: Pending) -> Waiting:
    return Waiting(
        fingerprint=one.fingerprint, since=one.since, counted=one.counted, windows=one.windows
    )
