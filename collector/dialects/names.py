"""Every flat name that a dialect gives a fact, in one table: read in one pass over a span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from collector.dialects.values import Attributes, count, flag, number, text
from tidegauge.call import Operation

Named = Mapping[str, Any]  # fact: its value, read; a fact that a span does not tell is not there
Reader = Callable[[Any], Any]  # returns None for a value that says nothing


class Name(NamedTuple):
    """What one attribute tells: a fact, and its place among the names of that fact."""

    fact: str
    rank: int
    read: Reader


def as_it_is(value: Any) -> Any:
    """Return a value that its user decodes, unless it is a word for nothing."""
    return None if value is None or value in _ABSENT else value


_ABSENT = ("", "none", "null", "None", "NOT_GIVEN")


def name_or_id(value: Any) -> str | None:
    """Return a name; ids are often numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value)


def version(value: Any) -> str | None:
    """Return a version, which may have been sent as a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return text(value)


_PROVIDERS = {
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
    "aws": "aws.bedrock",
}


def provider(value: Any) -> str | None:
    """Return a provider in OTel's spelling.

    >>> provider("OpenAI"), provider("anthropic.messages"), provider("az.ai.openai")
    ('openai', 'anthropic', 'azure.ai.openai')
    """
    found = text(value)
    if found is None:
        return None
    name = found.lower()
    if name.startswith(("openai.", "anthropic.")):
        return name.partition(".")[0]
    return _PROVIDERS.get(name, name)


class Kind(NamedTuple):
    """What a marker says of a span: the operation of a call, or that it is none."""

    operation: Operation | None


def _kind(operations: Mapping[str, Operation]) -> Reader:
    def read(value: Any) -> Kind | None:
        word = text(value)
        return None if word is None else Kind(operations.get(word.rsplit(".", 1)[-1]))

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
            "text_completion": _COMPLETION,
            "generate_content": _GENERATE,
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

_PROMPT = "gen_ai.prompt.name traceloop.prompt.key langfuse.observation.prompt.name"

# fact: how it is read, and its names, the one to be believed first.
FACTS: Mapping[str, tuple[Reader, str]] = {
    "provider": (provider, "gen_ai.provider.name gen_ai.system llm.provider llm.system"),
    "request_model": (text, "gen_ai.request.model llm.request.model_name embedding.model_name"),
    "response_model": (text, "gen_ai.response.model llm.response.model_name ai.response.model"),
    "response_id": (text, "gen_ai.response.id"),
    "input": (
        count,
        "gen_ai.usage.input_tokens gen_ai.usage.prompt_tokens llm.token_count.prompt",
    ),
    "output": (
        count,
        "gen_ai.usage.output_tokens gen_ai.usage.completion_tokens llm.token_count.completion",
    ),
    "cache_read": (
        count,
        """
        gen_ai.usage.cache_read.input_tokens
        gen_ai.usage.cache_read_input_tokens
        llm.token_count.prompt_details.cache_read
        gen_ai.usage.details.cache_read_tokens
        """,
    ),
    "cache_write": (
        count,
        """
        gen_ai.usage.cache_write.input_tokens
        gen_ai.usage.cache_creation.input_tokens
        gen_ai.usage.cache_creation_input_tokens
        llm.token_count.prompt_details.cache_write
        """,
    ),
    "reasoning": (
        count,
        """
        gen_ai.usage.reasoning.output_tokens
        gen_ai.usage.reasoning_tokens
        llm.usage.reasoning_tokens
        llm.token_count.completion_details.reasoning
        gen_ai.usage.details.reasoning_tokens
        """,
    ),
    "total": (count, "gen_ai.usage.total_tokens llm.usage.total_tokens llm.token_count.total"),
    "temperature": (number, "gen_ai.request.temperature llm.temperature"),
    "top_p": (number, "gen_ai.request.top_p llm.top_p"),
    "max_tokens": (count, "gen_ai.request.max_tokens gen_ai.request.max_completion_tokens"),
    "stop": (as_it_is, "gen_ai.request.stop_sequences llm.chat.stop_sequences"),
    "choices": (count, "gen_ai.request.choice.count gen_ai.request.n"),
    "output_type": (text, "gen_ai.output.type gen_ai.openai.request.response_format"),
    "schema": (as_it_is, "gen_ai.request.structured_output_schema"),
    "streaming": (flag, "gen_ai.request.stream gen_ai.is_streaming llm.is_streaming"),
    "first_token_s": (
        number,
        """
        gen_ai.response.time_to_first_chunk
        gen_ai.client.operation.time_to_first_chunk
        gen_ai.latency.time_to_first_token
        """,
    ),
    "prompt_name": (name_or_id, _PROMPT),
    "prompt_version": (
        version,
        """
        gen_ai.prompt.version
        traceloop.prompt.version
        llm.prompt_template.version
        langfuse.observation.prompt.version
        """,
    ),
    "template": (text, "llm.prompt_template.template traceloop.prompt.template"),
    "use_case": (name_or_id, "tidegauge.use_case"),
    "actor": (
        name_or_id,
        """
        gen_ai.agent.name
        gen_ai.workflow.name
        traceloop.workflow.name
        agent.name
        ai.telemetry.functionId
        """,
    ),
    "user_id": (
        name_or_id,
        """
        user.id
        enduser.id
        gen_ai.user
        llm.user
        gen_ai.request.user
        traceloop.association.properties.user_id
        ai.telemetry.metadata.userId
        """,
    ),
    "session_id": (
        name_or_id,
        """
        gen_ai.conversation.id
        session.id
        traceloop.association.properties.session_id
        langfuse.session.id
        ai.telemetry.metadata.sessionId
        """,
    ),
    "http_status": (count, "http.response.status_code http.status_code"),
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


def named(attributes: Attributes, table: Mapping[str, Name] = TABLE) -> dict[str, Any]:
    """Return the facts that flat attributes tell; of several names, the first that says anything.

    "n/a" as a count says nothing: it does not hide the 7 under the next name.

    >>> named({"llm.token_count.prompt": 9, "gen_ai.usage.input_tokens": "n/a"})
    {'input': 9}
    """
    found: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    known = table.get
    for key, value in attributes.items():
        name = known(key)
        if name is not None and value is not None:
            fact, rank, read = name
            if rank < ranks.get(fact, 99) and (told := read(value)) is not None:
                found[fact] = told
                ranks[fact] = rank
    return found


def operation_of(facts: Named) -> Operation | None:
    """Return what a span asks a model for; None for a wrapper and for any other span."""
    kind = facts.get("kind")
    return kind.operation if kind else None


def first_of(facts: Named, names: Iterable[str]) -> Any:
    """Return the first fact that is told."""
    return next((facts[name] for name in names if name in facts), None)
