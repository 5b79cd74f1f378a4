"""Is a span a model call? The first marker that is present decides, whatever the others say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.dialects.values import text
from collector.raw import RawSpan
from tidegauge.call import Operation

_OPENINFERENCE = {
    "LLM": Operation.CHAT,
    "EMBEDDING": Operation.EMBEDDINGS,
    "RERANKER": Operation.RERANK,
}
_LANGFUSE = {"generation": Operation.CHAT, "embedding": Operation.EMBEDDINGS}
_LANGSMITH = {"llm": Operation.CHAT, "embedding": Operation.EMBEDDINGS}
_MLFLOW = {
    "CHAT_MODEL": Operation.CHAT,
    "LLM": Operation.CHAT,
    "EMBEDDING": Operation.EMBEDDINGS,
    "RERANKER": Operation.RERANK,
}
_OTEL = {
    "chat": Operation.CHAT,
    "completion": Operation.CHAT,  # LiteLLM's word for a chat
    "acompletion": Operation.CHAT,
    "responses": Operation.CHAT,
    "converse": Operation.CHAT,
    "text_completion": Operation.TEXT_COMPLETION,
    "generate_content": Operation.GENERATE_CONTENT,
    "embeddings": Operation.EMBEDDINGS,
    "embedding": Operation.EMBEDDINGS,
    "embed": Operation.EMBEDDINGS,
    "rerank": Operation.RERANK,
    "reranking": Operation.RERANK,
}
_REQUEST_TYPE = {
    "chat": Operation.CHAT,
    "completion": Operation.TEXT_COMPLETION,
    "embedding": Operation.EMBEDDINGS,
    "rerank": Operation.RERANK,
}
_VERCEL = {
    "doGenerate": Operation.CHAT,
    "doStream": Operation.CHAT,
    "doEmbed": Operation.EMBEDDINGS,
    "doRerank": Operation.RERANK,
}

# In this order. LangSmith stands before OTel's name: it writes "chat" on prompt templates, too.
_MARKERS: tuple[tuple[str, Mapping[str, Operation]], ...] = (
    ("openinference.span.kind", _OPENINFERENCE),
    ("langfuse.observation.type", _LANGFUSE),
    ("langsmith.span.kind", _LANGSMITH),
    ("mlflow.spanType", _MLFLOW),
    ("ai.operationId", _VERCEL),
    ("traceloop.span.kind", {}),
    ("gen_ai.operation.name", _OTEL),
    ("llm.request.type", _REQUEST_TYPE),
)


def operation_of(raw: RawSpan) -> Operation | None:
    """Return what a span asks a model for; None for a wrapper and for any other span."""
    for name, operations in _MARKERS:
        value: Any = text(raw.attributes.get(name))
        if value is None:
            continue
        word = value.rsplit(".", 1)[-1] if name == "ai.operationId" else value
        return operations.get(word)
    return None
