from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from urllib.parse import parse_qs, urlsplit

import pytest

from analysis.alerts import message
from analysis.alerts.case import Case
from analysis.alerts.cause import ACTION_LIMIT, CAUSE_LIMIT, NO_CAUSE
from analysis.alerts.lifecycle import Why
from analysis.alerts.message import IMPACT_LIMIT, ROW_LIMIT, ROWS, TITLE_LIMIT
from analysis.attribution import explain
from analysis.rollup import bucket_of
from tests.alert_world import BOT, MIN, a_change, a_prompt_alert, an_alert, moved, usual
from tests.world import NOON
from tidegauge.alert import PROMPT, Member, Severity, Text
from tidegauge.bucket import Bucket
from tidegauge.finding import Change, Finding, Series, Signal, Verdict

BASE = "https://tidegauge.example.internal"
ONSET = NOON - 8 * MIN
KINDS = ("prompt", "parameter", "deploy", "model", "provider", "silent")
LONG = replace(BOT, service="a-service-whose-name-fills-a-whole-line-of-text-" + "x" * 300)


class Row:
    def __init__(self, output_tokens: int, error_type: str | None) -> None:
        self.started_ns = 0
        self.duration_s = output_tokens * 0.007 + 0.3
        self.time_to_first_token_s, self.time_per_output_token_s = 0.3, 0.007
        self.input_tokens, self.output_tokens = 400, output_tokens
        self.truncated, self.error_type, self.cost_usd = False, error_type, None


def calls(series: Series, output_tokens: int, error_type: str | None = None) -> Bucket:
    rows = [Row(output_tokens, None)] * 180 + [Row(output_tokens, error_type)] * 20
    return bucket_of(series, NOON, rows)


def a_case(
    *findings: Finding,
    changes: tuple[Change, ...] = (),
    series: Series = BOT,
    errors: str | None = None,
    rates: tuple[float, float] = (100.0, 101.0),
) -> Case:
    silent = tuple(one for one in changes if one.silent)
    members = [Member(one.signal.value, series) for one in findings]
    members += [Member(PROMPT, series) for _ in silent]
    about = findings[0] if findings else usual(Signal.OUTPUT_TOKENS, NOON, series=series)
    before, after = calls(series, 430), calls(series, 1140, errors)
    return Case(
        alert_id="A-0123456789ab",
        severity=Severity.ERROR,
        members=tuple(members),
        findings=findings,
        cause=explain(about, findings, changes, before, after, onset=ONSET),
        silent=silent,
        onset=ONSET,
        now=NOON,
        min_calls=200,
        base_url=BASE,
        calls_per_min=rates,
    )


def every_case() -> Iterator[tuple[str, Case]]:
    for signal, kind, series in product(Signal, (None, *KINDS), (BOT, LONG)):
        found = () if kind is None else (a_change(kind, ONSET, series=series),)
        name = f"{signal}-{kind}-{len(series.service)}"
        yield name, a_case(moved(signal, NOON, series=series), changes=found, series=series)
    yield "prompt", a_case(changes=(a_change("silent", ONSET),))
    yield "prompt-long", a_case(changes=(a_change("silent", ONSET, series=LONG),), series=LONG)


CASES = dict(every_case())


@pytest.fixture(params=sorted(CASES))
def text(request: pytest.FixtureRequest) -> Text:
    return message.write(CASES[request.param])


def test_every_part_keeps_to_its_limit(text: Text) -> None:
    assert len(text.title) <= TITLE_LIMIT
    assert "\n" not in text.title
    assert 0 < len(text.impact) <= IMPACT_LIMIT
    assert len(text.likely_cause) <= CAUSE_LIMIT
    assert 0 < len(text.first_action) <= ACTION_LIMIT
    assert 0 < len(text.evidence) <= ROWS
    assert all(len(row.text) <= ROW_LIMIT for row in text.evidence)


def test_evidence_has_normal_values_the_sample_size_and_the_window_in_utc(text: Text) -> None:
    *numbers, count, window = text.evidence

    assert all("normal" in row.text for row in (*numbers, count))
    assert count.name == "Calls in window"
    assert window.text.endswith("UTC")


def test_every_number_has_a_unit(text: Text) -> None:
    units = r"%|x\b| s\b| ms\b| tokens?\b| calls?\b|:\d\d|-\d\d| min\b"
    for row in text.evidence:
        if row.name == "Prompt checksum" or "of answer" in row.text:
            continue
        known = row.text.replace("at least 200", "").replace("95% interval", "")
        for number in re.finditer(r"(?<![\d.,:-])\d[\d.,]*(?![\d.,]*[-:])", known):
            rest = known[number.end() :]
            temperature = row.name.endswith("in requests") and "max_tokens" not in row.name
            assert temperature or re.match(f"{units}| to ", rest) or "UTC" in row.text, row


