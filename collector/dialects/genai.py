"""OpenTelemetry GenAI attributes, old names and new, to a reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from collector.dialects.bodies import asked
from collector.dialects.content import Content, Message, from_otel, message, messages
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.model_names import offered_by
from collector.dialects.names import Named, named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.values import Attributes, count, decoded, first, from_json, text
from collector.dialects.wording import listed, operation_in, stands_around
from collector.raw import RawEvent, RawSpan
from tidegauge.call import Operation

NAME = "genai"
SCOPES: tuple[str, ...] = (
    "opentelemetry.util.genai",
    "opentelemetry.instrumentation.genai",
    "opentelemetry.instrumentation.openai_v2",
    "opentelemetry.instrumentation.google_genai",
    "opentelemetry.instrumentation.botocore",
    "@opentelemetry/instrumentation-",
    "Microsoft.Extensions.AI",
    "Experimental.Microsoft.Extensions.AI",
)

_MARKERS = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system")
_FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "anthropic.message.stop_reason",
)
_DETAILS = "gen_ai.client.inference.operation.details"
_CHOICE = "gen_ai.choice"
_ROLES = {
    f"gen_ai.{role}.message": role for role in ("system", "developer", "user", "assistant", "tool")
}
# Counts by what was sent and what came back: for a sender that gives no sum of them.
_KINDS_SENT, _KINDS_SAID = ("text", "image", "audio", "video"), ("text", "audio")
_PARTS_SENT = tuple(f"gen_ai.usage.{kind}.input_tokens" for kind in _KINDS_SENT)
_PARTS_SAID = tuple(f"gen_ai.usage.{kind}.output_tokens" for kind in _KINDS_SAID)
_AGENTS = listed("""
    gen_ai.agent.name gen_ai.agent.id gen_ai.tool.name gen_ai.tool.call.id gen_ai.workflow.name
    agent_name
    """)
_PART = listed("type text json image toolUse toolResult reasoningContent cachePoint")
_ANSWERED = frozenset(("input", "output", "response_id", "response_model"))
_CLIENT, _ERROR = 3, 2  # span kind, span status
_FAILED = ("error",)
_BOTOCORE = "opentelemetry.instrumentation.botocore"
_UNCOUNTED = ("cohere.command", "mistral.")


def fits(raw: RawSpan) -> bool:
    """Return whether the span speaks OTel's own conventions."""
    return not raw.attributes.keys().isdisjoint(_MARKERS)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read the attributes; messages and finish reasons may also be in span events."""
    operation = operation_of(told) or unnamed(raw, told)
    if operation is None:
        return None
    reading = reading_of(raw, operation, told)
    return _of_bedrock(raw, reading) if raw.scope_name.startswith(_BOTOCORE) else reading


def _of_bedrock(raw: RawSpan, reading: Reading) -> Reading:
    """Return the reading of a call of AWS' own client: Bedrock counts cached tokens beside the input.

    For models whose bodies have no counts, its instrumentation makes them from lengths of texts.
    """
    method = text(raw.attributes.get("rpc.method")) or ""
    model = reading.facts.request_model or ""
    made = method.startswith("InvokeModel") and any(name in model for name in _UNCOUNTED)
    tokens = reading.facts.tokens._replace(excludes_cached=True, estimated=made)
    streaming = True if "Stream" in method else reading.facts.streaming
    return replace(reading, facts=reading.facts._replace(tokens=tokens, streaming=streaming))


def unnamed(raw: RawSpan, told: Named) -> Operation | None:
    """Return what a span asks for whose operation has no name, as those of 1.26: it has a model."""
    if "kind" in told or "request_model" not in told or not _AGENTS.isdisjoint(raw.attributes):
        return None
    if raw.kind != _CLIENT and _ANSWERED.isdisjoint(told):
        return None
    return None if stands_around(raw.name) else operation_in(raw.name)


def reading_of(raw: RawSpan, operation: Operation, told: Named) -> Reading:
    """Read a span that is known to be a call."""
    details = _details(raw.events) if raw.events else None
    if details:
        told = {**named(details), **told}
    content = _content(raw, details)
    found = _summed(facts(told), raw.attributes)
    finish = _finish(raw, content, details or {})
    return Reading(
        dialect=NAME,
        operation=operation,
        named=told,
        facts=found,
        content=content,
        finish=("length",) if finish == _FAILED and _used_up(raw, found) else finish,
        first_token_s=first_token_s(raw, told),
    )


def _used_up(raw: RawSpan, found: Facts) -> bool:
    """Return whether a call that did not fail used all its tokens.

    OTel's LangChain writes "error" for every answer of Responses that is incomplete.
    """
    limit, used = found.max_tokens, found.tokens.output
    return raw.status != _ERROR and limit is not None and used is not None and used >= limit


def renamed(reading: Reading, dialect: str) -> Reading:
    """Return what was read as the reading of a dialect that speaks these conventions."""
    return replace(reading, dialect=dialect)


def offered_by_another(reading: Reading, framework: str) -> Reading:
    """Return a reading whose provider is who offers the model, not the framework that asked."""
    found = reading.facts
    if found.provider != framework:
        return reading
    model = found.request_model or found.response_model
    return replace(reading, facts=found._replace(provider=offered_by(model) if model else None))


def _details(events: Iterable[RawEvent]) -> dict[str, Any]:
    """Return what the events with all details tell: an event a call, or one for each side."""
    found: dict[str, Any] = {}
    for event in events:
        if event.name == _DETAILS:
            found |= event.attributes
    return found


def _summed(told: Facts, attributes: Attributes) -> Facts:
    """Return the facts; a side that only its parts tell is their sum."""
    tokens = told.tokens
    if tokens.input is None:
        tokens = tokens._replace(input=_sum(attributes, _PARTS_SENT))
    if tokens.output is None:
        tokens = tokens._replace(output=_sum(attributes, _PARTS_SAID))
    return told if tokens is told.tokens else told._replace(tokens=tokens)


def _sum(attributes: Attributes, names: tuple[str, ...]) -> int | None:
    found = [count(attributes[name]) for name in names if name in attributes]
    known = [number for number in found if number is not None]
    return sum(known) if known else None


def _content(raw: RawSpan, details: Attributes | None) -> Content:
    """Return the messages from where this version of the conventions keeps them."""
    found = from_otel(raw.attributes)
    if found.input is not None or found.output is not None or not raw.events:
        return found or _single_texts(raw)
    if details and (told := from_otel(details)):
        return told if told.tools is not None else replace(told, tools=found.tools)
    return _from_events(raw.events, found) or _single_texts(raw)


def _from_events(events: tuple[RawEvent, ...], found: Content) -> Content:
    """Read one event per message (1.28 to 1.36), or one per side (1.26 and 1.27)."""
    sent: list[Message] = []
    received: list[Message] = []
    for event in events:
        if event.name in _ROLES:
            sent.append(_said(_body(event), _ROLES[event.name]))
        elif event.name == _CHOICE:
            _receive(_body(event), received)
        elif event.name == "gen_ai.content.prompt":
            sent += messages(event.attributes.get("gen_ai.prompt"), "user") or []
        elif event.name == "gen_ai.content.completion":
            received += messages(event.attributes.get("gen_ai.completion"), "assistant") or []
    return Content(
        input=sent or None, output=received or None, tools=found.tools, consumed=found.consumed
    )


def _body(event: RawEvent) -> dict[str, Any]:
    """Return the message of an event: its attributes, or the JSON that Azure puts into one."""
    body = from_json(event.attributes.get("gen_ai.event.content"))
    if isinstance(body, dict):
        return body
    return {name: _field(name, value) for name, value in event.attributes.items()}


def _field(name: str, value: Any) -> Any:
    """Return a field of a message; an answer that is JSON stays the text that it was."""
    found = decoded(value)
    return found if name != "content" or not isinstance(value, str) or _are_parts(found) else value


def _are_parts(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(part, dict) and not _PART.isdisjoint(part) for part in found
    )


def _choice(body: dict[str, Any]) -> Message:
    """Return the answer of a choice: its ``message``, an object or plain text, else its parts."""
    answer = body.get("message")
    if isinstance(answer, dict):
        return message({**body, **answer}, "assistant")
    return _said(body if answer is None else {**body, "content": answer}, "assistant")


def _said(body: dict[str, Any], role: str) -> Message:
    """Return a message; Google's kit sends Gemini's own form of one as the content."""
    if not _is_geminis(body):
        return message(body, role)
    made = {**(asked({"contents": [body["content"]]}) or [{}])[0], "role": role}
    reason = body.get("finish_reason")
    return {**made, "finish_reason": reason} if reason else made


def _is_geminis(body: dict[str, Any]) -> bool:
    content = body.get("content")
    return isinstance(content, dict) and isinstance(content.get("parts"), list)


def _receive(body: dict[str, Any], received: list[Message]) -> None:
    """Add an answer; of a streamed one Google's kit writes an event a piece, the last with a reason."""
    said = _choice(body)
    if not _is_geminis(body) or not received or received[-1].get("finish_reason"):
        received.append(said)
        return
    before = received.pop()
    contents = [one["content"] for one in (before, said) if isinstance(one.get("content"), str)]
    listed = [one.get("tool_calls") for one in (before, said)]
    calls = [call for some in listed if isinstance(some, list) for call in some]
    made = {**before, **said, "content": "".join(contents) or None}
    received.append({**made, "tool_calls": calls} if calls else made)


def _single_texts(raw: RawSpan) -> Content:
    """Read ``gen_ai.prompt`` and ``gen_ai.completion``, each one JSON text."""
    names = ("gen_ai.prompt", "gen_ai.completion")
    sent, received = (raw.attributes.get(name) for name in names)
    return Content(
        input=messages(sent, "user"),
        output=messages(received, "assistant"),
        consumed=frozenset(names),
    )


def _finish(raw: RawSpan, content: Content, details: Attributes) -> tuple[str, ...]:
    """Return why the model stopped: from an attribute, else from the answers themselves.

    The one word "error" of OTel's own libraries is a stream that its client closed.
    """
    value = first(raw.attributes, _FINISH)
    found = reasons(first(details, _FINISH) if value is None else value)
    if found and found != ("unknown",):
        return found
    words = [item.get("finish_reason") for item in content.output or ()]
    said = reasons([word for word in words if isinstance(word, str) and word])
    return said or found
