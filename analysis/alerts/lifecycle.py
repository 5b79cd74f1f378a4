"""Findings to alert states: open, refresh, close; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from analysis.alerts.looks import Look, length, out
from tidegauge.alert import PROMPT, Alert, Member, Severity, State
from tidegauge.finding import Change, Finding, Signal
from tidegauge.policy import Policy

JOIN_WITHIN = timedelta(minutes=15)  # what starts this close at one service is one incident
PROMPT_STANDS = timedelta(hours=24)  # a silent prompt change is old news after this
_ROW_BREAKS = timedelta(hours=1)  # after this long without a look, moves are not in a row
EXPIRES = timedelta(hours=48)  # an alert of which nothing is known for so long is closed

#: Who leads an alert: what users feel first, what may have caused it last.
_LEADS = (
    Signal.ERRORS.value,
    Signal.LATENCY.value,
    Signal.TRUNCATION.value,
    PROMPT,
    Signal.OUTPUT_TOKENS.value,
    Signal.INPUT_TOKENS.value,
)


class Why(StrEnum):
    """Why something was done about an alert, or not; the word the webhook carries."""

    FIRST = "first_notification"
    WORSE = "severity_rose"
    AGAIN = "repeat"
    JOINED = "evidence_added"
    CHANGED_AGAIN = "prompt_changed_again"
    CALM = "back_to_usual"
    SEEN = "acknowledged_and_over"
    OLD_NEWS = "stood_long_enough"
    RECOVERING = "usual_but_not_long_enough"
    OUT_AGAIN = "out_of_range_again"
    MOVED_ANEW = "moved_again_after_silence"  # as good as a new alert
    EXPIRED = "no_data_for_48_h"
    UNKNOWN = "nothing_known"  # silence must not close an alert
    HELD = "a_person_has_it"
    TOO_SOON = "told_a_while_ago"
    CONFIRMING = "moved_but_not_often_enough_in_a_row"


class Tell(StrEnum):
    """What on-call is told."""

    FIRING = "alert.firing"
    UPDATED = "alert.updated"
    RESOLVED = "alert.resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A member that has moved, but not yet in ``confirm_windows`` windows in a row."""

    fingerprint: str
    since: datetime  # start of the first window that moved
    counted: datetime  # end of the last window that counted
    windows: int
    why: Why = Why.CONFIRMING


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """An open alert that is neither out nor known to be back."""

    fingerprint: str  # the alert's
    since: datetime  # of the first look at which nothing certain was known


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What becomes of one alert. ``tell`` None: nobody is told."""

    before: Alert | None  # None: a new alert
    why: Why
    members: tuple[Member, ...]  # the leading one first
    state: State
    severity: Severity
    starts_at: datetime
    calm_since: datetime | None = None
    tell: Tell | None = None

    @property
    def changes_anything(self) -> bool:
        """Return whether a row must be written."""
        old = self.before
        return (
            old is None
            or self.tell is not None
            or (self.members, self.calm_since) != (old.members, old.calm_since)
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """All steps of one look, one per alert; what is still to be confirmed; what is silent."""

    steps: tuple[Step, ...]
    pending: tuple[Pending, ...]
    quiet: tuple[Quiet, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A member that may open an alert or join one."""

    member: Member
    since: datetime
    window: timedelta = field(default=timedelta())

    @property
    def place(self) -> tuple[str, str, str]:
        one = self.member.series
        return one.project, one.service, one.environment

    @property
    def order(self) -> tuple[int, datetime, Member]:
        return _LEADS.index(self.member.signal), self.since, self.member

    def near(self, starts_at: datetime) -> bool:
        """Return whether it may have begun together with what started then."""
        # A long window says only that the move began somewhere inside it.
        latest = self.since + max(JOIN_WITHIN, self.window)
        return self.since - JOIN_WITHIN <= starts_at <= latest


