"""Judgements in traffic: evaluation events, and the annotations that stand on a span."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from collector.capture import Plan
from collector.dialects.values import number, text
from collector.raw import RawEvent, RawSpan, clean_text
from collector.redact import redacted_label
from tidegauge.call import Call
from tidegauge.clock import EPOCH
from tidegauge.log_event import EVALUATION, LogEvent
from tidegauge.policy import Capture
from tidegauge.score import MOST, NAME_CHARS, Score, ScoreSource

_EVENT = "gen_ai.evaluation."
_FORMS = ("evaluation", "annotation")
_WHOLE = ("trace", "session")  # what else an annotation may be of
# A list of annotations is numbered from 0 and each has a name: of the others nothing is asked for.
_MARKERS = frozenset(
    f"{whole}{form}s.0.{inner}name"
    for whole in ("", *(f"{one}." for one in _WHOLE))
    for form in _FORMS
    for inner in (f"{form}.", "")
)

Fields = Mapping[str, Any]  # of an annotation, by name: name, score, label, ...


def of_span(raw: RawSpan, call: Call, plan: Plan) -> tuple[Score, ...]:
    """Return the judgements that a span carries, of itself, its trace or its session.

    ``call`` is what is stored of the span. Of nearly all spans there are none, and only a dozen
    names are looked up to know it.
    """
    annotated = not raw.attributes.keys().isdisjoint(_MARKERS)
    if not annotated and all(event.name != EVALUATION for event in raw.events):
        return ()
    found = [one for event in raw.events if (one := _of_event(event, call, plan))]
    if annotated:
        found += _annotations(raw, call, plan)
    return tuple(found[:MOST])


def of_log(event: LogEvent, plan: Plan, received_at: datetime) -> Score | None:
    """Return what an evaluation says, None for any other event and for one that names nothing."""
    if event.name != EVALUATION:
        return None
    body = event.body if isinstance(event.body, Mapping) else {}
    said = _judged({**body, **event.attributes}, plan)
    if said is None or not (event.trace_id or said["response_id"]):
        return None
    return Score(
        project=event.project,
        trace_id=event.trace_id,
        span_id=event.span_id,
        source=ScoreSource.EVENT,
        at=_at(event.time_ns) if event.time_ns else received_at,
        mark=str(event.time_ns or ""),
        **said,
    )


def _of_event(event: RawEvent, call: Call, plan: Plan) -> Score | None:
    if event.name != EVALUATION or (said := _judged(event.attributes, plan)) is None:
        return None
    said["response_id"] = said["response_id"] or call.response_id
    return Score(
        project=call.project,
        trace_id=call.trace_id,
        span_id=call.span_id,
        source=ScoreSource.EVENT,
        at=_at(event.time_ns) if event.time_ns else _ended(call),
        mark=str(event.time_ns or ""),
        **said,
    )


def _judged(attributes: Fields, plan: Plan) -> dict[str, Any] | None:
    """Return the fields that an evaluation event fills; None where it says nothing."""
    name = _short(attributes.get(f"{_EVENT}name"), plan)
    said: dict[str, Any] = {
        "value": number(attributes.get(f"{_EVENT}score.value")),
        "label": _short(attributes.get(f"{_EVENT}score.label"), plan),
        "error_type": _short(attributes.get("error.type"), plan),
    }
    if name is None or not (_says(said) or f"{_EVENT}explanation" in attributes):
        return None
    answered = _short(attributes.get("gen_ai.response.id"), plan)
    return {"name": name, "response_id": answered, **said}


def _annotations(raw: RawSpan, call: Call, plan: Plan) -> Iterator[Score]:
    for whole, fields in _listed(raw.attributes):
        one = _annotation(fields, call, plan)
        if one is not None:
            yield _moved(one, whole, call)


def _annotation(fields: Fields, call: Call, plan: Plan) -> Score | None:
    name = _short(fields.get("name"), plan)
    said: dict[str, Any] = {
        "value": number(fields.get("score")),
        "label": _short(fields.get("label"), plan),
        "error_type": None,
    }
    if name is None or not (_says(said) or "explanation" in fields):
        return None
    return Score(
        project=call.project,
        trace_id=call.trace_id,
        span_id=call.span_id,
        response_id=call.response_id,
        name=name,
        source=ScoreSource.ANNOTATION,
        annotator=_short(fields.get("annotator_kind"), plan),
        # A list's order means nothing, and both forms may tell of the same result.
        mark=_short(fields.get("identifier"), plan) or "",
        at=_ended(call),
        **said,
    )


def _moved(one: Score, whole: str, call: Call) -> Score:
    """Return an annotation at what it is of: every span of a trace may repeat what is of the trace."""
    if whole == "session" and call.session_id:
        return replace(one, trace_id="", span_id="", session_id=call.session_id, response_id=None)
    return replace(one, span_id="", response_id=None) if whole else one


def _listed(attributes: Fields) -> Iterable[tuple[str, Fields]]:
    """Return annotations by what they are of ("": the span), from attributes that are numbered.

    >>> list(_listed({"trace.evaluations.0.evaluation.name": "tone", "evaluations.x.name": 1}))
    [('trace', {'name': 'tone'})]
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = defaultdict(dict)
    for key, value in attributes.items():
        whole, _, rest = key.partition(".")
        if whole not in _WHOLE:
            whole, rest = "", key
        listed, _, rest = rest.partition(".")
        place, _, field = rest.partition(".")
        if listed[:-1] in _FORMS and listed.endswith("s") and place.isdigit():
            field = field.removeprefix(f"{listed[:-1]}.")
            found[whole, listed, place][field] = value
    return [(whole, fields) for (whole, *_), fields in found.items()]


def _says(said: Fields) -> bool:
    return any(value is not None for value in said.values())


def _short(value: Any, plan: Plan) -> str | None:
    """Return a name or a label without secrets; where content is not kept, no long one either."""
    said = text(value)
    if said is None:
        return None
    if len(said) > NAME_CHARS and plan.mode not in (Capture.FULL, Capture.REDACTED):
        return None
    return redacted_label(clean_text(said), plan.rules)[:NAME_CHARS] or None


def _at(ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=ns // 1_000)


def _ended(call: Call) -> datetime:
    try:
        return call.started_at + timedelta(seconds=call.duration_s)
    except OverflowError:  # a sender's clock
        return call.started_at
