"""OpenInference (Phoenix, Arize) attributes to a reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from collector.dialects import bodies
from collector.dialects.content import Content, from_otel, tools
from collector.dialects.errors import cut_by
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.flattened import messages
from collector.dialects.model_names import bare, offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.parameters import plain
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.told import name_or_id
from collector.dialects.usage import filled, usage_of, used
from collector.dialects.values import decoded, first, flag, mapping, text, unflattened
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "openinference"
SCOPES: tuple[str, ...] = ("openinference.", "@arizeai/openinference")

_KIND = "openinference.span.kind"
_PARAMETERS = ("llm.invocation_parameters", "embedding.invocation_parameters")
_FINISH = ("gen_ai.response.finish_reasons", "llm.finish_reason", "anthropic.message.stop_reason")
_FIRST_TOKEN = frozenset({"First Token Stream Event"})
_SENT, _RECEIVED = "llm.input_messages.", "llm.output_messages."
_TOOLS, _TEXTS = "llm.tools.", "embedding.embeddings."
_LISTS = (_SENT, _RECEIVED, _TEXTS, _TOOLS)
_BY_START = {prefix[:5]: prefix for prefix in _LISTS}
_INPUT, _OUTPUT = "input.value", "output.value"
_EMBEDDER = "embedding.model_name"
_WHOLE_INPUT = frozenset((_INPUT, "input.mime_type"))
_WHOLE_OUTPUT = frozenset((_OUTPUT, "output.mime_type"))
_ERROR = 2  # span status
_NO_MODEL = "unknown"

_PYTHON = "openinference.instrumentation."
_LLAMA_INDEX, _AGENTS = _PYTHON + "llama_index", _PYTHON + "openai_agents"
# These write what was asked for into ``llm.model_name``, and none of the provider's own JSON.
_ASKED_ONLY = (
    _LLAMA_INDEX,
    _PYTHON + "dspy",
    _PYTHON + "agno",
    _PYTHON + "smolagents",
    _PYTHON + "litellm",
    _PYTHON + "bedrock",
    _PYTHON + "crewai",
    _PYTHON + "vertexai",
    _PYTHON + "google_adk",
)
_PROVIDERS_OWN = '{"id":'  # how an answer that was passed on as it is begins
_LLAMA_INDEX_OUTPUT = 256  # its default, which is not sent
_VECTORS_CHARS = 4_096  # of an answer with embeddings that is parsed; of a longer one, the end
_LONG_CHARS = 16_384  # of an answer that is parsed only for what no attribute tells
_ID_AT_THE_START = re.compile(r'\{"id": ?"([^"]{1,200})"')
_MODEL_AT_THE_END = re.compile(r'"model": ?"([^"]{1,200})"')

Attributes = Mapping[str, Any]


def fits(raw: RawSpan) -> bool:
    """Return whether the span names its OpenInference kind."""
    return _KIND in raw.attributes


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read the attributes; the provider's whole answer in ``output.value`` fills what they lack."""
    operation = operation_of(told)
    if operation is None or _asks_none(raw, told):
        return None
    return reading_of(raw, told, operation)


def reading_of(raw: RawSpan, told: Named, operation: Operation, dialect: str = NAME) -> Reading:
    """Read a span that is known to be a call, also for the dialects that build on this one."""
    answer = _answer(raw, told, operation)
    asked = _asked(raw)
    content = from_otel(raw.attributes) or _content(raw, operation)
    return Reading(
        dialect=dialect,
        operation=operation,
        named=_with_session(raw, told),
        facts=_facts(raw, told, asked, answer),
        content=content,
        finish=_finish(raw, answer),
        first_token_s=first_token_s(raw, told, _FIRST_TOKEN),
    )


def _asks_none(raw: RawSpan, told: Named) -> bool:
    """Return whether a span of LlamaIndex, which says that it asks a model, asks none.

    ``_prepare_chat_with_tools`` returns the arguments of the call that follows; the embeddings of
    a model that is called "unknown" are made up in the process, as those of MockEmbedding.
    """
    if not raw.scope_name.startswith(_LLAMA_INDEX) or raw.status == _ERROR:
        return False
    if "input" in told or "output" in told or first(raw.attributes, _FINISH):
        return False
    value = raw.attributes.get(_OUTPUT)
    returned = isinstance(value, str) and value.startswith('{"messages"')
    return returned or "._prepare" in raw.name or told.get("request_model") == _NO_MODEL


_UNTOLD = Tokens()


class _Answer(NamedTuple):
    """What the provider's own JSON tells."""

    model: str | None = None
    id: str | None = None
    tokens: Tokens = _UNTOLD
    finish: tuple[str, ...] = ()
    streamed: bool | None = None
    service_tier: str | None = None


_NOTHING = _Answer()


