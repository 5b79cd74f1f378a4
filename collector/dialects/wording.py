"""What the words of a span's name tell, where no attribute tells what the span is."""

from __future__ import annotations

import re
from functools import lru_cache

from tidegauge.call import Operation

_NAMES_KNOWN = 2_000
_CHARS = 200  # of a name or a key; what is longer was made, not written
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[a-z0-9]+")


def listed(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())


# A span so named stands around calls, or beside them.
_AROUND = listed("""
    agent agents workflow workflows chain chains tool tools toolcall pipeline graph crew task tasks
    session conversation interaction orchestrator plan planner planning step loop retriever
    retrieve retrieval search query guardrail guardrails evaluator evaluation eval handoff
    middleware memory team swarm runnable job worker function functions total summary batch
    """)
_ASKING = listed("""
    llm chat completion completions complete generate generation generatecontent infer inference
    gpt claude gemini message messages responses model embed embedding embeddings embedder rerank
    reranker reranking
    """)
_EMBEDDING = listed("embed embedding embeddings embedder")
_RERANKING = listed("rerank reranker reranking")


@lru_cache(maxsize=_NAMES_KNOWN)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name or a key, whichever way they were joined.

    >>> words_of("acme.llm.promptTokens"), words_of("chat gpt-4o")
    (('acme', 'llm', 'prompt', 'tokens'), ('chat', 'gpt', '4o'))
    """
    return tuple(_WORD.findall(_HUMP.sub(" ", name[:_CHARS]).lower()))


def stands_around(name: str) -> bool:
    """Return whether a name is that of an agent, a chain, a tool or the like."""
    return not _AROUND.isdisjoint(words_of(name))


def asks(name: str) -> bool:
    """Return whether a name is one for a model call."""
    return not _ASKING.isdisjoint(words_of(name))


def operation_in(name: str) -> Operation:
    """Return what a call of this name asks a model for: an answer, unless it says otherwise."""
    words = words_of(name)
    if not _EMBEDDING.isdisjoint(words):
        return Operation.EMBEDDINGS
    return Operation.CHAT if _RERANKING.isdisjoint(words) else Operation.RERANK
