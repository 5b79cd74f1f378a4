from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from analysis import alerting
from analysis.rollup import bucket_of
from tests.alert_world import (
    BOT,
    MIN,
    a_change,
    moved,
    unknown,
    usual,
)
from tidegauge.alert import PROMPT, Alert, State
from tidegauge.bucket import merge
from tidegauge.clock import HOUR, MINUTE, floor
from tidegauge.finding import Change, Finding, Series, Signal
from tidegauge.policy import Policy
from tidegauge.store import alerts, changes, jobs, normals, outbox, rollups
from tidegauge.store.engine import Engine, read, write

BASE = "https://tidegauge.example.internal"
POLICY = Policy()


class Row:
    """One call's numbers, as rollup.bucket_of reads them."""

    def __init__(self, started_at: datetime, **fields: Any) -> None:
        self.__dict__.update(
            {
                "started_ns": int(started_at.timestamp()) * 10**9,
                "duration_s": 3.0,
                "time_to_first_token_s": 0.3,
                "time_per_output_token_s": 0.007,
                "input_tokens": 400,
                "output_tokens": 430,
                "truncated": False,
                "error_type": None,
                "cost_usd": None,
            }
            | fields
        )


def traffic(
    engine: Engine,
    since: datetime,
    until: datetime,
    series: Series = BOT,
    *,
    per_min: int = 100,
    **fields: Any,
) -> None:
    """Write minute buckets of equal calls in [since, until), and the hours that lie in it."""
    start, buckets = floor(since, MINUTE), []
    while start < until:
        buckets.append(bucket_of(series, start, [Row(start, **fields)] * per_min))
        start += MINUTE
    with write(engine) as db:
        rollups.register(db, [series], since)
        starts = [one.start for one in buckets]
        rollups.replace(db, series.project, rollups.MINUTE_S, starts, buckets)
        hours = sorted({at for at in (floor(one, HOUR) for one in starts) if since <= at})
        whole = [
            merge([b for b in buckets if at <= b.start < at + HOUR], series, at)
            for at in hours
            if at + HOUR <= until
        ]
        rollups.replace(db, series.project, rollups.HOUR_S, [one.start for one in whole], whole)


def known(engine: Engine, *found: Change) -> None:
    with write(engine) as db:
        rollups.register(db, [one.series for one in found], found[0].at)
        for one in found:
            minute = floor(one.at, MINUTE)
            row = changes.Found(change=one, minute=minute)
            changes.replace_changes(db, one.series, floor(one.at, HOUR), [row])


def run(engine: Engine, findings: Sequence[Finding], now: datetime) -> int:
    return alerting.judge(engine, findings, POLICY, BASE, now)


def all_alerts(engine: Engine) -> list[Alert]:
    with read(engine) as db:
        return alerts.list_alerts(db)


def the_alert(engine: Engine) -> Alert:
    found = all_alerts(engine)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def told(engine: Engine, now: datetime) -> Engine:
    """Return a database with one endpoint."""
    with write(engine) as db:
        outbox.register(db, {"webhook": "hash"})
    return engine


def fire(engine: Engine, at: datetime, *signals: Signal, **fields: Any) -> int:
    """Look twice at the same move, one window apart; return how many alerts were told of."""
    first = at - 5 * MIN
    return run(engine, [moved(one, first, **fields) for one in signals], first) + run(
        engine, [moved(one, at, **fields) for one in signals], at
    )


def test_longer_answers_after_a_prompt_release_are_told_with_the_release(
    told: Engine, now: datetime
) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    traffic(told, now - timedelta(hours=3), at)
    traffic(told, at, now, output_tokens=1140, duration_s=8.1)
    known(told, a_change("prompt", at))

    assert fire(told, now, Signal.OUTPUT_TOKENS) == 1

    text = the_alert(told).text
    assert text.title == (
        "checkout-bot: output length 1,140 tokens, 2.7x normal; prompt 92 went live"
    )
    assert text.impact.startswith(
        "All calls of use case answer since 11:52 UTC. Callers wait 8.1 s (normal"
    )
    assert "No errors or time-outs measured." in text.impact
    assert text.likely_cause.startswith(
        "Likely the prompt: prompt 92 went live at 11:52 UTC. "
        "Answers went from 430 tokens to 1,140 tokens at 11:52 UTC; "
        "time per output token is 7.0 ms (normal 7.0 ms), "
        "so the model is not slower, it writes more."
    )
    assert "Did not change: deploys, the model, request parameters, the provider." in (
        text.likely_cause
    )
    assert text.first_action == (
        "Roll checkout-bot back to prompt 91; expect output length near 430 tokens within 10 min."
    )
    rows = {row.name: row.text for row in text.evidence}
    assert rows["Calls in window"] == "4,077 calls (normal: at least 200)"
    assert rows["Window"] == "2026-01-15 11:55 to 12:00 UTC"
    assert rows["p95 latency"].startswith("8.")


