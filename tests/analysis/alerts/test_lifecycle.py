from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from analysis.alerts.lifecycle import Decision, Pending, Quiet, Step, Tell, Why, decide
from analysis.alerts.looks import looks
from tests.alert_world import (
    BOT,
    MIN,
    a_change,
    a_prompt_alert,
    an_alert,
    moved,
    unknown,
    usual,
)
from tidegauge.alert import PROMPT, Alert, Member, Severity, State
from tidegauge.finding import Change, Finding, Signal
from tidegauge.policy import Policy

POLICY = Policy(windows_min=(5, 15, 60), confirm_windows=2, calm_min=15, repeat_h=4.0)
LENGTH, SLOW, CUT, FAIL = (
    Signal.OUTPUT_TOKENS,
    Signal.LATENCY,
    Signal.TRUNCATION,
    Signal.ERRORS,
)


def look(
    now: datetime,
    findings: Iterable[Finding] = (),
    *,
    alerts: Sequence[Alert] = (),
    pending: Sequence[Pending] = (),
    silent: Sequence[Change] = (),
    policy: Policy = POLICY,
    quiet: Sequence[Quiet] = (),
) -> Decision:
    return decide(alerts, pending, looks(findings), silent, policy, now, quiet=quiet)


def confirmed(now: datetime, *signals: Signal) -> Decision:
    """Return the second of two looks at ``signals``, one window apart."""
    first = look(now - 5 * MIN, [moved(one, now - 5 * MIN) for one in signals])
    return look(now, [moved(one, now) for one in signals], pending=first.pending)


def only(decision: Decision) -> Step:
    assert len(decision.steps) == 1
    return decision.steps[0]


def test_one_window_alone_opens_nothing_but_is_remembered(now: datetime) -> None:
    decision = look(now, [moved(LENGTH, now)])

    assert decision.steps == ()
    assert [(one.windows, one.why) for one in decision.pending] == [(1, Why.CONFIRMING)]


def test_two_windows_in_a_row_open_an_alert(now: datetime) -> None:
    step = only(confirmed(now, LENGTH))

    assert (step.why, step.tell, step.state) == (Why.FIRST, Tell.FIRING, State.FIRING)
    assert step.members == (Member("output_tokens", BOT),)
    assert step.starts_at == now - 10 * MIN  # the start of the first window that moved


def test_windows_that_overlap_count_once(now: datetime) -> None:
    first = look(now, [moved(LENGTH, now)])
    second = look(now + MIN, [moved(LENGTH, now + MIN)], pending=first.pending)

    assert second.steps == ()
    assert second.pending == first.pending


def test_a_usual_window_between_breaks_the_row(now: datetime) -> None:
    first = look(now - 10 * MIN, [moved(LENGTH, now - 10 * MIN)])
    calm = look(now - 5 * MIN, [usual(LENGTH, now - 5 * MIN)], pending=first.pending)
    third = look(now, [moved(LENGTH, now)], pending=calm.pending)

    assert calm.pending == ()
    assert third.steps == ()


def test_an_unknown_window_between_neither_counts_nor_breaks_the_row(now: datetime) -> None:
    first = look(now - 10 * MIN, [moved(LENGTH, now - 10 * MIN)])
    silent = look(now - 5 * MIN, [unknown(LENGTH, now - 5 * MIN)], pending=first.pending)

    assert silent.steps == ()
    assert silent.pending == first.pending
    assert look(now, [moved(LENGTH, now)], pending=silent.pending).steps


def test_a_row_that_nobody_looked_at_for_hours_starts_again(now: datetime) -> None:
    old = look(now - timedelta(hours=3), [moved(LENGTH, now - timedelta(hours=3))])

    assert look(now, [moved(LENGTH, now)], pending=old.pending).steps == ()


def test_several_window_lengths_of_one_signal_are_one_alert(now: datetime) -> None:
    def three(until: datetime) -> list[Finding]:
        return [moved(LENGTH, until, minutes=m, strength=float(m)) for m in (5, 15, 60)]

    first = look(now - 5 * MIN, three(now - 5 * MIN))
    step = only(look(now, three(now), pending=first.pending))

    assert step.members == (Member("output_tokens", BOT),)


def test_signals_of_one_service_that_move_together_are_one_alert(now: datetime) -> None:
    step = only(confirmed(now, Signal.INPUT_TOKENS, LENGTH, SLOW))

    assert [one.signal for one in step.members] == ["latency", "output_tokens", "input_tokens"]


def test_two_services_are_two_alerts(now: datetime) -> None:
    other = replace(BOT, service="support-bot")

    def both(until: datetime) -> list[Finding]:
        return [moved(LENGTH, until), moved(LENGTH, until, series=other)]

    first = look(now - 5 * MIN, both(now - 5 * MIN))

    assert len(look(now, both(now), pending=first.pending).steps) == 2


