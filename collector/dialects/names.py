"""Every flat name that a dialect gives a fact, in one table: read in one pass over a span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from collector.dialects.told import as_it_is, milliseconds, name_or_id, provider, usd, version
from collector.dialects.values import Attributes, count, flag, number, text
from tidegauge.call import Operation

Named = Mapping[str, Any]  # fact: its value, read; a fact that a span does not tell is not there
Reader = Callable[[Any], Any]  # returns None for a value that says nothing


class Name(NamedTuple):
    """What one attribute tells: a fact, and its place among the names of that fact."""

    fact: str
    rank: int
    read: Reader


class Kind(NamedTuple):
    """What a marker says of a span: the operation of a call, or that it is none."""

    operation: Operation | None


_NO_CALL = Kind(None)


def _kind(operations: Mapping[str, Operation]) -> Reader:
    kinds = {word: Kind(operation) for word, operation in operations.items()}

    def read(value: Any) -> Kind | None:
        word = text(value)
        return None if word is None else kinds.get(word.rsplit(".", 1)[-1], _NO_CALL)

    return read


_CHAT, _EMBEDDINGS, _RERANK = Operation.CHAT, Operation.EMBEDDINGS, Operation.RERANK
_COMPLETION, _GENERATE = Operation.TEXT_COMPLETION, Operation.GENERATE_CONTENT

# Is a span a model call? The first marker that is present decides, whatever the others say.
# LangSmith stands before OTel's name: it writes "chat" on prompt templates, too.
_KINDS: tuple[tuple[str, Mapping[str, Operation]], ...] = (
    ("openinference.span.kind", {"LLM": _CHAT, "EMBEDDING": _EMBEDDINGS, "RERANKER": _RERANK}),
    ("langfuse.observation.type", {"generation": _CHAT, "embedding": _EMBEDDINGS}),
    ("langsmith.span.kind", {"llm": _CHAT, "embedding": _EMBEDDINGS}),
    (
        "mlflow.spanType",
        {"CHAT_MODEL": _CHAT, "LLM": _CHAT, "EMBEDDING": _EMBEDDINGS, "RERANKER": _RERANK},
    ),
    (
        "ai.operationId",
        {"doGenerate": _CHAT, "doStream": _CHAT, "doEmbed": _EMBEDDINGS, "doRerank": _RERANK},
    ),
    ("traceloop.span.kind", {}),
    (
        "gen_ai.operation.name",
        {
            "chat": _CHAT,
            "completion": _CHAT,  # LiteLLM's word for a chat
            "acompletion": _CHAT,
            "responses": _CHAT,
            "converse": _CHAT,
            "converse_stream": _CHAT,
            "completions": _CHAT,  # Semantic Kernel for .NET: chat.completions
            "chat_completion": _CHAT,
            "chat_completions": _CHAT,
            "text_completion": _COMPLETION,
            "text_completions": _COMPLETION,  # Semantic Kernel
            "generate_content": _GENERATE,
            "generate_content_stream": _GENERATE,
            "embed_content": _EMBEDDINGS,
            "embeddings": _EMBEDDINGS,
            "embedding": _EMBEDDINGS,
            "embed": _EMBEDDINGS,
            "rerank": _RERANK,
            "reranking": _RERANK,
        },
    ),
    (
        "llm.request.type",
        {
            "chat": _CHAT,
            "completion": _COMPLETION,
            "embedding": _EMBEDDINGS,
            "rerank": _RERANK,
        },
    ),
)

# fact: how it is read, and its names, the one to be believed first.
FACTS: Mapping[str, tuple[Reader, str]] = {
    "provider": (
        provider,
        """
        gen_ai.provider.name gen_ai.system llm.provider llm.system ai.model.provider
        mlflow.llm.provider
        langsmith.metadata.ls_provider
        """,
    ),
    "request_model": (
        text,
        """
        gen_ai.request.model llm.request.model_name ai.model.id embedding.model_name
        langsmith.metadata.ls_model_name
        """,
    ),
    "response_model": (
        text,
        "gen_ai.response.model llm.response.model_name ai.response.model mlflow.llm.model",
    ),
    "response_id": (text, "gen_ai.response.id ai.response.id llm.response.id"),
    "input": (
        count,
        """
        gen_ai.usage.input_tokens gen_ai.usage.prompt_tokens llm.token_count.prompt
        ai.usage.inputTokens ai.usage.promptTokens ai.usage.tokens llm.usage.prompt_tokens
        gen_ai.response.prompt_tokens
        """,
    ),
    "output": (
        count,
        """
        gen_ai.usage.output_tokens gen_ai.usage.completion_tokens llm.token_count.completion
        ai.usage.outputTokens ai.usage.completionTokens llm.usage.completion_tokens
        gen_ai.response.completion_tokens
        """,
    ),
    "cache_read": (
        count,
        """
        gen_ai.usage.cache_read.input_tokens gen_ai.usage.cache_read_input_tokens
        llm.token_count.prompt_details.cache_read ai.usage.inputTokenDetails.cacheReadTokens
        ai.usage.cachedInputTokens gen_ai.usage.details.cache_read_tokens
        gen_ai.usage.details.cached_tokens gen_ai.usage.details.cached_content_tokens
        gen_ai.usage.experimental.cached_tokens
        """,
    ),
    "cache_write": (
        count,
        """
        gen_ai.usage.cache_write.input_tokens gen_ai.usage.cache_creation.input_tokens
        gen_ai.usage.cache_creation_input_tokens llm.token_count.prompt_details.cache_write
        ai.usage.inputTokenDetails.cacheWriteTokens gen_ai.usage.details.cache_write_tokens
        gen_ai.usage.cache_write_input_tokens
        """,
    ),
    "reasoning": (
        count,
        """
        gen_ai.usage.reasoning.output_tokens gen_ai.usage.reasoning_tokens
        llm.usage.reasoning_tokens llm.token_count.completion_details.reasoning
        ai.usage.outputTokenDetails.reasoningTokens ai.usage.reasoningTokens
        gen_ai.usage.details.reasoning_tokens gen_ai.usage.details.thoughts_tokens
        gen_ai.usage.experimental.reasoning_tokens
        """,
    ),
    "total": (
        count,
        """
        gen_ai.usage.total_tokens llm.usage.total_tokens llm.token_count.total
        ai.usage.totalTokens
        """,
    ),
    "app_cost_usd": (
        usd,
        """
        gen_ai.usage.cost gen_ai.cost.total_cost litellm.cost.total llm.cost.total
        operation.cost
        """,
    ),
    "temperature": (
        number,
        """
        gen_ai.request.temperature llm.temperature ai.settings.temperature
        langsmith.metadata.ls_temperature
        """,
    ),
    "top_p": (number, "gen_ai.request.top_p llm.top_p ai.settings.topP"),
    "max_tokens": (
        count,
        """
        gen_ai.request.max_tokens gen_ai.request.max_completion_tokens
        ai.settings.maxOutputTokens ai.settings.maxTokens langsmith.metadata.ls_max_tokens
        """,
    ),
    "stop": (
        as_it_is,
        """
        gen_ai.request.stop_sequences llm.chat.stop_sequences ai.settings.stopSequences
        langsmith.metadata.ls_stop
        """,
    ),
    "choices": (count, "gen_ai.request.choice.count gen_ai.request.n"),
    "output_type": (text, "gen_ai.output.type gen_ai.openai.request.response_format"),
    "schema": (as_it_is, "gen_ai.request.structured_output_schema ai.schema"),
    "service_tier": (
        text,
        """
        openai.response.service_tier gen_ai.openai.response.service_tier
        openai.request.service_tier gen_ai.openai.request.service_tier
        anthropic.response.service_tier
        """,
    ),
    "resent": (count, "http.request.resend_count retry_attempts"),  # the second: AWS' client
    "streaming": (
        flag,
        """
        gen_ai.request.stream gen_ai.is_streaming llm.is_streaming litellm.request.streaming
        langsmith.request.streaming gen_ai.request.is_stream
        """,
    ),
    "first_token_s": (
        number,
        """
        gen_ai.response.time_to_first_chunk gen_ai.client.operation.time_to_first_chunk
        gen_ai.latency.time_to_first_token
        """,
    ),
    "first_token_ms": (milliseconds, "ai.response.msToFirstChunk ai.stream.msToFirstChunk"),
    "prompt_name": (
        name_or_id,
        """
        gen_ai.prompt.name traceloop.prompt.key langfuse.observation.prompt.name
        gen_ai.prompt.id prompt.id
        """,
    ),
    "prompt_version": (
        version,
        """
        gen_ai.prompt.version traceloop.prompt.version llm.prompt_template.version
        langfuse.observation.prompt.version
        """,
    ),
    "template": (text, "llm.prompt_template.template traceloop.prompt.template"),
    "use_case": (
        name_or_id,
        """
        tidegauge.use_case ai.telemetry.metadata.use_case ai.telemetry.metadata.useCase
        langfuse.trace.metadata.use_case langsmith.metadata.use_case
        traceloop.association.properties.use_case
        """,
    ),
    "environment": (text, "langfuse.environment"),
    "service_version": (version, "langfuse.release"),
    "actor": (
        name_or_id,
        """
        ai.telemetry.functionId resource.name gen_ai.agent.name gen_ai.workflow.name
        traceloop.workflow.name langfuse.trace.name langsmith.metadata.lc_agent_name
        langsmith.trace.name agent.name
        """,
    ),
    "user_id": (
        name_or_id,
        """
        user.id enduser.id gen_ai.user llm.user gen_ai.request.user
        traceloop.association.properties.user_id ai.telemetry.metadata.userId
        langsmith.metadata.user_id mlflow.trace.user ai.settings.context.userId
        litellm.end_user.id
        """,
    ),
    "session_id": (
        name_or_id,
        """
        gen_ai.conversation.id session.id traceloop.association.properties.session_id
        langfuse.session.id ai.telemetry.metadata.sessionId langsmith.metadata.session_id
        langsmith.metadata.thread_id mlflow.trace.session spring.ai.chat.client.conversation.id
        gcp.vertex.agent.session_id
        ai.settings.context.sessionId
        """,
    ),
    "http_status": (
        count,
        "http.response.status_code http.status_code litellm.provider.error.code",
    ),
    "error_type": (name_or_id, "error.type"),
}


def _table() -> dict[str, Name]:
    names = {
        marker: Name("kind", rank, _kind(words)) for rank, (marker, words) in enumerate(_KINDS)
    }
    for fact, (read, listed) in FACTS.items():
        for rank, name in enumerate(listed.split()):
            names[name] = Name(fact, rank, read)
    return names


TABLE = _table()
_PLANNED = 200  # names from which on a plan is not kept: it would not be used again


def named(attributes: Attributes) -> dict[str, Any]:
    """Return the facts that flat attributes tell; of several names, the first that says anything.

    "n/a" as a count says nothing: it does not hide the 7 under the next name.

    >>> named({"llm.token_count.prompt": 9, "gen_ai.usage.input_tokens": "n/a"})
    {'input': 9}
    """
    plan = _plan(tuple(attributes)) if len(attributes) <= _PLANNED else _planned(attributes)
    found: dict[str, Any] = {}
    for fact, key, read in plan:
        if fact not in found:
            value = attributes[key]
            if value is not None and (told := read(value)) is not None:
                found[fact] = told
    return found


Plan = tuple[tuple[str, str, Reader], ...]  # a fact, one of its names, and how that is read


def _planned(keys: Iterable[str]) -> Plan:
    """Return the facts that these names tell, those to be believed first in front."""
    ranked: dict[str, list[tuple[int, str, Reader]]] = {}
    for key in keys:
        if (name := TABLE.get(key)) is not None:
            ranked.setdefault(name.fact, []).append((name.rank, key, name.read))
    return tuple(
        (fact, key, read)
        for fact, names in ranked.items()
        for _, key, read in sorted(names, key=lambda one: one[:2])
    )


# The spans of one library bear the same names again and again: few need a plan of their own.
_plan = lru_cache(maxsize=4_096)(_planned)


def operation_of(facts: Named) -> Operation | None:
    """Return what a span asks a model for; None for a wrapper and for any other span."""
    kind = facts.get("kind")
    return kind.operation if kind else None