def test_cut_answers_after_max_tokens_fell_are_told_with_the_parameter(
    told: Engine, now: datetime
) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    traffic(told, now - timedelta(hours=3), at)
    traffic(told, at, now, output_tokens=256, truncated=True)
    known(told, a_change("parameter", at))

    interval = {"now_low": 0.168, "now_high": 0.192}
    assert fire(told, now, Signal.TRUNCATION, **interval) == 1

    alert = the_alert(told)
    assert alert.text.title == (
        "checkout-bot: 18.0% of answers cut off, was 0.6%; max_tokens fell 1024 to 256"
    )
    assert alert.text.impact.startswith("734 of 4,077 calls were cut off from 2026-01-15 11:55 to")
    assert alert.text.evidence[0].text == "18.0% (normal 0.6%, 95% interval 16.8% to 19.2%)"
    assert alert.text.first_action.startswith("Set max_tokens of checkout-bot back to 1024")
    assert alert.severity.value == "error"


def test_a_silent_prompt_change_is_told_by_itself_and_only_once(
    told: Engine, now: datetime
) -> None:
    at = floor(now, MINUTE) - 6 * MIN
    traffic(told, now - timedelta(hours=3), at, output_tokens=311)
    traffic(told, at, now, output_tokens=214)
    known(told, a_change("silent", at))

    findings = [usual(Signal.OUTPUT_TOKENS, now)]
    assert (
        run(told, findings, now - MIN) == 0
    )  # what it did is not known before a window has passed
    assert run(told, findings, now) == 1
    assert run(told, findings, now + MIN) == 0

    alert = the_alert(told)
    assert (alert.signal, alert.severity.value, alert.starts_at) == (PROMPT, "warning", at)
    assert alert.text.title == (
        "checkout-bot: system prompt changed with no deploy marker; outputs 31% shorter"
    )
    assert alert.text.likely_cause.startswith(
        "The prompt's text changed at 11:54 UTC (5d1c..e0, was 9ab2..41) "
        "with no new prompt version and no release within 15 min."
    )
    assert alert.text.first_action == (
        "Ask the checkout-bot owner if this was planned. "
        "If not, restore prompt 9ab2..41; expect answers near 311 tokens within 10 min."
    )


def test_a_prompt_change_that_moves_three_numbers_is_one_alert(told: Engine, now: datetime) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    traffic(told, now - timedelta(hours=3), at)
    traffic(told, at, now, output_tokens=1140, duration_s=8.1)
    known(told, a_change("prompt", at))

    told_of = fire(told, now, Signal.OUTPUT_TOKENS, Signal.INPUT_TOKENS, Signal.LATENCY)

    assert told_of == 1
    alert = the_alert(told)
    assert alert.signal == "latency"
    assert "prompt 92 went live" in alert.text.title


def test_a_symptom_led_page_still_says_that_the_prompt_changed_silently(
    told: Engine, now: datetime
) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    traffic(told, now - timedelta(hours=3), at)
    traffic(told, at, now, truncated=True)
    run(told, [moved(Signal.TRUNCATION, now - 5 * MIN)], now - 5 * MIN)
    known(told, a_change("silent", at))
    run(told, [moved(Signal.TRUNCATION, now)], now)

    alert = the_alert(told)
    assert alert.signal == "truncation"
    assert alert.text.title.endswith("prompt changed silently")
    assert "with no new prompt version" in alert.text.likely_cause


def test_an_old_prompt_change_that_arrives_late_is_no_news(told: Engine, now: datetime) -> None:
    known(told, a_change("silent", now - timedelta(days=3)))

    assert run(told, [], now) == 0
    assert all_alerts(told) == []


