"""Langfuse SDK (OpenTelemetry based, 3 and later) attributes to a reading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from collector.dialects.bodies import answered, asked, consumed, cut_if_incomplete, ended
from collector.dialects.content import Content, Message, from_otel, tools
from collector.dialects.facts import Facts, facts, form_of, schema_in
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.told import usd
from collector.dialects.usage import filled, used
from collector.dialects.values import MAX_COUNT, count, decoded, first, from_json, mapping, text
from collector.raw import RawSpan

NAME = "langfuse"
SCOPES: tuple[str, ...] = ("langfuse",)

_OBSERVATION = "langfuse.observation."
_TYPE = _OBSERVATION + "type"
_METADATA = _OBSERVATION + "metadata."
_INPUT, _OUTPUT = _OBSERVATION + "input", _OBSERVATION + "output"
_MODEL = (_OBSERVATION + "model.name", _OBSERVATION + "model")
_ASKED = _METADATA + "ls_model_name"  # by LangChain's handler
_USAGE = (_OBSERVATION + "usage_details", _OBSERVATION + "usage")
_COST = _OBSERVATION + "cost_details"
_STARTED = _OBSERVATION + "completion_start_time"
_PARAMETERS = _OBSERVATION + "model.parameters"
_FINISH = (
    "gen_ai.response.finish_reasons",
    _METADATA + "finish_reason",
    _METADATA + "stop_reason",
    _METADATA + "finishReason",
)
_INCOMPLETE = _METADATA + "incomplete_details"
_DATED = re.compile(r"\d{4}-?\d{2}-?\d{2}|[-@:]\d{3,4}$")  # a fixed version of a model
_ERROR = 2  # span status
# What the OpenAI wrapper writes where the application said nothing. Its own numbers are whole.
_UNSET = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


def fits(raw: RawSpan) -> bool:
    """Return whether the span names its type of observation."""
    return _TYPE in raw.attributes


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a generation or an embedding; every other observation is a wrapper."""
    operation = operation_of(told)
    if operation is None:
        return None
    answer = decoded(raw.attributes.get(_OUTPUT))
    content = _content(raw, answer)
    found = _facts(raw, told, answer)
    return Reading(
        dialect=NAME,
        operation=operation,
        named=_with_error(raw, told),
        facts=found,
        content=content,
        finish=_finish(raw, answer, content, found),
        first_token_s=_first_token_s(raw, told),
    )


def _facts(raw: RawSpan, told: Named, answer: Any) -> Facts:
    found = facts(told, _parameters(raw))
    model = text(first(raw.attributes, _MODEL))
    is_answer = raw.status != _ERROR and not _failed(raw)
    # The wrapper writes the model that answered over the one asked for. Where it is no fixed
    # version of a model, it is the name that was asked for, too.
    asked_for = model if model and not (is_answer and _DATED.search(model)) else None
    metadata = raw.attributes.get
    told_apart = text(metadata(_ASKED))
    # Of streams and Responses the handler knows no other model than the one asked for.
    answered = model if is_answer and model != told_apart else None
    form = decoded(metadata(_METADATA + "response_format"))
    return found._replace(
        request_model=found.request_model or told_apart or asked_for,
        response_model=found.response_model or answered,
        response_id=found.response_id or text(metadata(_METADATA + "id")),
        tokens=_tokens(raw, found.tokens),
        output_type=found.output_type or form_of(form),
        schema=schema_in(form) if found.schema is None else found.schema,
        service_tier=found.service_tier or text(metadata(_METADATA + "service_tier")),
        app_cost_usd=found.app_cost_usd or _cost(raw),
        streaming=True if _STARTED in raw.attributes else found.streaming,
    )


def _parameters(raw: RawSpan) -> Mapping[str, Any]:
    """Return the parameters that the application set.

    The OpenAI wrapper always lists the same five; a 1 there that is not 1.0 is its own default.
    """
    found = mapping(raw.attributes.get(_PARAMETERS))
    if "presence_penalty" not in found or "frequency_penalty" not in found:
        return found
    return {name: value for name, value in found.items() if not _is_default(name, value)}


def _is_default(name: str, value: Any) -> bool:
    return value == "Infinity" or (value.__class__ is int and _UNSET.get(name) == value)


def _cost(raw: RawSpan) -> Any:
    return usd(mapping(raw.attributes.get(_COST)).get("total"))


def _tokens(raw: RawSpan, told: Tokens) -> Tokens:
    usage = mapping(first(raw.attributes, _USAGE))
    if not usage:
        return told
    found = _summed(usage)
    if told.input is not None:
        return filled(told, found)
    return filled(found, told)