def _answer(raw: RawSpan, told: Named, operation: Operation) -> _Answer:
    """Read ``output.value``, where it can tell what the attributes do not."""
    value = raw.attributes.get(_OUTPUT)
    if not isinstance(value, str) or value[:1] != "{":
        return _NOTHING
    if operation is Operation.EMBEDDINGS and len(value) > _VECTORS_CHARS:
        found = _MODEL_AT_THE_END.search(value, len(value) - 400)
        return _Answer(model=found[1] if found else None)
    if (
        raw.scope_name.startswith(_ASKED_ONLY)
        and not value.startswith(_PROVIDERS_OWN)
        and "input" in told
        and first(raw.attributes, _FINISH)
    ):
        return _NOTHING
    if len(value) > _LONG_CHARS and _tells_the_rest(raw, told):
        known = _ID_AT_THE_START.match(value)
        return _Answer(id=known[1]) if known else _NOTHING
    body = mapping(value)
    if "generations" in body:
        return _of_langchain(body, counted="input" in told)
    return _of_provider(body, _UNTOLD if "input" in told else usage_of(body))


def _tells_the_rest(raw: RawSpan, told: Named) -> bool:
    """Return whether the attributes of a span hold all that its answer can tell but the id."""
    single = f"{_RECEIVED}1.message.role" not in raw.attributes
    return single and "input" in told and first(raw.attributes, _FINISH) is not None


def _of_provider(body: dict[str, Any], tokens: Tokens) -> _Answer:
    return _Answer(
        model=text(body.get("model")) or bodies.model_of(body),
        id=bodies.id_of(body),
        tokens=tokens,
        finish=bodies.ended(body),
        streamed=_came_as_events(body) or None,
        service_tier=text(body.get("service_tier")),
    )


def _came_as_events(body: dict[str, Any]) -> bool:
    """Return whether Google's SDK, which keeps the headers of the response, streamed it."""
    kind = bodies.at(body, "sdk_http_response", "headers", "content-type")
    return isinstance(kind, str) and kind.startswith("text/event-stream")


def _of_langchain(body: dict[str, Any], *, counted: bool) -> _Answer:
    """Read a dump of LangChain's result, whose message keeps the provider's metadata."""
    generation = bodies.at(body, "generations", 0, 0)
    told = bodies.response_metadata(generation)
    info = bodies.at(generation, "generation_info")
    said = bodies.at(generation, "message", "kwargs")
    overall = bodies.at(body, "llm_output")
    return _Answer(
        model=bodies.model_of(told) or bodies.model_of(info) or bodies.model_of(overall),
        id=_provider_id(told, overall, said),
        tokens=_UNTOLD if counted else used(bodies.at(said, "usage_metadata")),
        finish=bodies.ended(body),
        streamed=_is_chunk(generation) or None,
        service_tier=text(told.get("service_tier")),
    )


def _provider_id(*told: Any) -> str | None:
    """Return the provider's id; LangChain's own begins with "run-" and means nothing to others."""
    ids = [bodies.id_of(one) for one in told]
    return next((one for one in ids if one and not one.startswith(("run-", "lc_run-"))), None)


def _is_chunk(generation: Any) -> bool:
    """Return whether an answer was put together from chunks: LangChain denies that it streams."""
    kind = bodies.at(generation, "type")
    return isinstance(kind, str) and kind.endswith("Chunk")


def _facts(raw: RawSpan, told: Named, asked: Attributes, answer: _Answer) -> Facts:
    """Read names and numbers.

    ``llm.model_name`` is the model that answered where there was an answer, else the one asked for.
    LangChain says ``stream: false`` while it streams: only a true is evidence.
    """
    found = facts(told, asked)
    model = text(raw.attributes.get("llm.model_name"))
    embedder = text(raw.attributes.get(_EMBEDDER))  # the one that answered, where both are told
    request = text(asked.get("model")) if embedder else None
    if embedder and request and bare(request) != embedder:
        found = found._replace(response_model=found.response_model or embedder)
    request = request or found.request_model or _asked_in_input(raw) or model
    tier = found.service_tier or answer.service_tier
    return found._replace(
        provider=found.provider or (offered_by(request or model) if request or model else None),
        request_model=bare(request) if request and request != _NO_MODEL else None,
        response_model=found.response_model or answer.model or _answered(raw, model, found),
        response_id=found.response_id or answer.id,
        tokens=_tokens(found.tokens, answer.tokens),
        streaming=found.streaming or flag(asked.get("stream")) or answer.streamed,
        service_tier=tier,
    )


def _tokens(told: Tokens, found: Tokens) -> Tokens:
    """Return the counts; what a provider leaves out matters only where its own were taken."""
    if found is _UNTOLD:
        return told
    return found if told.input is None and told.output is None else filled(told, found)


def _answered(raw: RawSpan, model: str | None, found: Facts) -> str | None:
    """Return ``llm.model_name`` where it is the model that answered, by what its library does."""
    if raw.status == _ERROR or not _has_answer(raw) or raw.scope_name.startswith(_ASKED_ONLY):
        return None
    is_request = model == found.request_model and "langchain" in raw.scope_name
    return None if is_request or raw.scope_name.startswith(_AGENTS) else model


def _has_answer(raw: RawSpan) -> bool:
    return _OUTPUT in raw.attributes or f"{_RECEIVED}0.message.role" in raw.attributes


