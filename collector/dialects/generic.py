"""A span of a library that we do not know, read as a call where its words leave no doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from collector.dialects import bodies
from collector.dialects.content import Content
from collector.dialects.facts import facts
from collector.dialects.finish import reasons
from collector.dialects.model_names import offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.timing import first_token_s
from collector.dialects.tokens import Tokens
from collector.dialects.usage import counts_in, filled, used
from collector.dialects.values import Attributes, count, decoded, flag, number, text
from collector.dialects.wording import asks, listed, operation_in, stands_around, words_of
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "generic"
SCOPES: tuple[str, ...] = ()

_KEYS_KNOWN = 10_000
_SERVER, _CLIENT, _ERROR = 2, 3, 2  # span kinds, span status
_PASSING_ON = (_SERVER, 4, 5)  # a server repeats what its client says; queues ask no model

# What carries one of these is a request, a query or a tool, whatever else was hung on it.
_OTHER = listed("""
    db.system db.system.name db.statement db.query.text db.operation db.operation.name
    http.method http.request.method http.url url.full http.route http.target rpc.system
    rpc.system.name rpc.method rpc.service messaging.system messaging.operation
    messaging.operation.type messaging.destination.name faas.trigger graphql.operation.name
    mcp.method.name tool.name tool_name gen_ai.tool.name gen_ai.tool.call.id gen_ai.agent.name
    agent.name agent_name
    """)
# Words of counts that are no usage of one call: limits, prices, sums over many.
_NO_USAGE = listed("""
    max min limit budget remaining rate cost price usd cumulative aggregated aggregate session
    agent average avg per saved estimated predicted accepted rejected prediction audio image video
    """)
_TOKENS = listed("token tokens tokencount")
_SENT = listed("input prompt in sent inputs prompts")
_SAID = listed("output completion out generated candidates outputs completions")
_CACHED = listed("cache cached")
_WRITTEN = listed("write creation created create")
_THOUGHT = listed("reasoning thinking thoughts")
_NUMBERS = ("input", "output", "cache_read", "cache_write", "reasoning", "total")

# The last words of a key: what its value is.
_ENDS = {
    "usage": "usage",
    "usage metadata": "usage",
    "token usage": "usage",
    "request model": "request_model",
    "response model": "response_model",
    "model": "request_model",
    "model name": "request_model",
    "model id": "request_model",
    "deployment name": "request_model",
    "finish reason": "finish",
    "finish reasons": "finish",
    "stop reason": "finish",
    "response id": "response_id",
    "completion id": "response_id",
    "provider": "provider",
    "vendor": "provider",
    "temperature": "temperature",
    "top p": "top_p",
    "max tokens": "max_tokens",
    "max output tokens": "max_tokens",
    "max completion tokens": "max_tokens",
    "stream": "streaming",
    "streaming": "streaming",
    "is streaming": "streaming",
    "ttft": "first_token",
    "ttft s": "first_token_s",
    "ttft seconds": "first_token_s",
    "ttft ms": "first_token_ms",
    "time to first token": "first_token",
    "time to first token s": "first_token_s",
    "time to first token seconds": "first_token_s",
    "time to first token ms": "first_token_ms",
    "prompt": "prompt",
    "messages": "prompt",
    "input messages": "prompt",
    "completion": "answer",
    "response": "answer",
    "output": "answer",
    "response text": "answer",
    "output messages": "answer",
}
_LONGEST = max(len(end.split()) for end in _ENDS)


class Told(NamedTuple):
    """One key that says something of a call."""

    key: str
    value: Any


def fits(raw: RawSpan) -> bool:
    """Return whether a span that nobody else reads tells of tokens, or of a call that failed."""
    if raw.kind in _PASSING_ON or not _OTHER.isdisjoint(raw.attributes):
        return False
    return any(_fact(key) in _WORTH_A_LOOK for key in raw.attributes)


_WORTH_A_LOOK = frozenset(("input", "output", "total", "usage", "request_model", "response_model"))


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a span that names a model and its tokens on both sides; its counts are never certain."""
    found = _found(raw.attributes)
    tokens = _tokens(found)
    operation = operation_of(told) if "kind" in told else _operation(raw, found, tokens)
    if operation is None:
        return None
    said = facts(told)
    values: dict[str, Any] = {
        name: read(found[name].value) for name, read in _READERS.items() if name in found
    }
    known = {name: value for name, value in values.items() if getattr(said, name) is None}
    model = values.get("request_model") or values.get("response_model")
    by_model = offered_by(model) if model else None
    return Reading(
        dialect=NAME,
        operation=operation,
        named=told,
        facts=said._replace(
            **({"provider": said.provider or by_model} | known),
            tokens=filled(said.tokens, tokens)._replace(guessed=True),
        ),
        content=_content(found),
        finish=reasons(found["finish"].value) if "finish" in found else (),
        first_token_s=_first_token_s(raw, found, first_token_s(raw, told)),
    )


