"""MLflow tracing over OTLP, its own names (every value JSON) and its GenAI mode, to a reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from collector.dialects import genai
from collector.dialects.bodies import (
    answered,
    asked,
    at,
    consumed,
    cut_if_incomplete,
    ended,
    id_of,
    model_of,
    response_metadata,
)
from collector.dialects.bodies import is_opaque as says_nothing
from collector.dialects.content import Content, Message, from_otel, tools
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.told import provider, usd
from collector.dialects.usage import filled, thought_in, usage_of, used
from collector.dialects.values import decoded, first, flag, from_json, mapping, text, texts
from collector.raw import RawEvent, RawSpan
from tidegauge.call import Operation

NAME = "mlflow"
SCOPES: tuple[str, ...] = ("mlflow.",)

_TYPE = "mlflow.spanType"
_SCOPE = "mlflow.tracing.provider"
_INPUTS, _OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_USAGE, _COST = "mlflow.chat.tokenUsage", "mlflow.llm.cost"
_TOOLS, _PROMPTS = "mlflow.chat.tools", "mlflow.linkedPrompts"
_PROVIDER = ("mlflow.llm.provider", "mlflow.message.format")
_PROVIDERS = frozenset(["openai", "anthropic", "gemini", "bedrock", "groq", "mistral"])
_PARAMETERS = [
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "stop",
    "n",
    "stream",
    "response_format",
    "text",
]
_INNER = frozenset({"extra_body", "config", "kwargs"})  # of a request: where more parameters may be
_CHUNK = "mlflow.chunk.item."
_VALUE = "mlflow.chunk.value"
_LAST_CHUNKS = 4  # the reason comes in the last chunk, or just before the usage
_ERROR = 2  # span status


def fits(raw: RawSpan) -> bool:
    """Return whether MLflow made the span: it has a type, or stands in MLflow's scope."""
    return _TYPE in raw.attributes or raw.scope_name == _SCOPE


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call; chunks of a stream say what its gathered answer lacks, or gets wrong."""
    operation = operation_of(told)
    if operation is None:
        return None
    request = decoded(raw.attributes.get(_INPUTS))
    answer = _answer(raw, operation)
    last = _last_chunks(raw.events)
    found = _facts(raw, told, _request(raw, request), [answer, *map(_whole, last)])
    read = Reading(
        dialect=NAME,
        operation=operation,
        named=_named(raw, told),
        facts=found,
        content=_content(raw, operation, request, answer),
        finish=_ended_stream(last) or ended(answer) or _ended_messages(answer),
        first_token_s=first_token_s(raw, told) if not last else _first_chunk_s(raw, told),
    )
    return read if _TYPE in raw.attributes else _with_genai(raw, told, read)


def _with_genai(raw: RawSpan, told: Named, read: Reading) -> Reading:
    """Add what MLflow's GenAI mode writes under OTel's names."""
    other = genai.reading_of(raw, read.operation, told)
    content = read.content if read.content else other.content
    return replace(read, content=content, finish=read.finish or _said(raw, content.output or []))


def _said(raw: RawSpan, output: list[Message]) -> tuple[str, ...]:
    """Return why the model stopped: words of the span or of its answers, or a mere status."""
    words = first(raw.attributes, ("gen_ai.response.finish_reasons",))
    words = words or [item["finish_reason"] for item in output if item.get("finish_reason")]
    if list(texts(words)) == ["completed"] and any(item.get("tool_calls") for item in output):
        return ("tool_call",)
    return reasons(cut_if_incomplete(words))


def _answer(raw: RawSpan, operation: Operation) -> Any:
    """Return what the model answered; of embeddings the usage is enough: the vectors are long."""
    sent = raw.attributes.get(_OUTPUTS)
    if sent is None or says_nothing(sent):
        return None
    if operation is Operation.EMBEDDINGS and isinstance(sent, str):
        at_usage = sent.rfind('"usage"')
        short = from_json("{" + sent[at_usage:]) if at_usage > 0 else None
        if isinstance(short, dict):
            return short
    return decoded(sent)


def _request(raw: RawSpan, request: Any) -> Mapping[str, Any]:
    """Return the parameters: bare attributes, and the request itself."""
    attributes = raw.attributes
    inputs = request if isinstance(request, dict) else {}
    if "model" in inputs and _INNER.isdisjoint(inputs):
        return inputs  # which says all that the bare attributes say
    bare = {name: decoded(attributes[name]) for name in _PARAMETERS if name in attributes}
    listed = mapping(attributes["invocation_params"]) if "invocation_params" in attributes else {}
    inner = next((inputs[name] for name in _INNER if name in inputs), None)
    return {**listed, **(inner if isinstance(inner, dict) else {}), **inputs, **bare}


def _facts(raw: RawSpan, told: Named, request: Mapping[str, Any], bodies: list[Any]) -> Facts:
    """Read names and numbers; the request names the model that was asked for, in both modes."""
    found = facts(told, request)
    known = [body for body in bodies if isinstance(body, dict)]
    responses = [_response(body) for body in known]
    asked_for = text(request.get("model")) or found.request_model
    return found._replace(
        provider=found.provider or _provider(raw),
        request_model=asked_for,
        response_model=_of(map(model_of, responses)) or _answered(raw, told, asked_for),
        response_id=found.response_id or _of(map(id_of, responses)),
        tokens=_tokens(raw, found.tokens, known),
        streaming=found.streaming or flag(request.get("stream")) or _is_streamed(raw) or None,
        service_tier=found.service_tier or _of(text(body.get("service_tier")) for body in known),
        app_cost_usd=found.app_cost_usd or _cost(raw),
        max_tokens=found.max_tokens or _limit(request),
    )


def _of(values: Iterable[str | None]) -> str | None:
    for value in values:
        if value:
            return value
    return None


def _limit(request: Mapping[str, Any]) -> int | None:
    """Return the limit that Gemini's configuration names."""
    limit = request.get("maxOutputTokens")
    return limit if isinstance(limit, int) and limit > 0 else None