def decide(
    alerts: Sequence[Alert],
    pending: Collection[Pending],
    seen: Mapping[Member, Look],
    silent: Iterable[Change],
    policy: Policy,
    now: datetime,
    *,
    quiet: Iterable[Quiet] = (),
) -> Decision:
    """Return what becomes of every open alert, and which new ones open.

    ``alerts`` are all open ones and those closed lately; ``silent`` are prompt changes of late
    that nothing announced; ``quiet`` is what the last decision said of silent alerts. Deciding
    twice on the same input gives the same answer.
    """
    silences = {one.fingerprint: one.since for one in quiet}
    open_alerts = [alert for alert in alerts if alert.state is not State.RESOLVED]
    taken = {member for alert in open_alerts for member in alert.members}
    moved, waiting = _confirm(pending, seen, taken, policy, now)
    news = [*moved, *_unheard(silent, alerts)]
    steps = []
    for alert in open_alerts:
        joining = [one for one in news if _joins(one, alert)]
        news = [one for one in news if one not in joining]
        silence = silences.get(alert.fingerprint)
        steps.append(_refresh(alert, joining, seen, policy, now, silence))
    still = (_still_quiet(step, silences, seen, now) for step in steps)
    return Decision((*steps, *_open(news, seen)), waiting, tuple(one for one in still if one))


def _confirm(
    pending: Collection[Pending],
    seen: Mapping[Member, Look],
    taken: Collection[Member],
    policy: Policy,
    now: datetime,
) -> tuple[list[_Candidate], tuple[Pending, ...]]:
    """Return the members that have moved often enough in a row, and those that have not yet."""
    rows = {one.fingerprint: one for one in pending if now - one.counted <= _ROW_BREAKS}
    confirmed, waiting = [], []
    for member, look in sorted(seen.items(), key=lambda pair: pair[0]):
        row = _count(rows.get(member.fingerprint), member, look, policy)
        if row is None or member in taken:
            continue
        if row.windows >= policy.confirm_windows:
            confirmed.append(_Candidate(member, row.since, length(look.start)))
        else:
            waiting.append(row)
    return confirmed, tuple(waiting)


def _count(row: Pending | None, member: Member, look: Look, policy: Policy) -> Pending | None:
    """Return the member's row after this look. If it is in its range, return None."""
    if look.back:
        return None
    if not look.out:
        return row  # unknown: neither a move nor its end
    finding = look.start
    if row is None:
        return _first(member, finding)
    # Windows that overlap hold the same calls: only one that ends a window later is another one.
    if finding.until - row.counted < timedelta(minutes=min(policy.windows_min)):
        return row
    return replace(row, counted=finding.until, windows=row.windows + 1)


def _first(member: Member, finding: Finding) -> Pending:
    return Pending(
        fingerprint=member.fingerprint, since=finding.since, counted=finding.until, windows=1
    )


def _unheard(silent: Iterable[Change], alerts: Sequence[Alert]) -> list[_Candidate]:
    """Return the silent prompt changes that no alert has spoken of."""
    newest: dict[Member, datetime] = {}
    for change in silent:
        member = Member(PROMPT, change.series)
        newest[member] = max(change.at, newest.get(member, change.at))
    heard = {
        member: max(alert.updated_at for alert in alerts if member in alert.members)
        for member in {member for alert in alerts for member in alert.members}
    }
    return [
        _Candidate(member, at)
        for member, at in sorted(newest.items())
        if member not in heard or heard[member] < at
    ]


def _joins(one: _Candidate, alert: Alert) -> bool:
    if one.member in alert.members:
        return True  # a prompt that changed once more
    series = alert.series
    here = (series.project, series.service, series.environment)
    return one.place == here and one.near(alert.starts_at)


def _open(news: list[_Candidate], seen: Mapping[Member, Look]) -> Iterable[Step]:
    """Yield new alerts: one for all that began together at one service."""
    left = sorted(news, key=lambda one: one.order)
    while left:
        leader = left[0]
        group = [one for one in left if one.place == leader.place and one.near(leader.since)]
        left = [one for one in left if one not in group]
        members = tuple(one.member for one in group)
        yield Step(
            before=None,
            why=Why.FIRST,
            members=members,
            state=State.FIRING,
            severity=_severity(members, seen),
            # When a prompt changed is known; of a number only the window in which it moved is.
            starts_at=leader.since
            if leader.member.signal == PROMPT
            else min(one.since for one in group),
            tell=Tell.FIRING,
        )