def _found(attributes: Attributes) -> dict[str, Told]:
    """Return the first key of each fact."""
    found: dict[str, Told] = {}
    for key, value in attributes.items():
        fact = _fact(key)
        if fact is not None and fact not in found and value is not None:
            found[fact] = Told(key, value)
    return found


@lru_cache(maxsize=_KEYS_KNOWN)
def _fact(key: str) -> str | None:
    """Return what a key tells, by its last words.

    >>> _fact("acme.llm.prompt_tokens"), _fact("usage.outputTokens"), _fact("llm.max_tokens")
    ('input', 'output', 'max_tokens')
    """
    words = words_of(key)
    counted = _count_of(frozenset(words[-4:])) if _NO_USAGE.isdisjoint(words) else None
    ends = (" ".join(words[-length:]) for length in range(min(_LONGEST, len(words)), 0, -1))
    return counted or next((_ENDS[end] for end in ends if end in _ENDS), None)


def _count_of(words: frozenset[str]) -> str | None:
    """Return which count a key has, by its last words."""
    if _TOKENS.isdisjoint(words) and "usage" not in words:
        return None
    if not _CACHED.isdisjoint(words):
        return "cache_read" if _WRITTEN.isdisjoint(words) else "cache_write"
    if not _THOUGHT.isdisjoint(words):
        return "reasoning"
    sides = [fact for fact, side in (("input", _SENT), ("output", _SAID)) if side & words]
    if "total" in words:
        return None if sides else "total"  # of both sides; one of a side is a sum over calls
    return sides[0] if len(sides) == 1 else None


def _tokens(found: Mapping[str, Told]) -> Tokens:
    """Return the counts of keys, and of the usage object that some send as JSON."""
    counts: dict[str, Any] = {n: count(found[n].value) for n in _NUMBERS if n in found}
    flat = Tokens(**counts)
    return filled(flat, used(counts_in(found["usage"].value))) if "usage" in found else flat


def _operation(raw: RawSpan, found: Mapping[str, Told], tokens: Tokens) -> Operation | None:
    """Return what a span asks a model for; None for all that might be something else."""
    models = (found[name].value for name in ("request_model", "response_model") if name in found)
    if stands_around(raw.name) or not any(text(model) for model in models):
        return None
    operation = operation_in(raw.name)
    if tokens.input is not None and tokens.output is not None:
        return operation
    if not asks(raw.name):
        return None
    one_side = operation is not Operation.CHAT or tokens.total is not None
    if one_side and (tokens.input is not None or tokens.total is not None):
        return operation
    failed = raw.status == _ERROR and raw.kind == _CLIENT
    return operation if failed or _is_rerank(raw, operation) else None


def _is_rerank(raw: RawSpan, operation: Operation) -> bool:
    """Return whether a span asks to rank: its providers count searches, not tokens."""
    return operation is Operation.RERANK and raw.kind == _CLIENT


_READERS = {
    "request_model": text,
    "response_model": text,
    "response_id": text,
    "provider": text,
    "temperature": number,
    "top_p": number,
    "max_tokens": count,
    "streaming": flag,
}


def _content(found: Mapping[str, Told]) -> Content:
    """Return prompt and answer, where they are texts or messages."""
    sent, received = (found.get(name) for name in ("prompt", "answer"))
    consumed = frozenset(one.key for one in _texts(sent, received))
    return Content(
        input=bodies.asked(decoded(sent.value)) if sent and sent.key in consumed else None,
        output=bodies.answered(decoded(received.value))
        if received and received.key in consumed
        else None,
        consumed=consumed,
    )


def _texts(*told: Told | None) -> Iterator[Told]:
    return (one for one in told if one and isinstance(one.value, str | list | dict) and one.value)


def _first_token_s(raw: RawSpan, found: Mapping[str, Told], told: float | None) -> float | None:
    """Return seconds to the first token. A number without a unit is one that the span has room for."""
    lasted_s = (raw.end_ns - raw.start_ns) / 1e9
    for name, unit_s in (("first_token_s", 1), ("first_token_ms", 1e-3), ("first_token", None)):
        value = number(found[name].value) if name in found and told is None else None
        if value is None or value < 0:
            continue
        scale = unit_s or (1 if value <= lasted_s else 1e-3)
        return value * scale if value * scale <= lasted_s else None
    return told