def test_the_cause_is_likely_and_never_certain(text: Text) -> None:
    whole = f"{text.title} {text.impact} {text.likely_cause} {text.first_action}".lower()

    assert "because" not in whole
    assert "anomaly" not in whole
    assert text.likely_cause == NO_CAUSE or "UTC" in text.likely_cause


def test_links_are_absolute_and_open_a_page(text: Text) -> None:
    for link in (text.links.alert, text.links.chart, text.links.runbook, text.links.silence):
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc) == ("https", "tidegauge.example.internal")


def test_the_chart_link_has_signal_and_absolute_times() -> None:
    chart = parse_qs(urlsplit(message.write(CASES["latency-None-12"]).links.chart).query)

    assert chart["signal"] == ["latency"]
    assert chart["service"] == ["checkout-bot"]
    assert (chart["from"], chart["to"]) == (["2026-01-15T08:52:00Z"], ["2026-01-15T14:52:00Z"])


def test_the_silence_link_opens_a_form() -> None:
    silence = message.write(CASES["latency-None-12"]).links.silence

    assert silence.endswith("/alerts?alert=A-0123456789ab&do=silence&for=2h")


def title(signal: Signal, kind: str) -> str:
    return message.write(CASES[f"{signal}-{kind}-12"]).title


def test_titles_are_those_of_the_manual() -> None:
    assert title(Signal.OUTPUT_TOKENS, "prompt") == (
        "checkout-bot: output length 1,140 tokens, 2.7x normal; prompt 92 went live"
    )
    assert title(Signal.TRUNCATION, "parameter") == (
        "checkout-bot: 18.0% of answers cut off, was 0.6%; max_tokens fell 1024 to 256"
    )
    assert title(Signal.ERRORS, "provider") == (
        "checkout-bot: 25.0% of calls fail, was 0.4%; provider is now azure"
    )
    assert title(Signal.LATENCY, "model") == (
        "checkout-bot: latency 4.2 s, 40% above normal; model is now gpt-b"
    )
    assert title(Signal.INPUT_TOKENS, "deploy") == (
        "checkout-bot: input length 520 tokens, 30% above normal; release 1.5.0 went live"
    )
    assert message.write(CASES["prompt"]).title == (
        "checkout-bot: system prompt changed with no deploy marker; outputs 165% longer"
    )


def test_a_co_change_that_does_not_fit_is_left_out_of_the_title() -> None:
    change = a_change("deploy", ONSET, after="2026.11.23-with-a-very-long-name")
    found = message.write(a_case(moved(Signal.INPUT_TOKENS, NOON), changes=(change,)))

    assert found.title == "checkout-bot: input length 520 tokens, 30% above normal"
    assert "release 2026.11.23-with-a-very-…" in found.likely_cause


def test_every_change_near_the_onset_is_named_the_likeliest_first() -> None:
    both = (a_change("deploy", ONSET - MIN), a_change("prompt", ONSET))
    cause = message.write(a_case(moved(Signal.OUTPUT_TOKENS, NOON), changes=both)).likely_cause

    assert cause.startswith("Likely the prompt: prompt 92 went live at 11:52 UTC.")
    assert "Also: release 1.5.0 went live at 11:51 UTC." in cause


def test_a_change_an_hour_before_is_no_suspect() -> None:
    early = (a_change("deploy", ONSET - timedelta(hours=1)),)

    found = message.write(a_case(moved(Signal.LATENCY, NOON), changes=early))
    assert "release" not in found.likely_cause


def test_traffic_is_named_where_nothing_else_changed() -> None:
    found = message.write(a_case(moved(Signal.INPUT_TOKENS, NOON), rates=(100.0, 180.0)))

    assert "Likely the traffic: 180 calls a minute (normal 100)." in found.likely_cause


def test_failed_calls_are_named_where_nothing_else_changed() -> None:
    found = message.write(a_case(moved(Signal.INPUT_TOKENS, NOON), errors="timeout"))

    assert "Likely the provider: 10.0% of calls fail (normal 0%)." in found.likely_cause
    assert "20 of 200 calls failed (10.0%, normal 0%)." in found.impact


def test_unknown_errors_are_not_called_none() -> None:
    case = replace(a_case(moved(Signal.LATENCY, NOON)), cause=None)

    assert "Whether calls failed is not known yet." in message.write(case).impact


def test_without_a_cause_the_sentence_is_the_manuals() -> None:
    case = replace(a_case(moved(Signal.LATENCY, NOON)), cause=None)

    found = message.write(case)
    assert found.likely_cause == (
        "No cause found. Checked: deploys, prompt, model, max_tokens, traffic, provider errors."
    )
    assert found.first_action.startswith("Follow the runbook for latency")


@pytest.mark.parametrize(
    ("why", "title"),
    [
        (Why.SEEN, "checkout-bot: silent prompt change seen by Ana"),
        (
            Why.OLD_NEWS,
            "checkout-bot: silent prompt change closed after 24 h 0 min, seen by nobody",
        ),
    ],
)
def test_the_end_of_a_prompt_alert_says_who_has_seen_it(
    why: Why, title: str, now: datetime
) -> None:
    alert = a_prompt_alert(now - timedelta(hours=24), acknowledged_by="Ana")

    assert message.resolved(alert, None, why, now, min_calls=200).title == title