def _asked_in_input(raw: RawSpan) -> str | None:
    """Return the model in ``input.value``: google-genai names it nowhere else once it answered."""
    value = raw.attributes.get(_INPUT)
    if raw.scope_name.startswith(_ASKED_ONLY) or not isinstance(value, str):
        return None
    if value[:1] != "{" or '"model"' not in value:
        return None
    body = mapping(value)
    found = text(body.get("model")) or text(bodies.at(body, "_url", "model"))
    return found.rpartition("models/")[2] if found else None


def _asked(raw: RawSpan) -> Attributes:
    """Return the parameters of the request, under OpenAI's names."""
    asked = plain(mapping(first(raw.attributes, _PARAMETERS)))
    limit = asked.get("num_output") if raw.scope_name.startswith(_LLAMA_INDEX) else None
    if limit is None or limit == _LLAMA_INDEX_OUTPUT or "max_tokens" in asked:
        return asked
    return {**asked, "max_tokens": limit}


def _with_session(raw: RawSpan, told: Named) -> Named:
    """Return the facts with the session in ``metadata``, where LangGraph keeps its thread."""
    value = raw.attributes.get("metadata")
    if "session_id" in told or not isinstance(value, str) or '_id"' not in value:
        return told
    found = first(mapping(value), ("session_id", "thread_id"))
    session = name_or_id(found)
    return {**told, "session_id": session} if session else told


def _content(raw: RawSpan, operation: Operation) -> Content:
    """Return the messages, put together from their flattened form in one pass."""
    lists = _lists(raw.attributes)
    sent = messages(lists[_SENT], _SENT, "user")
    received = messages(lists[_RECEIVED], _RECEIVED, "assistant")
    if lists[_TEXTS]:
        embedded = unflattened(lists[_TEXTS], _TEXTS)
        texts = [bodies.at(item, "embedding", "text") for item in embedded]
        sent += [{"role": "user", "content": found} for found in texts if found is not None]
    if not sent and not received:
        return _whole_values(raw, operation)
    answered = bool(received) or operation is Operation.EMBEDDINGS  # vectors say nothing to anybody
    return Content(
        input=sent or None,
        output=received or None,
        tools=_tools(raw, lists[_TOOLS]),
        consumed=_whole(sent, answered).union(lists[_SENT], lists[_RECEIVED], lists[_TEXTS]),
    )


def _lists(attributes: Attributes) -> dict[str, dict[str, Any]]:
    """Return the keys of each flattened list, by its prefix, with their values."""
    keys = tuple(attributes)
    found = _known_keys(keys) if len(keys) <= _KEYS else _listed_keys(keys)
    return {prefix: {key: attributes[key] for key in listed} for prefix, listed in found}


def _listed_keys(keys: tuple[str, ...]) -> tuple[tuple[str, list[str]], ...]:
    lists: dict[str, list[str]] = {prefix: [] for prefix in _LISTS}
    for key in keys:
        if key.startswith(_LISTS):
            lists[_BY_START[key[:5]]].append(key)
    return tuple(lists.items())


_KEYS = 200  # from which on they are not remembered: they would not be used again
_known_keys = lru_cache(maxsize=1_000)(_listed_keys)


def _tools(raw: RawSpan, listed: dict[str, Any]) -> list[Any] | None:
    """Return the tools: one attribute each, or all as one JSON text, as CrewAI sends them."""
    if not listed:
        return tools(raw.attributes.get("llm.tools"))
    definitions = [bodies.at(item, "tool", "json_schema") for item in unflattened(listed, _TOOLS)]
    return tools(definitions)


def _whole(sent: Any, received: Any) -> frozenset[str]:
    """Return the whole values that say again what was read; of a side not read they are all."""
    nothing: frozenset[str] = frozenset()
    return (_WHOLE_INPUT if sent else nothing) | (_WHOLE_OUTPUT if received else nothing)


def _whole_values(raw: RawSpan, operation: Operation) -> Content:
    """Take ``input.value`` and ``output.value`` as they are: all that some frameworks send."""
    sent, received = (raw.attributes.get(name) for name in (_INPUT, _OUTPUT))
    asked = bodies.asked(decoded(sent))
    is_vector = operation is Operation.EMBEDDINGS
    answered = None if is_vector else bodies.answered(decoded(received))
    return Content(input=asked, output=answered, consumed=_whole(asked, answered or is_vector))


def _finish(raw: RawSpan, answer: _Answer) -> tuple[str, ...]:
    """Return why the model stopped, one reason per choice.

    ``llm.finish_reason`` is one word even for several choices, so the whole answer comes first.
    The Agents SDK of OpenAI raises an error where an answer of Responses was cut.
    """
    if answer.finish:
        return answer.finish
    if raw.status == _ERROR and (why := cut_by(raw.status_message[:1_000])):
        return reasons(why)
    told = first(raw.attributes, _FINISH)
    return reasons(bodies.cut_if_incomplete(told)) if told is not None else ()
