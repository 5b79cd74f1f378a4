"""Why it may have happened, and what to do first, in words. Likely, never because."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.alerts.case import Case
from analysis.alerts.units import NAMES, at, clean, cut, percent, seconds, tokens, value
from tidegauge.alert import PROMPT
from tidegauge.finding import Change, Signal

NO_CAUSE = "No cause found. Checked: deploys, prompt, model, max_tokens, traffic, provider errors."
CAUSE_LIMIT = 400
ACTION_LIMIT = 200

_PLURALS = {
    "deploy": "deploys",
    "prompt": "the prompt",
    "model": "the model",
    "parameter": "request parameters",
    "provider": "the provider",
}
#: The rules that a word on longer answers belongs to.
_ABOUT_LENGTH = (Signal.LATENCY.value, Signal.OUTPUT_TOKENS.value, PROMPT)
_TRAFFIC = 1.5  # calls a minute, ratio to before: less is the day's own rhythm


def likely_cause(case: Case) -> str:
    """Return the co-change with its time, what moved beside it, and what was ruled out."""
    change = case.change
    sentences = [_prompt_sentence(one) for one in case.silent[:1]]
    if change is not None and change not in case.silent:
        sentences.insert(0, f"Likely {_KINDS[change.kind]}: {phrase(change)} at {at(change.at)}.")
    sentences += [text for text in (_writes_more(case), _same_moment(case, change)) if text]
    if change is None:
        sentences += _other_moves(case)
    if not sentences:
        return NO_CAUSE
    return cut(" ".join([*sentences, *_ruled_out(case)]), CAUSE_LIMIT)


def first_action(case: Case) -> str:
    """Return one step to take now, and what it should do."""
    service, change = clean(case.series.service, 40), case.change
    if change is None:
        name = _goal_name(case)
        return (
            f"Follow the runbook for {name}: open the chart, then compare calls before and since."
        )
    if change in case.silent:
        text = (
            f"Ask the {service} owner if this was planned. "
            f"If not, restore prompt {short_hash(change.before)}{_goal(case)}."
        )
    else:
        text = f"{_UNDO[change.kind](change, service)}{_goal(case)}."
    return cut(text, ACTION_LIMIT)


def phrase(change: Change) -> str:
    """Return a change in a few words: the end of a title."""
    before, after = _name(change.before), _name(change.after)
    if change.field == "prompt_checksum":
        return "prompt changed silently" if change.silent else "prompt text changed"
    if change.kind == "parameter":
        return f"{change.field} {_direction(change)} {before} to {after}"
    return {
        "prompt": f"prompt {after} went live",
        "deploy": f"release {after} went live",
        "model": f"model is now {after}",
        "provider": f"provider is now {after}",
    }[change.kind]


def short_hash(checksum: str | None) -> str:
    """Return a checksum as people compare them.

    >>> short_hash("sha256:9ab2ffff41"), short_hash(None)
    ('9ab2..41', 'of before')
    """
    if not checksum:
        return "of before"
    digits = clean(checksum.rpartition(":")[2], 80)
    return digits if len(digits) <= 8 else f"{digits[:4]}..{digits[-2:]}"


def _name(value: str | None) -> str:
    return "unset" if value is None else clean(value, 24)


def _direction(change: Change) -> str:
    try:
        before, after = float(change.before or ""), float(change.after)
    except ValueError:
        return "changed"
    return "fell" if after < before else "rose"


def _prompt_sentence(change: Change) -> str:
    return (
        f"The prompt's text changed at {at(change.at)} "
        f"({short_hash(change.after)}, was {short_hash(change.before)}) "
        "with no new prompt version and no release within 15 min."
    )


def _writes_more(case: Case) -> str:
    """Return what tells longer answers from a slower model. If answers are not longer, ""."""
    length, pace = case.part("output_tokens"), case.part("time_per_output_token_s")
    if case.cause is None or not case.cause.writes_more or length is None:
        return ""
    if case.rule not in _ABOUT_LENGTH or (
        case.rule == Signal.OUTPUT_TOKENS and case.change is None
    ):
        return ""  # longer answers explain no errors, and not themselves
    text = f"Answers went from {tokens(length.before)} to {tokens(length.now)} at {at(case.onset)}"
    if pace is not None and not pace.moved:
        text += (
            f"; time per output token is {seconds(pace.now)} (normal {seconds(pace.before)}), "
            "so the model is not slower, it writes more"
        )
    return f"{text}."


def _same_moment(case: Case, first: Change | None) -> str:
    """Return what else changed within the same quarter of an hour."""
    changes = case.cause.changes if case.cause else ()
    others = [one for one in changes if one != first and one not in case.silent]
    if not others:
        return ""
    said = list(dict.fromkeys(f"{phrase(one)} at {at(one.at)}" for one in others))
    return f"Also: {', '.join(said[:2])}."


def _other_moves(case: Case) -> list[str]:
    """Return what moved where nothing was changed: traffic, or errors."""
    found = []
    errors, rates = case.part("error_share"), case.calls_per_min
    normal = case.normal_errors
    # Far from the hour before, and yet what this hour usually shows: no cause.
    ordinary = errors is not None and errors.now <= (case.usual_errors or 0.0)
    if errors is not None and errors.moved and not ordinary and case.rule != "errors":
        beside = "" if normal is None else f" (normal {percent(normal)})"
        found.append(f"Likely the provider: {percent(errors.now)} of calls fail{beside}.")
    if rates is not None and rates[0] and not 1 / _TRAFFIC < rates[1] / rates[0] < _TRAFFIC:
        found.append(
            f"Likely the traffic: {rates[1]:,.0f} calls a minute (normal {rates[0]:,.0f})."
        )
    return found


def _ruled_out(case: Case) -> Iterable[str]:
    """Yield what was checked and did not change, where a cause is named."""
    kinds = [
        _PLURALS[kind] for kind in (case.cause.ruled_out if case.cause else ()) if kind in _PLURALS
    ]
    if kinds:
        yield f"Did not change: {', '.join(kinds)}."


def _goal_name(case: Case) -> str:
    return NAMES[case.lead.signal] if case.lead else "a prompt change"


def _goal(case: Case) -> str:
    """Return the effect to expect of the first action."""
    if case.lead is not None and case.lead.usual is not None:
        normal = value(case.lead.signal, case.lead.usual)
        return f"; expect {NAMES[case.lead.signal]} near {normal} within 10 min"
    length = case.moved("output_tokens")
    if length is None:
        return ""
    known = [one.usual for one in case.findings if one.signal is Signal.OUTPUT_TOKENS and one.usual]
    return f"; expect answers near {tokens(known[0] if known else length.before)} within 10 min"


def _undo_parameter(change: Change, service: str) -> str:
    return f"Set {change.field} of {service} back to {_name(change.before)}"


def _undo_prompt(change: Change, service: str) -> str:
    if change.field == "prompt_checksum":
        return f"Restore prompt {short_hash(change.before)} of {service}"
    return f"Roll {service} back to prompt {_name(change.before)}"


def _undo_deploy(change: Change, service: str) -> str:
    return f"Roll {service} back to release {_name(change.before)}"


def _undo_model(change: Change, service: str) -> str:
    return f"Pin {service} to model {_name(change.before)} again"


def _undo_provider(change: Change, service: str) -> str:
    return f"Route {service} to {_name(change.before)} again"


_UNDO = {
    "parameter": _undo_parameter,
    "prompt": _undo_prompt,
    "deploy": _undo_deploy,
    "model": _undo_model,
    "provider": _undo_provider,
}
_KINDS = {
    "parameter": "a request parameter",
    "prompt": "the prompt",
    "deploy": "a release",
    "model": "the model",
    "provider": "the provider",
}