def test_without_a_change_the_page_says_what_was_checked(told: Engine, now: datetime) -> None:
    traffic(told, now - timedelta(hours=3), now)
    fire(told, now, Signal.LATENCY)

    text = the_alert(told).text
    assert text.likely_cause == (
        "No cause found. Checked: deploys, prompt, model, max_tokens, traffic, provider errors."
    )
    assert text.title == "checkout-bot: latency 4.2 s, 40% above normal"


def test_alert_event_and_message_carry_the_same_facts(told: Engine, now: datetime) -> None:
    fire(told, now, Signal.ERRORS)

    alert = the_alert(told)
    with read(told) as db:
        events = alerts.events(db, alert.alert_id)
        messages = alerts.deliveries(db, alert.alert_id)
        claimed = None if not messages else outbox.due(db, now)
    assert [one.kind for one in events] == ["firing"]
    assert [(one.kind, one.sequence) for one in messages] == [("alert.firing", 1)]
    assert claimed


def test_a_crash_before_the_commit_leaves_neither_alert_nor_message_and_the_next_run_tells(
    told: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        """The process is killed."""

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(outbox, "enqueue", crash)
        with pytest.raises(Crash):
            fire(told, now, Signal.ERRORS)
    assert all_alerts(told) == []

    assert run(told, [moved(Signal.ERRORS, now)], now) == 1


def test_deciding_again_on_the_same_look_tells_nobody(told: Engine, now: datetime) -> None:
    assert fire(told, now, Signal.ERRORS) == 1
    assert run(told, [moved(Signal.ERRORS, now)], now) == 0


def test_silence_closes_nothing(told: Engine, now: datetime) -> None:
    fire(told, now, Signal.ERRORS)
    for hours in range(1, 30):
        run(told, [unknown(Signal.ERRORS, now)] if hours % 2 else [], now + timedelta(hours=hours))

    assert the_alert(told).state is State.FIRING


def test_an_alert_that_is_over_says_so_with_its_number(told: Engine, now: datetime) -> None:
    fire(told, now, Signal.OUTPUT_TOKENS)
    later = [now + minutes * MIN for minutes in (32, 40, 48)]
    for at in later:
        run(told, [usual(Signal.OUTPUT_TOKENS, at, now=441.0)], at)

    alert = the_alert(told)
    assert (alert.state, alert.ends_at) == (State.RESOLVED, later[-1])
    assert alert.text.title == "checkout-bot: output length back to 441 tokens after 58 min"
    with read(told) as db:
        kinds = [one.kind for one in alerts.deliveries(db, alert.alert_id)]
    assert kinds == ["alert.firing", "alert.resolved"]


def test_a_person_who_takes_the_alert_during_a_look_is_not_overruled(
    told: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fire(told, now, Signal.ERRORS, now=0.05)
    alert = the_alert(told)
    change = alerts.change_alert

    def taken_first(db: Any, *args: Any, **kwargs: Any) -> bool:
        alerts.acknowledge(db, alert.alert_id, "Ana", now)
        return change(db, *args, **kwargs)

    monkeypatch.setattr(alerts, "change_alert", taken_first)
    assert run(told, [moved(Signal.ERRORS, now + MIN)], now + MIN) == 0

    assert the_alert(told).state is State.ACKNOWLEDGED


def test_names_from_clients_cannot_break_the_page(told: Engine, now: datetime) -> None:
    hostile = replace(BOT, service="bot\r\n\x1b[31m<!channel>\u202e" + "x" * 500)
    fire(told, now, Signal.ERRORS, series=hostile)

    text = the_alert(told).text
    whole = json.dumps([text.title, text.impact, text.likely_cause, text.first_action])
    assert len(text.title) <= 80
    assert all(mark not in whole for mark in ("\\n", "\\u001b", "\\u202e"))


def test_a_quiet_minute_writes_nothing(told: Engine, now: datetime) -> None:
    with write(told):  # were anything written, it would wait for this transaction and fail
        assert run(told, [usual(Signal.ERRORS, now)], now) == 0


def test_an_alert_ends_with_the_number_of_the_newest_window(told: Engine, now: datetime) -> None:
    fire(told, now, Signal.ERRORS)
    for at in (now + 20 * MIN, now + 36 * MIN):
        long = moved(Signal.ERRORS, at, minutes=60, now=0.12)
        run(told, [usual(Signal.ERRORS, at, now=0.0, calls=811), long], at)

    text = the_alert(told).text
    assert text.title == "checkout-bot: failed calls back to 0% after 46 min"
    rows = {row.name: row.text for row in text.evidence}
    assert rows["Calls in window"] == "811 calls (normal: at least 200)"


@pytest.mark.parametrize("taken", [False, True])
def test_an_alert_that_goes_silent_is_closed_after_two_days_and_not_called_over(
    told: Engine, now: datetime, taken: bool
) -> None:
    fire(told, now, Signal.ERRORS)
    if taken:
        with write(told) as db:
            alerts.acknowledge(db, the_alert(told).alert_id, "Ana", now)
    run(told, [unknown(Signal.ERRORS, now + MIN)], now + MIN)
    run(told, [], now + timedelta(hours=47))
    assert the_alert(told).state is (State.ACKNOWLEDGED if taken else State.FIRING)

    assert run(told, [], now + timedelta(hours=48, minutes=1)) == 1

    alert = the_alert(told)
    assert alert.state is State.RESOLVED
    assert "no data on failed calls for 48 h" in alert.title
    with read(told) as db:
        assert alerts.events(db, alert.alert_id)[-1].text.endswith("(no_data_for_48_h)")
        assert alerts.read_pending(db) == []


def test_the_next_outage_after_a_silence_is_told_though_the_first_was_taken(
    told: Engine, now: datetime
) -> None:
    fire(told, now, Signal.ERRORS)
    first = the_alert(told)
    with write(told) as db:
        alerts.acknowledge(db, first.alert_id, "Ana", now)
    run(told, [unknown(Signal.ERRORS, now + MIN)], now + MIN)
    later = now + timedelta(hours=9)
    traffic(told, later - timedelta(hours=2), later - 4 * MIN)
    traffic(told, later - 4 * MIN, later, error_type="timeout")

    assert run(told, [moved(Signal.ERRORS, later)], later) == 1

    alert = the_alert(told)
    assert (alert.alert_id, alert.state, alert.acknowledged_by) == (
        first.alert_id,
        State.FIRING,
        None,
    )
    assert alert.starts_at == floor(later, MINUTE) - 4 * MIN
    with read(told) as db:
        kinds = [one.kind for one in alerts.deliveries(db, alert.alert_id)]
        (span,) = normals.alert_spans(db, "default", now)
    assert kinds == ["alert.firing", "alert.acknowledged", "alert.firing"]
    assert span.since <= first.opened_at  # the hours of the first outage teach nothing


@pytest.mark.parametrize("hours", [2, 4, 20])
def test_a_repeat_compares_with_the_time_before_the_alert_and_invents_no_traffic(
    told: Engine, now: datetime, hours: int
) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    later = now + timedelta(hours=hours)
    traffic(told, now - timedelta(hours=3), at)
    traffic(told, at, later, duration_s=6.0)
    policy = replace(POLICY, repeat_h=float(hours))
    for when in (now - 5 * MIN, now, later):
        alerting.judge(told, [moved(Signal.LATENCY, when)], policy, BASE, when)

    text = the_alert(told).text
    assert "traffic: " not in text.likely_cause
    assert "Callers wait 6.0 s (normal 3.0 s)" in text.impact
    rows = {row.name: row.text for row in text.evidence}
    assert rows["p95 latency"].startswith("6.")
    with read(told) as db:
        assert [e.kind for e in alerts.events(db, the_alert(told).alert_id)] == [
            "firing",
            "updated",
        ]


def test_every_call_since_the_onset_is_counted_once_however_it_is_read(
    told: Engine, now: datetime
) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    later = now + timedelta(hours=6)
    traffic(told, now - timedelta(hours=3), at)
    traffic(told, at, later, error_type="timeout")
    policy = replace(POLICY, repeat_h=6.0)
    for when in (now - 5 * MIN, now, later):
        alerting.judge(told, [moved(Signal.LATENCY, when)], policy, BASE, when)

    # up to the end of the window, a minute that has only begun included
    failed, calls = [
        100 * ((floor(later, MINUTE) - since) // MINUTE + 1)
        for since in (at, the_alert(told).starts_at)
    ]
    assert f"{failed:,} of {calls:,} calls failed" in the_alert(told).text.impact


def test_traffic_that_doubled_at_the_onset_is_still_named_in_a_repeat(
    told: Engine, now: datetime
) -> None:
    at = floor(now, MINUTE) - 8 * MIN
    later = now + timedelta(hours=4)
    traffic(told, at - 20 * MIN, at)  # the series is only so old
    traffic(told, at, later, per_min=200, duration_s=6.0)
    for when in (now - 5 * MIN, now, later):
        run(told, [moved(Signal.LATENCY, when)], when)

    assert "Likely the traffic: 200 calls a minute (normal 100)." in (
        the_alert(told).text.likely_cause
    )


def test_a_silent_prompt_change_of_the_hours_in_which_nobody_looked_is_told(
    told: Engine, now: datetime
) -> None:
    changed = now - timedelta(hours=2, minutes=30)
    known(told, a_change("silent", changed))
    with write(told) as db:
        jobs.set_mark(db, "detect", now - timedelta(hours=3))

    assert run(told, [], now) == 1
    with write(told) as db:
        jobs.set_mark(db, "detect", now)
    assert run(told, [], now + MIN) == 0


def test_a_silent_prompt_change_of_yesterday_is_no_news_however_long_nobody_looked(
    told: Engine, now: datetime
) -> None:
    known(told, a_change("silent", now - timedelta(hours=25)))
    with write(told) as db:
        jobs.set_mark(db, "detect", now - timedelta(days=5))

    assert run(told, [], now) == 0


def test_a_prompt_change_that_was_told_and_seen_before_nobody_looked_is_not_told_again(
    told: Engine, now: datetime
) -> None:
    changed = now - timedelta(hours=6)
    known(told, a_change("silent", changed))
    run(told, [], changed + 10 * MIN)
    with write(told) as db:
        alerts.acknowledge(db, the_alert(told).alert_id, "Ana", changed + 11 * MIN)
    run(told, [], changed + 12 * MIN)
    assert the_alert(told).state is State.RESOLVED
    with write(told) as db:
        jobs.set_mark(db, "detect", changed + 30 * MIN)

    assert run(told, [], now) == 0


def test_all_words_are_about_the_series_that_is_out_when_the_leading_one_is_back(
    told: Engine, now: datetime
) -> None:
    triage = replace(BOT, use_case="triage")
    at = floor(now, MINUTE) - 8 * MIN
    for series, slow in ((BOT, 3.0), (triage, 6.0)):
        traffic(told, now - timedelta(hours=3), at, series)
        traffic(told, at, now + HOUR, series, duration_s=slow)
    known(told, a_change("model", at, series=triage))
    for when in (now - 5 * MIN, now):
        found = [moved(Signal.ERRORS, when), moved(Signal.LATENCY, when, series=triage, now=6.0)]
        run(told, found, when)
    assert the_alert(told).signal == "errors"
    policy, later = replace(POLICY, repeat_h=1.0), now + HOUR
    found = [usual(Signal.ERRORS, later), moved(Signal.LATENCY, later, series=triage, now=6.0)]
    alerting.judge(told, found, policy, BASE, later)

    text = the_alert(told).text
    assert text.title.startswith("checkout-bot: latency 6.0 s, 2.0x normal")
    assert text.impact.startswith("All calls of use case triage")
    assert text.likely_cause.startswith("Likely the model")
    assert {row.name: row.text for row in text.evidence}["p95 latency"].startswith("6.")
    assert "use_case=triage" in text.links.chart
    assert "signal=latency" in text.links.chart


def test_the_share_that_usually_fails_is_the_learned_one(told: Engine, now: datetime) -> None:
    traffic(told, now - timedelta(hours=3), now, per_min=1)
    traffic(told, now - 8 * MIN, now, error_type="timeout")
    for when in (now - 5 * MIN, now):
        found = [moved(Signal.LATENCY, when), usual(Signal.ERRORS, when, usual=0.021)]
        run(told, found, when)

    assert "normal 2.1%)" in the_alert(told).text.impact
