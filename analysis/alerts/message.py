"""An alert in words: title, numbers, likely cause, first action, links; pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from analysis.alerts.case import Case
from analysis.alerts.cause import first_action, likely_cause, phrase, short_hash
from analysis.alerts.lifecycle import Why
from analysis.alerts.units import (
    NAMES,
    at,
    calls,
    clean,
    cut,
    lasted,
    percent,
    ratio,
    seconds,
    span,
    tokens,
    value,
    versus,
)
from analysis.attribution import Part
from tidegauge.alert import PROMPT, Alert, Evidence, Links, Text
from tidegauge.bucket import Bucket, Measure
from tidegauge.finding import UNITS, Finding, Series, Signal

TITLE_LIMIT = 80  # a phone's lock screen
IMPACT_LIMIT = 280
ROWS = 6
ROW_LIMIT = 120
_NAME_LIMIT = 200  # in a link; a client may send a name of any length
_CHART = timedelta(hours=3)  # shown to each side of the onset

_CALLS, _WINDOW = "Calls in window", "Window"
_OF_THE_WINDOW = (_CALLS, _WINDOW)

_SHARES = {Signal.TRUNCATION: "answers cut off", Signal.ERRORS: "calls fail"}


def write(case: Case) -> Text:
    """Return what on-call reads of an alert that fires."""
    return Text(
        title=title(case),
        impact=cut(_impact(case), IMPACT_LIMIT),
        evidence=_evidence(case),
        likely_cause=likely_cause(case),
        first_action=first_action(case),
        links=links(case),
    )


def resolved(
    alert: Alert, finding: Finding | None, why: Why, now: datetime, *, min_calls: int
) -> Text:
    """Return what on-call reads at the end: where the number is now, and how long it took.

    ``finding`` is the newest of the leading number: what longer windows hold is over.
    """
    if why is Why.EXPIRED:
        return _expired(alert)
    title = f"{clean(alert.series.service, 30)}: {_ending(alert, finding, why, now)}"
    return Text(
        title=title[:TITLE_LIMIT],
        impact=f"It lasted from {span(alert.starts_at, now)}.",
        evidence=_at_the_end(alert, finding, min_calls) if finding else _then(alert),
        likely_cause=alert.text.likely_cause,
        first_action="Nothing to do now; the alert page holds what was seen.",
        links=alert.text.links,
    )


def _ending(alert: Alert, finding: Finding | None, why: Why, now: datetime) -> str:
    """Return how an alert ended, in a few words."""
    took = lasted(alert.starts_at, now)
    if alert.signal == PROMPT:
        ends = {
            Why.SEEN: f"silent prompt change seen by {clean(alert.acknowledged_by or '', 20)}",
            Why.OLD_NEWS: f"silent prompt change closed after {took}, seen by nobody",
        }
        return ends.get(why, f"silent prompt change closed after {took}")
    name = NAMES[Signal(alert.signal)]
    if finding is None or finding.now is None:
        return f"{name} back to normal after {took}"
    return f"{name} back to {value(finding.signal, finding.now)} after {took}"


def _expired(alert: Alert) -> Text:
    """Return the words of an alert that nothing is known of any more: never that it is over."""
    what = "its numbers" if alert.signal == PROMPT else NAMES[Signal(alert.signal)]
    return Text(
        title=f"{clean(alert.series.service, 30)}: alert closed, no data on {what} for 48 h",
        impact=(
            "It is not known whether it is over: for 48 h there were no calls, or too few to "
            f"judge. It began at {alert.starts_at:%Y-%m-%d %H:%M} UTC."
        ),
        evidence=_then(alert),
        likely_cause=alert.text.likely_cause,
        first_action=(
            "Check whether the traffic was meant to stop; if it comes back out of range, a new "
            "alert opens."
        ),
        links=alert.text.links,
    )


def _then(alert: Alert) -> tuple[Evidence, ...]:
    """Return the evidence of the alert, marked as of then."""
    if alert.signal == PROMPT:
        return alert.text.evidence
    return tuple(replace(row, name=f"{row.name}, then") for row in alert.text.evidence)


def _at_the_end(alert: Alert, finding: Finding, min_calls: int) -> tuple[Evidence, ...]:
    """Return where the number is now, what it was, and the window that says so."""
    now = Evidence(_row_name(finding), versus(finding)[:ROW_LIMIT])
    old = [row for row in _then(alert) if not row.name.startswith(_OF_THE_WINDOW)]
    return (now, *old[: ROWS - 3], *_window_rows(finding, min_calls))


def title(case: Case) -> str:
    """Return one line of at most 80 characters: service, number, ratio, strongest co-change."""
    what, beside = _headline(case)
    service = clean(case.series.service)
    for text in (f"{service}: {what}; {beside}", f"{service}: {what}"):
        if beside and len(text) <= TITLE_LIMIT:
            return text
    room = TITLE_LIMIT - len(f": {what}")
    return f"{clean(service, max(room, 8))}: {what}"[:TITLE_LIMIT]


def links(case: Case) -> Links:
    """Return the four absolute addresses. None of them changes anything when it is opened."""
    one = case.series
    page = f"{case.base_url}/alerts?{urlencode({'alert': case.alert_id})}"
    about = {
        "service": one.service[:_NAME_LIMIT],
        "environment": one.environment[:_NAME_LIMIT],
        "use_case": one.use_case[:_NAME_LIMIT],
        "model": one.model[:_NAME_LIMIT],
        "signal": Signal.OUTPUT_TOKENS.value if case.rule == PROMPT else case.rule,
        "from": f"{case.onset - _CHART:%Y-%m-%dT%H:%M:%SZ}",
        "to": f"{case.onset + _CHART:%Y-%m-%dT%H:%M:%SZ}",
    }
    return Links(
        alert=page,
        chart=f"{case.base_url}/trends?{urlencode(about)}",
        runbook=f"{page}&show=runbook",
        silence=f"{page}&do=silence&for=2h",
    )


def _headline(case: Case) -> tuple[str, str]:
    """Return the title's two halves: the number, and the strongest co-change."""
    lead = case.lead
    if lead is None or lead.now is None or lead.usual is None:
        return _prompt_headline(case)
    number = value(lead.signal, lead.now)
    if UNITS[lead.signal] == "share":
        what = f"{number} of {_SHARES[lead.signal]}, was {percent(lead.usual)}"
    else:
        what = f"{NAMES[lead.signal]} {number}, {ratio(lead.now, lead.usual)}"
    beside = case.silent[0] if case.silent else case.change
    return what, phrase(beside) if beside else ""


