"""OpenLLMetry (Traceloop) attributes, indexed (before 0.54) and current, to a reading."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from collector.dialects.content import Content, Message, from_otel, message
from collector.dialects.facts import Facts, facts
from collector.dialects.finish import reasons
from collector.dialects.genai import unnamed
from collector.dialects.names import TABLE, Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.values import Attributes, first, from_json, unflattened
from collector.dialects.wording import stands_around
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "openllmetry"
_OWN = """
    openai.v anthropic langchain bedrock crewai llamaindex google_generativeai groq mistralai ollama
    cohere together watsonx replicate writer voyageai haystack alephalpha openai_agents sagemaker
    transformers
"""
SCOPES: tuple[str, ...] = (
    *(f"opentelemetry.instrumentation.{name}" for name in _OWN.split()),
    "traceloop.",
    "@traceloop/",
)

_KIND, _OPERATION = "traceloop.span.kind", "gen_ai.operation.name"
_STEPS = ("workflow", "task")
_MARKERS = (
    _KIND,
    "traceloop.workflow.name",
    "traceloop.entity.path",
    "gen_ai.is_streaming",
    "llm.request.type",
)
_FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "gen_ai.response.stop_reason",
    "llm.response.finish_reason",
    "llm.response.stop_reason",
)
_CUT_OFF = ("content_filter",)
_FILTERED = "FILTERED"  # stands in the place of an answer that a content filter ended
_CHUNKS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})
_GOOGLE = ("google_generativeai", "vertexai")
# Up to this version it adds to the output of a stream what its first event counts: 1 in most.
_START_ADDED = (0, 62)
_MODEL = "gen_ai.response.model"
_OUTPUTS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_PROMPT, _COMPLETION, _FUNCTIONS = "gen_ai.prompt.", "gen_ai.completion.", "llm.request.functions."


def fits(raw: RawSpan) -> bool:
    """Return whether one of Traceloop's instrumentations wrote the span."""
    return _is_own(raw.scope_name) or not raw.attributes.keys().isdisjoint(_MARKERS)


@lru_cache(maxsize=1_000)
def _is_own(scope: str) -> bool:
    return scope.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read the attributes; the first chunk is known by the time of its event."""
    operation = operation_of(told) or _of_library(raw, told)
    if operation is None:
        return None
    content = from_otel(raw.attributes) or _indexed(raw)
    return Reading(
        dialect=NAME,
        operation=operation,
        named=told,
        facts=_facts(raw, told),
        content=content,
        finish=_finish(raw, content),
        first_token_s=first_token_s(raw, told, _CHUNKS),
    )


def _of_library(raw: RawSpan, told: Named) -> Operation | None:
    """Return what a span of one of its own libraries asks for, where no marker says that it is a call.

    Those of OpenAI's Responses had none until 0.54; LlamaIndex's embeddings are "workflows".
    """
    if "request_model" not in told or not _is_own(raw.scope_name):
        return None
    if "kind" not in told:
        return unnamed(raw, told)
    kind, name = raw.attributes.get(_KIND), raw.attributes.get(_OPERATION)
    if name is None or kind not in _STEPS or stands_around(raw.name.rpartition(".")[0]):
        return None
    found = TABLE[_OPERATION].read(name)
    return found.operation if found else None


def _facts(raw: RawSpan, told: Named) -> Facts:
    found = facts(told)
    library = raw.scope_name.rpartition(".")[2]
    if library == "anthropic":
        return _of_anthropic(raw, found)
    if library in _GOOGLE:
        return found._replace(tokens=_with_thoughts(found.tokens))
    if library == "bedrock" or (library == "llamaindex" and found.provider == "anthropic"):
        return found._replace(tokens=found.tokens._replace(excludes_cached=True))
    return found


def _of_anthropic(raw: RawSpan, found: Facts) -> Facts:
    """Return the facts; of a stream the output is too high, by what its first event counts."""
    if _version(raw.scope_version) > _START_ADDED:
        return found
    if not (found.streaming or (found.streaming is None and _was_streamed(raw.attributes))):
        return found
    return found._replace(streaming=True, tokens=_without_start(found.tokens))


def _with_thoughts(sent: Tokens) -> Tokens:
    """Return the counts with what a Gemini thought, which only the total includes."""
    if sent.total is None or sent.input is None or sent.output is None or sent.reasoning:
        return sent
    thought = sent.total - sent.input - sent.output
    if thought <= 0:
        return sent
    output = sent.output + thought
    return sent._replace(output=output, reasoning=thought, rule="total_includes_reasoning")


def _was_streamed(attributes: Attributes) -> bool:
    """Return whether an answer came as a stream, which nothing says of ``messages.stream()``.

    Of a stream the counts are written before the model, of a whole answer after it.
    """
    ends = next((name for name in attributes if name == _MODEL or name in _OUTPUTS), _MODEL)
    return ends != _MODEL


def _without_start(sent: Tokens) -> Tokens:
    if not sent.output:
        return sent
    total = sent.total - 1 if sent.total else sent.total
    return sent._replace(output=sent.output - 1, total=total, rule="stream_start_added")


@lru_cache(maxsize=100)
def _version(written: str) -> tuple[int, ...]:
    """Return the first two numbers of a version; none where it has none."""
    return tuple(int(part) for part in written.split(".")[:2] if part.isdecimal())


def _indexed(raw: RawSpan) -> Content:
    """Read ``gen_ai.prompt.0.content`` and the like."""
    sent = unflattened(raw.attributes, _PROMPT)
    received = unflattened(raw.attributes, _COMPLETION)
    functions = unflattened(raw.attributes, _FUNCTIONS)
    if not (sent or received or functions):
        return Content()
    return Content(
        input=[_message(item, "user") for item in sent] or None,
        output=[_answer(item) for item in received] or None,
        tools=[_function(item) for item in functions] or None,
        consumed=frozenset(filter(_is_content, raw.attributes)),
    )


def _is_content(key: str) -> bool:
    for prefix in (_PROMPT, _COMPLETION):
        if key.startswith(prefix):
            return key[len(prefix) : len(prefix) + 1].isdigit()
    return False


def _message(item: Any, role: str) -> Message:
    """Return one message; content of several parts comes as JSON text."""
    if isinstance(item, dict) and str(item.get("content"))[:2] == "[{":
        parts = from_json(item["content"])
        item = {**item, "content": item["content"] if parts is None else parts}
    return message(item, role)


def _answer(item: Any) -> Message:
    made = _message(item, "assistant")
    if made.get("content") == _FILTERED and reasons(made.get("finish_reason")) == _CUT_OFF:
        made["content"] = None
    return made


def _function(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {name: from_json(value) or value for name, value in item.items()}


def _finish(raw: RawSpan, content: Content) -> tuple[str, ...]:
    """Return why the model stopped; empty words in the answers say nothing."""
    found = reasons(first(raw.attributes, _FINISH))
    if set(found) - {"unknown"}:
        return found
    words = [item.get("finish_reason") for item in content.output or ()]
    return reasons([word for word in words if isinstance(word, str) and word]) or found
