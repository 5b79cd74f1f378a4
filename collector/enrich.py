"""A stored call and the log events of its span, to the call as if the span had said it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from collector.dialects import genai
from collector.dialects.assemble import BESIDE, Cost, call_of
from collector.dialects.names import named
from collector.dialects.values import count, decoded
from collector.json_budget import JsonBudget
from collector.limits import DEFAULT
from collector.otlp_logs import CHOICE, COMPLETION, DETAILS, PROMPT
from collector.raw import RawEvent, RawSpan
from tidegauge.call import Call, Evidence, Operation, OutputKind
from tidegauge.log_event import LogEvent
from tidegauge.pricing import cost_usd

JOINED = "joined"  # under BESIDE, where no application can write
_AS = {PROMPT: "gen_ai.user.message", COMPLETION: CHOICE}  # their bodies are alike
_EACH = (
    "input",
    "output",
    "response_model",
    "input_checksum",
    "output_kind",
    "output_script",
    "output_valid",
    "repetition",
)
_UNKNOWN = ((), ("unknown",))  # finish reasons that say nothing

Events = Mapping[str, LogEvent]  # by a hash of all that an event says


def enrich(call: Call, events: Events, cost: Cost = cost_usd) -> Call | None:
    """Return the call with what its span did not say and ``events``, all that are known, do.

    The answer depends on the set of events alone: what earlier ones had filled in is taken back
    first. None where some of those are no longer known: then nothing can be added any more.
    """
    if call.operation is None:
        return call  # a wrapper has no messages of its own
    joined = _beside(call).get(JOINED) or {"events": [], "before": {}}
    if not events.keys() >= set(joined["events"]):
        return None
    plain = _as_sent(call, joined["before"])
    said = _as_if_said(plain, call.operation, events)
    filled = _filled(plain, said, cost) if said else {}
    if not filled:
        return plain
    before = {name: getattr(plain, name) for name in filled}
    mark = {"events": sorted(events), "before": before}
    return replace(plain, **filled, attributes=_marked(plain, mark))


def _beside(call: Call) -> dict[str, Any]:
    return dict(call.attributes.get(BESIDE) or {})


def _as_sent(call: Call, before: Mapping[str, Any]) -> Call:
    """Return the call as its span alone made it."""
    if not before:
        return call
    known = dict(before)  # as JSON keeps it: lists, words and numbers
    if "finish_reasons" in known:
        known["finish_reasons"] = tuple(known["finish_reasons"])
    if known.get("truncation_evidence") is not None:
        known["truncation_evidence"] = Evidence(known["truncation_evidence"])
    if known.get("output_kind") is not None:
        known["output_kind"] = OutputKind(known["output_kind"])
    return replace(call, **known, attributes=_marked(call, None))


def _marked(call: Call, mark: dict[str, Any] | None) -> dict[str, Any]:
    beside = {name: value for name, value in _beside(call).items() if name != JOINED}
    if mark:
        beside[JOINED] = mark
    return {**call.attributes, BESIDE: beside}


def _filled(plain: Call, said: Call, cost: Cost) -> dict[str, Any]:
    """Return the fields to fill: those that the span left empty and the events do not."""
    filled: dict[str, Any] = {}
    for name in _EACH:
        if getattr(plain, name) is None and getattr(said, name) is not None:
            filled[name] = getattr(said, name)
    # The checksum is of the whole prompt: one of the tools alone would hide a new system text.
    if said.prompt_checksum and ("input" in filled or plain.prompt_checksum is None):
        filled["prompt_checksum"] = said.prompt_checksum
    if plain.finish_reasons in _UNKNOWN and said.finish_reasons not in _UNKNOWN:
        filled["finish_reasons"] = said.finish_reasons
    # What the texts and the reason together say may overrule a limit that was reached.
    if (said.truncation_confidence or 0) > (plain.truncation_confidence or 0):
        filled["truncated"] = said.truncated
        filled["truncation_evidence"] = said.truncation_evidence
    if "response_model" in filled and plain.cost_usd is None:
        paid = cost(replace(plain, response_model=filled["response_model"]).usage)
        counts = paid is not None and plain.not_counted is None
        filled |= {"cost_usd": paid} if counts else {}
    same = [name for name, value in filled.items() if value == getattr(plain, name)]
    return {name: value for name, value in filled.items() if name not in same}


def _as_if_said(plain: Call, operation: Operation, events: Events) -> Call | None:
    """Return the call of a span that carried the events itself, read by the dialect's own rules."""
    ordered = sorted(events.items(), key=_place)
    details = _details(event for _, event in ordered)
    messages = tuple(
        _message(event) for _, event in ordered if event.name != DETAILS and event.joins
    )
    if not details and not messages:
        return None
    own = {name: value for name, value in plain.attributes.items() if name != BESIDE}
    raw = RawSpan(
        trace_id=plain.trace_id,
        span_id=plain.span_id,
        parent=None,
        name=plain.name,
        kind=0,
        start_ns=1,
        end_ns=1,
        attributes={**details, **own},
        events=messages,
    )
    # A text that holds JSON would become more objects than memory has room for.
    bounded = JsonBudget(DEFAULT.fields).checked(raw)
    reading = genai.reading_of(bounded, operation, named(bounded.attributes))
    return call_of(bounded, plain.project, reading)


def _place(one: tuple[str, LogEvent]) -> tuple[int, bool, int, str]:
    """Return where an event stands among the others, however they came: by time, then index."""
    id_, event = one
    index = count(event.body.get("index")) if isinstance(event.body, Mapping) else None
    return event.time_ns, event.name in (CHOICE, COMPLETION), index or 0, id_


def _details(events: Iterable[LogEvent]) -> dict[str, Any]:
    """Return the attributes of a call; OTel's JavaScript sends its two sides one by one."""
    found: dict[str, Any] = {}
    for event in events:
        if event.name == DETAILS:
            found = {**event.attributes, **found}
    return found


def _message(event: LogEvent) -> RawEvent:
    """Return a message as the span events of the same conventions have it: its fields by name."""
    body = decoded(event.body)
    if not isinstance(body, Mapping):
        told = {**event.attributes, "content": body} if body else event.attributes
        return RawEvent(event.name, event.time_ns, told)
    return RawEvent(_AS.get(event.name, event.name), event.time_ns, _typed(body))


def _typed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message whose parts have a type: those of Bedrock have a name each instead."""
    made = dict(body)
    if isinstance(made.get("message"), Mapping):
        made["message"] = _typed(made["message"])
    if isinstance(made.get("content"), Sequence) and not isinstance(made["content"], str):
        made["content"] = [_part(part) for part in made["content"]]
    return made


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping) or len(part) != 1:
        return part
    match dict(part):
        case {"text": text}:
            return {"type": "text", "content": text}
        case {"json": answer}:
            return {"type": "text", "content": orjson.dumps(answer).decode()}
        case {"toolUse": {"toolUseId": id_, "name": name, "input": asked}}:
            return {"type": "tool_call", "id": id_, "name": name, "arguments": asked}
        case {"toolResult": {"toolUseId": id_, "content": answer}}:
            return {"type": "tool_call_response", "id": id_, "response": _plain_answer(answer)}
    return part


def _plain_answer(answer: Any) -> Any:
    """Return the one text or object of a tool's answer as it is."""
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], Mapping):
        only = list(answer[0].values())
        return only[0] if len(only) == 1 else answer
    return answer