def test_what_starts_within_15_minutes_joins_the_open_alert_without_a_new_page(
    now: datetime,
) -> None:
    alert = an_alert(now - 14 * MIN, severity=Severity.ERROR)
    first = look(now - 5 * MIN, [moved(SLOW, now - 5 * MIN, now=3.8)])
    findings = [moved(LENGTH, now), moved(SLOW, now, now=3.8)]
    step = only(look(now, findings, alerts=[alert], pending=first.pending))

    assert (step.why, step.tell) == (Why.JOINED, None)
    assert step.members == (Member("output_tokens", BOT), Member("latency", BOT))
    assert step.changes_anything


def test_what_starts_an_hour_later_is_an_alert_of_its_own(now: datetime) -> None:
    alert = an_alert(now - 70 * MIN)
    first = look(now - 5 * MIN, [moved(SLOW, now - 5 * MIN)])
    decision = look(
        now, [moved(LENGTH, now), moved(SLOW, now)], alerts=[alert], pending=first.pending
    )

    assert [step.before for step in decision.steps] == [alert, None]


def test_a_rise_in_severity_is_told_at_once_even_when_acknowledged(now: datetime) -> None:
    alert = an_alert(now - MIN, "errors", severity=Severity.ERROR, state=State.ACKNOWLEDGED)
    step = only(look(now, [moved(FAIL, now)], alerts=[alert]))

    assert (step.why, step.tell) == (Why.WORSE, Tell.UPDATED)
    assert (step.severity, step.state) == (Severity.CRITICAL, State.ACKNOWLEDGED)


def test_severity_never_falls_while_the_alert_is_open(now: datetime) -> None:
    alert = an_alert(now - MIN, "errors", severity=Severity.CRITICAL)
    step = only(look(now, [moved(FAIL, now, now=0.05)], alerts=[alert]))

    assert step.severity is Severity.CRITICAL
    assert not step.changes_anything


@pytest.mark.parametrize(
    ("state", "hours", "why", "tell"),
    [
        (State.FIRING, 3.9, Why.TOO_SOON, None),
        (State.FIRING, 4.1, Why.AGAIN, Tell.UPDATED),
        (State.ACKNOWLEDGED, 4.1, Why.HELD, None),
    ],
)
def test_only_a_firing_alert_is_repeated(
    now: datetime, state: State, hours: float, why: Why, tell: Tell | None
) -> None:
    opened = now - timedelta(hours=hours)
    alert = an_alert(opened, state=state, severity=Severity.ERROR)
    step = only(look(now, [moved(LENGTH, now)], alerts=[alert]))

    assert (step.why, step.tell) == (why, tell)


def test_an_alert_ends_after_it_was_usual_for_long_enough(now: datetime) -> None:
    alert = an_alert(now - timedelta(hours=1), state=State.ACKNOWLEDGED)

    first = only(look(now, [usual(LENGTH, now)], alerts=[alert]))
    calm = replace(alert, calm_since=first.calm_since)
    early = only(look(now + 14 * MIN, [usual(LENGTH, now + 14 * MIN)], alerts=[calm]))
    late = only(look(now + 15 * MIN, [usual(LENGTH, now + 15 * MIN)], alerts=[calm]))

    assert (first.why, first.calm_since, first.tell) == (Why.RECOVERING, now, None)
    assert early.why is Why.RECOVERING
    assert (late.why, late.state, late.tell) == (Why.CALM, State.RESOLVED, Tell.RESOLVED)


@pytest.mark.parametrize("findings", [[], [unknown(LENGTH, datetime(2026, 1, 15, 12))]])
def test_silence_closes_nothing(now: datetime, findings: list[Finding]) -> None:
    alert = an_alert(now - timedelta(days=3), calm_since=now - timedelta(hours=5))
    step = only(look(now, findings, alerts=[alert]))

    assert (step.why, step.state, step.tell) == (Why.UNKNOWN, State.FIRING, None)
    assert step.calm_since is None  # the calm must be seen, all of it


def test_a_member_that_is_unknown_keeps_the_alert_open(now: datetime) -> None:
    members = (Member("latency", BOT), Member("output_tokens", BOT))
    alert = an_alert(now - timedelta(hours=1), "latency", members=members)
    step = only(look(now, [usual(SLOW, now), unknown(LENGTH, now)], alerts=[alert]))

    assert step.why is Why.UNKNOWN


