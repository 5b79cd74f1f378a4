"""Spans of model servers (vLLM, SGLang) to a reading: what the server counted and how long it took."""

from __future__ import annotations

from dataclasses import replace

from collector.dialects import genai
from collector.dialects.facts import Facts
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.values import count, text
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "vllm"
SCOPES: tuple[str, ...] = ("vllm", "sglang")

_REQUEST = "llm_request"
_ID = "gen_ai.request.id"
_LATENCIES = frozenset(("gen_ai.latency.e2e", "gen_ai.latency.time_to_first_token"))
_BY_ID = (
    ("cmpl-", Operation.TEXT_COMPLETION),
    ("embd-", Operation.EMBEDDINGS),
    ("rerank-", Operation.RERANK),
    ("score-", Operation.RERANK),
)


def fits(raw: RawSpan) -> bool:
    """Return whether a model server wrote the span."""
    if raw.scope_name.startswith(SCOPES) or not _LATENCIES.isdisjoint(raw.attributes):
        return True
    return raw.name == _REQUEST and _ID in raw.attributes


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read one request; the spans of its parts and of the server itself have no usage."""
    if "input" not in told and "output" not in told:
        return None
    request = text(raw.attributes.get(_ID))
    operation = operation_of(told) or _operation(request or "")
    reading = genai.reading_of(raw, operation, told)
    return replace(reading, dialect=NAME, facts=_facts(raw, reading.facts, request), by_server=True)


def _operation(request: str) -> Operation:
    return next((found for start, found in _BY_ID if request.startswith(start)), Operation.CHAT)


def _facts(raw: RawSpan, told: Facts, request: str | None) -> Facts:
    """Return the facts; the id of a request is that of the response that its client gets."""
    tokens = told.tokens
    if tokens.cache_read is None:
        cached = count(raw.attributes.get("gen_ai.usage.cached_tokens"))
        tokens = tokens._replace(cache_read=cached)
    return told._replace(tokens=tokens, response_id=told.response_id or _response_id(request))


def _response_id(request: str | None) -> str | None:
    """Return the id without the number of the prompt, which stands behind it in completions.

    >>> _response_id("cmpl-7f3a-0"), _response_id("chatcmpl-7f3a")
    ('cmpl-7f3a', 'chatcmpl-7f3a')
    """
    if request is None or not request.startswith("cmpl-"):
        return request
    start, _, number = request.rpartition("-")
    return start if number.isdecimal() and start != "cmpl" else request