def _refresh(
    alert: Alert,
    joining: Sequence[_Candidate],
    seen: Mapping[Member, Look],
    policy: Policy,
    now: datetime,
    silence: datetime | None,
) -> Step:
    """Return what becomes of one open alert; ``silence``: since when nothing certain is known."""
    new = tuple(one.member for one in joining if one.member not in alert.members)
    changed_again = len(new) < len(joining)
    step = Step(
        before=alert,
        why=Why.TOO_SOON,
        members=alert.members + new,
        state=alert.state,
        severity=max(
            alert.severity, _severity(alert.members + new, seen), key=lambda one: one.rank
        ),
        starts_at=alert.starts_at,
        calm_since=None,
    )
    numbers = _numbers(alert.members)
    moving = out(numbers, seen)
    if moving and silence is not None and now - silence > _ROW_BREAKS:
        return _moved_anew(step, alert, moving)
    if changed_again:
        return replace(step, why=Why.CHANGED_AGAIN, tell=Tell.UPDATED)
    if step.severity.rank > alert.severity.rank:
        return replace(step, why=Why.WORSE, tell=Tell.UPDATED)
    if new:
        # More evidence is no new page; that the prompt changed in silence must be said.
        said = any(member.signal == PROMPT for member in new)
        return replace(step, why=Why.JOINED, tell=Tell.UPDATED if said else None)
    if moving:
        return _still_out(step, alert, policy, now)
    if not _all_back(numbers, seen):
        if silence is not None and now - silence >= EXPIRES:
            return _resolved(step, Why.EXPIRED)
        return replace(step, why=Why.UNKNOWN)
    return _calm(step, alert, policy, now, only_prompt=not numbers)


def _numbers(members: Iterable[Member]) -> list[Member]:
    return [member for member in members if member.signal != PROMPT]


def _all_back(numbers: Iterable[Member], seen: Mapping[Member, Look]) -> bool:
    return all(member in seen and seen[member].back for member in numbers)


def _still_quiet(
    step: Step, silences: Mapping[str, datetime], seen: Mapping[Member, Look], now: datetime
) -> Quiet | None:
    """Return since when nothing certain is known of an open alert. If it is known, return None.

    A look that is back does not end a silence, only a number that is out does: an alert about
    calls that are now and then too few would else neither be over nor be told of again.
    """
    numbers = _numbers(step.members)
    if step.before is None or step.state is State.RESOLVED or out(numbers, seen):
        return None
    since = silences.get(step.before.fingerprint)
    if since is None and _all_back(numbers, seen):
        return None
    return Quiet(fingerprint=step.before.fingerprint, since=since or now)


def _moved_anew(step: Step, alert: Alert, moving: Sequence[Look]) -> Step:
    """Return the step of an alert that is out after a silence: who had it, had another move."""
    starts_at = min(look.start.since for look in moving)
    return replace(
        step,
        why=Why.MOVED_ANEW,
        state=State.FIRING,
        starts_at=alert.starts_at if alert.signal == PROMPT else starts_at,
        tell=Tell.FIRING,
    )


def _still_out(step: Step, alert: Alert, policy: Policy, now: datetime) -> Step:
    if alert.calm_since is not None:
        return replace(step, why=Why.OUT_AGAIN)
    if alert.state is State.ACKNOWLEDGED:
        return replace(step, why=Why.HELD)
    if now - alert.updated_at < timedelta(hours=policy.repeat_h):
        return step
    return replace(step, why=Why.AGAIN, tell=Tell.UPDATED)


def _calm(step: Step, alert: Alert, policy: Policy, now: datetime, *, only_prompt: bool) -> Step:
    """Return the step of an alert whose numbers are all back, or that has none."""
    since = alert.calm_since or now
    if not only_prompt and now - since < timedelta(minutes=policy.calm_min):
        return replace(step, why=Why.RECOVERING, calm_since=since)
    step = replace(step, calm_since=alert.calm_since if only_prompt else since)
    if alert.signal != PROMPT:
        return _resolved(step, Why.CALM)
    # A prompt does not come back by itself: a person has seen it, or it is old news.
    if alert.state is State.ACKNOWLEDGED:
        return _resolved(step, Why.SEEN)
    if now - alert.starts_at >= PROMPT_STANDS:
        return _resolved(step, Why.OLD_NEWS)
    return step


def _resolved(step: Step, why: Why) -> Step:
    return replace(step, why=why, state=State.RESOLVED, tell=Tell.RESOLVED)


def _severity(members: Iterable[Member], seen: Mapping[Member, Look]) -> Severity:
    """Return the worst of what is out now; at least a warning."""
    return max(
        [Severity.WARNING, *(look.severity for look in out(members, seen))],
        key=lambda one: one.rank,
    )