def _prompt_headline(case: Case) -> tuple[str, str]:
    what, moved = "system prompt changed with no deploy marker", case.moved("output_tokens")
    ours = [one for one in case.findings if one.series == case.series]
    for finding in ours:
        if finding.signal in _SHARES and finding.now is not None:
            return what, f"{percent(finding.now)} of {_SHARES[finding.signal]}"
    if moved is None:
        return what, ""
    # Against what this hour usually shows, where that is known: the hour before may be odd.
    lengths = [one.ratio for one in ours if one.signal is Signal.OUTPUT_TOKENS]
    change = (lengths[0] if lengths and lengths[0] else moved.now / moved.before) - 1
    return what, f"outputs {abs(change):.0%} {'longer' if change > 0 else 'shorter'}"


def _impact(case: Case) -> str:
    """Return who is hurt, how many of how many, since when."""
    lead, since = case.lead, _since(case)
    if lead is None:
        new = case.cause.after.calls if case.cause else 0
        seen = f"{calls(new)} since {since} use the new text. " if new else ""
        return f"{seen}{_rest(case)}"
    if lead.now is not None and UNITS[lead.signal] == "share":
        hit, window = round(lead.now * lead.calls), span(lead.since, lead.until)
        verb = "were cut off" if lead.signal is Signal.TRUNCATION else "failed"
        text = f"{hit:,} of {calls(lead.calls)} {verb} from {window}, starting at {since}."
        return text + (" Readers get part of an answer." if verb == "were cut off" else "")
    return f"All calls of use case {clean(case.series.use_case, 40)} since {since}. {_rest(case)}"


def _since(case: Case) -> str:
    """Return when it began; with its day, where that was not today."""
    today = case.onset.date() == case.now.date()
    return at(case.onset) if today else f"{case.onset:%Y-%m-%d} {at(case.onset)}"


