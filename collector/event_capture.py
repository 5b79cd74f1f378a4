"""What is kept of a log event's content: as the project's policy asks, and never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from collector import capture
from collector.capture import Plan
from collector.dialects.values import count, decoded, text
from collector.otlp_logs import CHOICE, COMPLETION, DETAILS, ROLES
from collector.redact import Rules, redacted, suspect
from tidegauge.call import Call
from tidegauge.clock import EPOCH
from tidegauge.log_event import LogEvent
from tidegauge.policy import Capture

# Of an evaluation: what was judged and how. Why, in words, may quote the answer.
_JUDGED = ("gen_ai.evaluation.name", "gen_ai.evaluation.score.label")
_FINISH = "gen_ai.response.finish_reasons"
_SHORT = 200  # characters


def captured(event: LogEvent, plan: Plan) -> LogEvent | None:
    """Return what is stored of an event; None where nothing is left that a span could use."""
    if plan.mode in (Capture.FULL, Capture.REDACTED):
        return _scrubbed(event, plan.rules)
    bare = _as_call(event, plan)
    attributes = {**bare.attributes, **_judged(event)}
    attributes.pop(capture.NOTE, None)
    if event.name == DETAILS or not event.joins:
        return replace(event, attributes=attributes, body=None)
    index, reason = _ended(event)
    if bare.input:
        said = {"message": bare.input[0], "index": index, "finish_reason": reason}
        is_answer = event.name in (CHOICE, COMPLETION)
        return replace(event, attributes=attributes, body=said if is_answer else bare.input[0])
    if reason is None:
        return None
    # Of an answer without its text there is still why it ended.
    return replace(event, name=DETAILS, attributes={**attributes, _FINISH: [reason]}, body=None)


def _scrubbed(event: LogEvent, rules: Rules) -> LogEvent:
    """Return the event without secrets, wherever in it they stand."""
    if not suspect(orjson.dumps([event.attributes, event.body]), rules):
        return event
    return replace(
        event, attributes=redacted(event.attributes, rules), body=redacted(event.body, rules)
    )


def _as_call(event: LogEvent, plan: Plan) -> Call:
    """Return a call that says what the event does, as little of it as is kept of a call."""
    body = decoded(event.body)
    role = ROLES.get(event.name, "assistant" if event.name in (CHOICE, COMPLETION) else "user")
    if isinstance(body, Mapping):
        role = body.get("role") or role
        body = body.get("message", body.get("content"))
    whole = Call(
        project=event.project,
        trace_id=event.trace_id,
        span_id=event.span_id,
        started_at=EPOCH,
        duration_s=0.0,
        input=None if body is None else [{"role": role, "content": body}],
        attributes=event.attributes,
    )
    less = capture.apply(whole, plan.mode, plan.salt)
    return replace(less, attributes=redacted(less.attributes, plan.rules))


def _judged(event: LogEvent) -> dict[str, str]:
    found = {name: text(event.attributes.get(name)) for name in _JUDGED}
    return {name: said for name, said in found.items() if said and len(said) <= _SHORT}


def _ended(event: LogEvent) -> tuple[int | None, str | None]:
    """Return which answer an event is, and why it ended."""
    body = decoded(event.body)
    told: Mapping[str, Any] = body if isinstance(body, Mapping) else event.attributes
    reason = text(told.get("finish_reason"))
    return count(told.get("index")), reason[:_SHORT] if reason else None