def test_a_number_that_leaves_its_range_again_starts_the_calm_anew(now: datetime) -> None:
    alert = an_alert(now - timedelta(hours=1), severity=Severity.ERROR, calm_since=now - 14 * MIN)
    step = only(look(now, [moved(LENGTH, now)], alerts=[alert]))

    assert (step.why, step.calm_since, step.tell) == (Why.OUT_AGAIN, None, None)


def test_a_long_window_that_still_holds_the_past_does_not_keep_an_alert_open(
    now: datetime,
) -> None:
    alert = an_alert(now - timedelta(hours=1))
    findings = [usual(LENGTH, now), moved(LENGTH, now, minutes=60, now=700.0)]

    assert only(look(now, findings, alerts=[alert])).why is Why.RECOVERING


def test_a_short_window_too_small_to_see_a_lasting_shift_does_not_end_it(now: datetime) -> None:
    alert = an_alert(now - 5 * MIN)
    shifted = {"now": 520.0, "usual": 430.0}
    findings = [usual(LENGTH, now, **shifted), moved(LENGTH, now, minutes=60, **shifted)]

    assert only(look(now, findings, alerts=[alert])).why is Why.TOO_SOON


def test_a_silent_prompt_change_opens_a_warning_at_once(now: datetime) -> None:
    step = only(look(now, silent=[a_change("silent", now - 2 * MIN)]))

    assert step.members == (Member(PROMPT, BOT),)
    assert (step.severity, step.tell) == (Severity.WARNING, Tell.FIRING)
    assert step.starts_at == now - 2 * MIN


def test_one_prompt_on_two_models_of_a_service_is_one_alert(now: datetime) -> None:
    other = replace(BOT, model="gpt-4o")
    silent = [a_change("silent", now - MIN), a_change("silent", now - MIN, series=other)]

    assert len(only(look(now, silent=silent)).members) == 2


def test_a_silent_prompt_change_is_told_once(now: datetime) -> None:
    alert = a_prompt_alert(now - MIN)
    step = only(look(now, alerts=[alert], silent=[a_change("silent", now - 2 * MIN)]))

    assert (step.why, step.tell) == (Why.TOO_SOON, None)


def test_a_silent_prompt_change_of_a_closed_alert_stays_told(now: datetime) -> None:
    closed = a_prompt_alert(now - MIN, state=State.RESOLVED, ends_at=now)

    assert look(now, alerts=[closed], silent=[a_change("silent", now - 2 * MIN)]).steps == ()


def test_a_prompt_that_changes_again_is_told_again(now: datetime) -> None:
    alert = a_prompt_alert(now - timedelta(hours=2))
    step = only(look(now, alerts=[alert], silent=[a_change("silent", now - MIN)]))

    assert (step.why, step.tell) == (Why.CHANGED_AGAIN, Tell.UPDATED)


def test_the_length_that_a_silent_prompt_moved_joins_its_alert(now: datetime) -> None:
    alert = a_prompt_alert(now - 12 * MIN)
    first = look(now - 5 * MIN, [moved(LENGTH, now - 5 * MIN)])
    step = only(look(now, [moved(LENGTH, now)], alerts=[alert], pending=first.pending))

    assert step.members == (Member(PROMPT, BOT), Member("output_tokens", BOT))
    assert (step.why, step.severity) == (Why.WORSE, Severity.ERROR)  # 2.7 times as long


def test_a_symptom_that_users_feel_leads_the_prompt(now: datetime) -> None:
    first = look(now - 5 * MIN, [moved(CUT, now - 5 * MIN)])
    silent = [a_change("silent", now - 9 * MIN)]
    step = only(look(now, [moved(CUT, now)], pending=first.pending, silent=silent))

    assert [one.signal for one in step.members] == ["truncation", PROMPT]


def test_a_prompt_that_joins_a_told_alert_is_said(now: datetime) -> None:
    alert = an_alert(now - 5 * MIN, severity=Severity.ERROR)
    findings = [moved(LENGTH, now)]
    step = only(look(now, findings, alerts=[alert], silent=[a_change("silent", now - 6 * MIN)]))

    assert (step.why, step.tell) == (Why.JOINED, Tell.UPDATED)


def test_a_prompt_alert_ends_when_a_person_has_seen_it(now: datetime) -> None:
    alert = a_prompt_alert(now - MIN, state=State.ACKNOWLEDGED, acknowledged_by="Ana")
    step = only(look(now, alerts=[alert]))

    assert (step.why, step.state, step.tell) == (Why.SEEN, State.RESOLVED, Tell.RESOLVED)


def test_a_prompt_alert_that_nobody_saw_ends_after_a_day(now: datetime) -> None:
    alert = a_prompt_alert(now - timedelta(hours=24))

    assert only(look(now, alerts=[alert])).why is Why.OLD_NEWS
    assert only(look(now - MIN, alerts=[alert])).why is Why.TOO_SOON