def _summed(usage: Mapping[str, Any]) -> Tokens:
    """Return counts that include their parts.

    The LangChain handler writes disjoint buckets: a side is the sum of the keys that begin with
    its name. The total, where it is sent, tells whether somebody wrote an inclusive number.
    """
    found = used(usage)
    if "input" not in usage and "output" not in usage:
        return found
    sent, said = _side(usage, "input"), _side(usage, "output")
    plain = (found.input or 0) + (found.output or 0)
    if found.total is not None and found.total == plain < sent + said:
        return found
    return found._replace(
        input=sent if "input" in usage else found.input,
        output=said if "output" in usage else found.output,
        excludes_cached=False,
        excludes_reasoning=False,
    )


def _side(usage: Mapping[str, Any], side: str) -> int:
    parts = f"{side}_"
    keys = (key for key in usage if key == side or key.startswith(parts))
    return min(sum(count(usage[key]) or 0 for key in keys), MAX_COUNT)


def _failed(raw: RawSpan) -> bool:
    return raw.attributes.get(_OBSERVATION + "level") == "ERROR"


def _with_error(raw: RawSpan, told: Named) -> Named:
    """Return the facts, with the error of an observation whose span has no error status."""
    if not _failed(raw) or raw.status == _ERROR or "error_type" in told:
        return told
    message = text(raw.attributes.get(_OBSERVATION + "status_message"))
    return {**told, "error_type": (message or "error")[:500]}


def _first_token_s(raw: RawSpan, told: Named) -> float | None:
    """Return when the first token came: a time of day, which the clock of the span is set by."""
    seconds = first_token_s(raw, told)
    started = text(raw.attributes.get(_STARTED))
    if seconds is not None or started is None:
        return seconds
    try:
        moment = datetime.fromisoformat(started).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    passed = moment - raw.start_ns / 1e9
    return passed if 0 <= passed <= (raw.end_ns - raw.start_ns) / 1e9 + 1 else None


def _finish(raw: RawSpan, answer: Any, content: Content, found: Facts) -> tuple[str, ...]:
    """Return why the model stopped: seldom told, else by what Responses say of their items."""
    told = first(raw.attributes, _FINISH)
    if told is not None and (said := reasons(cut_if_incomplete(told))):
        return said
    if _INCOMPLETE in raw.attributes:
        why = mapping(raw.attributes[_INCOMPLETE]).get("reason")
        if why and text(raw.attributes.get(_METADATA + "status")) == "incomplete":
            return reasons(why)
    return _of_items(answer) or _called(content, found)


def _of_items(answer: Any) -> tuple[str, ...]:
    """Return the reason of an answer of Responses, of which only its items are kept."""
    if isinstance(answer, list) and answer and _has_status(answer[-1]):
        return ended({"output": answer})
    return ended(answer) if isinstance(answer, dict) else ()


def _has_status(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("status"), str)


def _called(content: Content, found: Facts) -> tuple[str, ...]:
    """Return the reason of an answer that is nothing but whole tool calls, below its limit."""
    limit, used_up = found.max_tokens, found.tokens.output
    if limit is not None and used_up is not None and used_up >= limit:
        return ()
    said = content.output or []
    calls = [call for item in said for call in _calls(item)]
    return ("tool_call",) if len(said) == 1 and calls and all(map(_is_whole, calls)) else ()


def _calls(item: Message) -> Iterable[Any]:
    calls = item.get("tool_calls")
    return calls if isinstance(calls, list) else ()


def _is_whole(call: Any) -> bool:
    arguments = call.get("arguments") if isinstance(call, dict) else None
    return not isinstance(arguments, str) or isinstance(from_json(arguments), dict)


def _content(raw: RawSpan, answer: Any) -> Content:
    sent = decoded(raw.attributes.get(_INPUT))
    definitions = sent.get("tools") if isinstance(sent, dict) else None
    otel = from_otel(raw.attributes)
    instructions = text(raw.attributes.get(_METADATA + "instructions"))
    messages = asked(sent)
    if instructions and not any(item["role"] == "system" for item in messages or ()):
        messages = [{"role": "system", "content": instructions}, *(messages or ())]
    received = answered(answer)
    return Content(
        input=messages if messages is not None else otel.input,
        output=received if received is not None else otel.output,
        tools=tools(definitions) if definitions else otel.tools,
        consumed=otel.consumed | consumed(_INPUT, messages, _OUTPUT, received),
    )