def test_the_end_of_an_alert_says_how_long_it_took(now: datetime) -> None:
    alert = an_alert(now - 47 * MIN, "latency")
    found = message.resolved(
        alert, usual(Signal.LATENCY, now, now=3.1), Why.CALM, now, min_calls=200
    )

    assert found.title == "checkout-bot: latency back to 3.1 s after 47 min"
    assert found.impact == "It lasted from 2026-01-15 11:13 to 12:00 UTC."


def test_the_end_of_a_rate_names_what_the_share_is_of(now: datetime) -> None:
    alert = an_alert(now - 47 * MIN, "errors")
    found = message.resolved(alert, usual(Signal.ERRORS, now), Why.CALM, now, min_calls=200)

    assert found.title == "checkout-bot: failed calls back to 0.4% after 47 min"


def test_a_verdict_of_unknown_gives_no_number(now: datetime) -> None:
    blank = Finding(
        series=BOT,
        signal=Signal.LATENCY,
        verdict=Verdict.UNKNOWN,
        why="too few calls",
        since=now - 5 * MIN,
        until=now,
        calls=3,
    )
    found = message.resolved(an_alert(now, "latency"), blank, Why.CALM, now, min_calls=200)

    assert found.evidence[0].text == "not known (3 calls; normal not known)"


def test_the_end_of_an_alert_shows_the_window_that_says_so_beside_what_was(now: datetime) -> None:
    old = message.write(a_case(moved(Signal.ERRORS, NOON)))
    alert = an_alert(now - 47 * MIN, "errors", text=old)
    newest = usual(Signal.ERRORS, now, calls=61, now=0.0)
    found = message.resolved(alert, newest, Why.CALM, now, min_calls=50)

    rows = {row.name: row.text for row in found.evidence}
    assert next(iter(rows)) == "Failed calls"
    assert rows["Failed calls"].startswith("0% (normal 0.4%")
    assert rows["Failed calls, then"].startswith("25.0% (normal 0.4%")
    assert rows["Calls in window"] == "61 calls (normal: at least 50)"
    assert rows["Window"] == "2026-01-15 11:55 to 12:00 UTC"
    assert len(found.evidence) <= ROWS


def test_an_alert_that_ends_without_a_verdict_is_not_called_over(now: datetime) -> None:
    alert = an_alert(now - timedelta(days=3), "errors")
    found = message.resolved(alert, None, Why.EXPIRED, now, min_calls=200)

    assert found.title == "checkout-bot: alert closed, no data on failed calls for 48 h"
    assert found.impact.startswith("It is not known whether it is over")
    assert "back to" not in f"{found.title} {found.impact}"


def test_the_words_are_those_of_the_first_member_that_is_out(now: datetime) -> None:
    other = replace(BOT, use_case="triage")
    case = replace(
        a_case(moved(Signal.LATENCY, NOON, series=other)),
        members=(Member("errors", BOT), Member("latency", other)),
    )
    found = message.write(case)

    chart = parse_qs(urlsplit(found.links.chart).query)
    assert "use case triage" in found.impact
    assert (chart["signal"], chart["use_case"]) == (["latency"], ["triage"])


def test_a_number_of_another_series_is_marked_as_such() -> None:
    other = replace(BOT, use_case="triage")
    found = message.write(
        a_case(moved(Signal.ERRORS, NOON), moved(Signal.LATENCY, NOON, series=other))
    )

    names = [row.name for row in found.evidence]
    assert names[:2] == ["Failed calls", "Latency at equal length of triage"]


def test_the_usual_share_of_failed_calls_is_the_learned_one() -> None:
    case = replace(a_case(moved(Signal.LATENCY, NOON), errors="timeout"), usual_errors=0.021)

    assert "20 of 200 calls failed (10.0%, normal 2.1%)." in message.write(case).impact


def test_a_handful_of_calls_before_gives_no_normal_share_of_failed_calls() -> None:
    case = a_case(moved(Signal.LATENCY, NOON), errors="timeout")
    assert case.cause is not None
    thin = replace(case, cause=replace(case.cause, before=replace(case.cause.before, calls=36)))

    found = message.write(thin)
    assert "20 of 200 calls failed (10.0%)." in found.impact
    assert "Likely the provider: 10.0% of calls fail." in found.likely_cause


def test_failed_calls_are_no_cause_where_this_hour_usually_has_as_many() -> None:
    case = replace(a_case(moved(Signal.LATENCY, NOON), errors="timeout"), usual_errors=0.10)

    assert "provider:" not in message.write(case).likely_cause


def test_what_began_on_another_day_is_said_with_its_day() -> None:
    case = replace(a_case(moved(Signal.LATENCY, NOON)), now=NOON + timedelta(days=1))

    assert "since 2026-01-15 11:52 UTC" in message.write(case).impact