def test_a_prompt_alert_stays_while_a_number_it_moved_is_out(now: datetime) -> None:
    members = (Member(PROMPT, BOT), Member("output_tokens", BOT))
    alert = a_prompt_alert(
        now - timedelta(hours=30),
        members=members,
        state=State.ACKNOWLEDGED,
        severity=Severity.ERROR,
    )

    assert only(look(now, [moved(LENGTH, now)], alerts=[alert])).why is Why.HELD
    assert only(look(now, [], alerts=[alert])).why is Why.UNKNOWN


def test_the_same_look_twice_decides_the_same(now: datetime) -> None:
    assert confirmed(now, LENGTH, SLOW, CUT) == confirmed(now, LENGTH, SLOW, CUT)


@pytest.mark.parametrize("signal", list(Signal))
def test_every_signal_can_open_an_alert(now: datetime, signal: Signal) -> None:
    assert only(confirmed(now, signal)).members[0].signal == signal.value


def silent_for(alert: Alert, hours: float, now: datetime) -> list[Quiet]:
    return [Quiet(fingerprint=alert.fingerprint, since=now - timedelta(hours=hours))]


def test_it_is_remembered_since_when_nothing_is_known_of_an_alert(now: datetime) -> None:
    alert = an_alert(now - timedelta(hours=2))
    first = look(now, [unknown(LENGTH, now)], alerts=[alert])
    later = look(now + MIN, [], alerts=[alert], quiet=first.quiet)
    known = look(now + 2 * MIN, [moved(LENGTH, now + 2 * MIN)], alerts=[alert], quiet=later.quiet)

    assert first.quiet == later.quiet == tuple(silent_for(alert, 0, now))
    assert known.quiet == ()
    assert look(now, [usual(LENGTH, now)], alerts=[alert]).quiet == ()


@pytest.mark.parametrize("state", [State.FIRING, State.ACKNOWLEDGED])
def test_an_alert_of_which_nothing_is_known_for_two_days_is_closed_as_such(
    now: datetime, state: State
) -> None:
    alert = an_alert(now - timedelta(days=3), state=state)
    early = only(look(now, alerts=[alert], quiet=silent_for(alert, 47.9, now)))
    late = look(now, alerts=[alert], quiet=silent_for(alert, 48, now))

    assert (early.why, early.tell) == (Why.UNKNOWN, None)
    step = only(late)
    assert (step.why, step.state, step.tell) == (Why.EXPIRED, State.RESOLVED, Tell.RESOLVED)
    assert late.quiet == ()


@pytest.mark.parametrize("state", [State.FIRING, State.ACKNOWLEDGED])
def test_out_after_an_hour_of_silence_is_a_move_of_its_own_and_told(
    now: datetime, state: State
) -> None:
    alert = an_alert(now - timedelta(hours=9), state=state, severity=Severity.ERROR)
    decision = look(now, [moved(LENGTH, now)], alerts=[alert], quiet=silent_for(alert, 1.1, now))

    step = only(decision)
    assert (step.why, step.tell, step.state) == (Why.MOVED_ANEW, Tell.FIRING, State.FIRING)
    assert step.starts_at == now - 5 * MIN
    assert decision.quiet == ()


def test_out_after_a_short_silence_is_still_the_same_move(now: datetime) -> None:
    alert = an_alert(now - MIN, state=State.ACKNOWLEDGED, severity=Severity.ERROR)
    step = only(look(now, [moved(LENGTH, now)], alerts=[alert], quiet=silent_for(alert, 0.9, now)))

    assert (step.why, step.tell, step.state) == (Why.HELD, None, State.ACKNOWLEDGED)


def test_a_worse_move_after_silence_takes_the_alert_from_who_had_the_first(now: datetime) -> None:
    alert = an_alert(now - timedelta(hours=9), "errors", state=State.ACKNOWLEDGED)
    step = only(look(now, [moved(FAIL, now)], alerts=[alert], quiet=silent_for(alert, 5, now)))

    assert (step.why, step.state) == (Why.MOVED_ANEW, State.FIRING)
    assert step.severity is Severity.CRITICAL


def test_a_silence_with_a_usual_look_here_and_there_is_one_silence(now: datetime) -> None:
    alert = an_alert(now - timedelta(hours=9), state=State.ACKNOWLEDGED)
    silence = silent_for(alert, 3, now)
    between = look(now, [usual(LENGTH, now)], alerts=[alert], quiet=silence)

    assert only(between).why is Why.RECOVERING
    assert between.quiet == tuple(silence)