def _rest(case: Case) -> str:
    """Return what is known of waiting and of failed calls."""
    text, wait = "", case.moved("latency_s")
    if wait is not None and wait.now > wait.before:
        text = f"Callers wait {seconds(wait.now)} (normal {seconds(wait.before)}). "
    after = case.cause.after if case.cause else None
    if after is None or not after.calls:
        return f"{text}Whether calls failed is not known yet."
    if not after.errors:
        return f"{text}No errors or time-outs measured."
    share, normal = percent(after.errors / after.calls), case.normal_errors
    beside = "" if normal is None else f", normal {percent(normal)}"
    return f"{text}{after.errors:,} of {calls(after.calls)} failed ({share}{beside})."


def _evidence(case: Case) -> tuple[Evidence, ...]:
    """Return at most six rows; the last two are the sample size and the window."""
    rows = [*_prompt_rows(case), *_number_rows(case), *_setting_rows(case), *_part_rows(case)]
    first = next((one for one in case.findings if one.series == case.series), None)
    if first is not None:
        about = _window_rows(first, case.min_calls)
    else:
        count = case.cause.after.calls if case.cause else 0
        until = max(case.now, case.onset)
        about = (_calls_row(count, case.min_calls), Evidence(_WINDOW, span(case.onset, until)))
    rows = [*rows[: ROWS - 2], *about]
    return tuple(Evidence(row.name, row.text[:ROW_LIMIT]) for row in rows)


def _window_rows(finding: Finding, min_calls: int) -> tuple[Evidence, Evidence]:
    window = Evidence(_WINDOW, span(finding.since, finding.until))
    return _calls_row(finding.calls, min_calls), window


def _calls_row(count: int, min_calls: int) -> Evidence:
    return Evidence(_CALLS, f"{calls(count)} (normal: at least {min_calls:,})")


def _prompt_rows(case: Case) -> list[Evidence]:
    return [
        Evidence("Prompt checksum", f"{short_hash(one.after)} (normal {short_hash(one.before)})")
        for one in case.silent[:1]
    ]


def _number_rows(case: Case) -> list[Evidence]:
    """Return the signals that are out, one row each; another series is named in its row."""
    rows: dict[Signal, Evidence] = {}
    for finding in sorted(case.findings, key=lambda one: one.series != case.series):
        name = f"{_row_name(finding)}{_elsewhere(finding.series, case.series)}"
        rows.setdefault(finding.signal, Evidence(name, versus(finding)))
    return list(rows.values())


def _row_name(finding: Finding) -> str:
    if finding.signal is Signal.LATENCY:
        return "Latency at equal length"
    return NAMES[finding.signal].capitalize()


def _elsewhere(other: Series, here: Series) -> str:
    """Return what tells another series from the one that is spoken of; "" for the same."""
    pairs = [(other.use_case, here.use_case), (other.model, here.model)]
    names = [clean(one, 24) for one, ours in pairs if one != ours]
    return f" of {', '.join(names)}" if names else ""


def _setting_rows(case: Case) -> list[Evidence]:
    """Return the request parameter that changed."""
    change = case.change
    if change is None or change.kind != "parameter":
        return []
    unit = " tokens" if change.field == "max_tokens" else ""
    before = "unset" if change.before is None else f"{clean(change.before, 24)}{unit}"
    return [
        Evidence(
            f"{change.field} in requests", f"{clean(change.after, 24)}{unit} (normal {before})"
        )
    ]


def _part_rows(case: Case) -> list[Evidence]:
    """Return what tells a slow model from long answers: p95 latency, length, pace."""
    if case.cause is None:
        return []
    before, after = case.cause.before, case.cause.after
    out = {finding.signal for finding in case.findings if finding.series == case.series}
    rows = [_p95("p95 latency", before, after)]
    length = case.part("output_tokens")
    if length is not None and Signal.OUTPUT_TOKENS not in out:
        rows.append(_row("Output length", length, in_tokens=True))
    pace = case.part("time_per_output_token_s")
    rows.append(_row("Time per output token", pace) if pace is not None else None)
    return [row for row in rows if row is not None]


def _row(name: str, part: Part, *, in_tokens: bool = False) -> Evidence:
    show = tokens if in_tokens else seconds
    return Evidence(name, f"{show(part.now)} (normal {show(part.before)})")


def _p95(name: str, before: Bucket, after: Bucket) -> Evidence | None:
    old, new = (one.measured(Measure.LATENCY).histogram.quantile(0.95) for one in (before, after))
    if old is None or new is None:
        return None
    return Evidence(name, f"{seconds(new)} (normal {seconds(old)})")