def _answered(raw: RawSpan, told: Named, asked_for: str | None) -> str | None:
    """Return the model that MLflow names, unless there was no answer and it is the one asked for."""
    named: str | None = told.get("response_model") or told.get("request_model")  # GenAI mode
    if named == asked_for and (raw.status == _ERROR or says_nothing(raw.attributes.get(_OUTPUTS))):
        return None
    return named


def _response(body: dict[str, Any]) -> dict[str, Any]:
    """Return what holds the model and the id: the body, or what LangChain keeps of it."""
    generation = at(body, "generations", 0) if "generations" in body else None
    if generation is None:
        return body
    found = response_metadata(at(generation, 0) if isinstance(generation, list) else generation)
    return {**found, "model": found.get("model_name") or found.get("model")}


def _provider(raw: RawSpan) -> str | None:
    name = text(first(raw.attributes, _PROVIDER))
    return provider(name) if name and name.lower() in _PROVIDERS else None


def _cost(raw: RawSpan) -> Any:
    if _COST not in raw.attributes:
        return None
    cost = mapping(raw.attributes[_COST])
    return usd(cost.get("total_cost", cost.get("total")))


def _tokens(raw: RawSpan, told: Tokens, bodies: list[dict[str, Any]]) -> Tokens:
    """Read MLflow's counts, in which cached tokens are included; bodies tell what it leaves out."""
    found = told
    if _USAGE in raw.attributes:
        found = filled(found, used(mapping(raw.attributes[_USAGE])))._replace(excludes_cached=False)
    if found.input is None:
        for body in bodies:
            if (own := usage_of(body)).input is not None:
                return filled(found, own)._replace(excludes_cached=own.excludes_cached)
        return found
    if found.reasoning is None and bodies:
        return found._replace(reasoning=next(filter(None, map(thought_in, bodies)), None))
    return found


def _named(raw: RawSpan, told: Named) -> Named:
    """Return the facts, with the prompt of MLflow's registry that was linked to the call."""
    if _PROMPTS not in raw.attributes:
        return told
    linked = decoded(raw.attributes[_PROMPTS])
    linked = decoded(linked) if isinstance(linked, str) else linked
    name, version = text(at(linked, 0, "name")), text(at(linked, 0, "version"))
    return {
        **told,
        **({"prompt_name": name} if name else {}),
        **({"prompt_version": version} if version else {}),
    }


def _content(raw: RawSpan, operation: Operation, request: Any, answer: Any) -> Content:
    otel = from_otel(raw.attributes)
    definitions = raw.attributes.get(_TOOLS) or at(request, "tools")
    sent, received = asked(request), answered(answer)
    gone = () if operation is Operation.EMBEDDINGS else received  # vectors: nobody reads them
    return Content(
        input=sent if sent is not None else otel.input,
        output=received if received is not None else otel.output,
        tools=tools(definitions) if definitions else otel.tools,
        consumed=otel.consumed | consumed(_INPUTS, sent, _OUTPUTS, gone),
    )


def _ended_messages(answer: Any) -> tuple[str, ...]:
    """Return the reasons that LangChain keeps with the messages of an answer."""
    if answer is None:
        return ()
    said = answer if isinstance(answer, list) else [answer]
    return tuple(word for item in said for word in ended(at(item, "response_metadata")))


def _is_streamed(raw: RawSpan) -> bool:
    return bool(raw.events) and any(event.name.startswith(_CHUNK) for event in raw.events)


def _first_chunk_s(raw: RawSpan, told: Named) -> float | None:
    names = (event.name for event in raw.events)
    return first_token_s(raw, told, frozenset({next(n for n in names if n.startswith(_CHUNK))}))


def _last_chunks(events: tuple[RawEvent, ...]) -> list[dict[str, Any]]:
    """Return the last chunks of a stream, the last one first."""
    if not events:
        return []
    chunks = [event for event in events if event.name.startswith(_CHUNK)]
    return [
        found
        for event in reversed(chunks[-_LAST_CHUNKS:])
        if isinstance(found := from_json(event.attributes.get(_VALUE)), dict)
    ]


def _whole(chunk: dict[str, Any]) -> Any:
    """Return the response in a chunk: Responses and Anthropic send it inside of an event."""
    return chunk.get("response") or chunk.get("message") or chunk


def _ended_stream(chunks: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return why a stream ended, by its own chunks: MLflow's gathered answer always says stop."""
    if not chunks:
        return ()
    by_choice: dict[Any, str] = {}
    for chunk in chunks:
        reason = at(chunk, "delta", "stop_reason")
        if isinstance(reason, str):
            return reasons(reason)
        if isinstance(chunk.get("response"), dict):
            return ended(chunk["response"])
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            word = at(choice, "finish_reason")
            if isinstance(word, str) and word:
                by_choice.setdefault(str(at(choice, "index")), word)
    return reasons([by_choice[index] for index in sorted(by_choice)])
