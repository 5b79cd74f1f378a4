"""smolagents, by its OpenInference instrumentation: a reading with its traps."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, NamedTuple

from collector.dialects import openinference
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.tokens import Tokens
from collector.dialects.usage import filled, used
from collector.raw import RawSpan

NAME = "smolagents"
SCOPES: tuple[str, ...] = ("openinference.instrumentation.smolagents", "smolagents")

_RAW = '"raw": "'
# Of the repr of OpenAI's, LiteLLM's or Hugging Face's answer, in which quotes are single.
_ID = re.compile(r"\w{1,50}\(id='([^']{1,200})'")
_REASON = re.compile(r"\(finish_reason='(\w{1,50})'")
_MODEL = re.compile(r", model='([^']{1,200})', (?:object|system_fingerprint|usage)=")
_COUNTS = re.compile(
    r"\b(cached_tokens|cache_creation_input_tokens|cache_read_input_tokens|reasoning_tokens)=(\d{1,9})\b"
)
_USAGE_CHARS = 2_000


def fits(raw: RawSpan) -> bool:
    """Return whether the instrumentation of smolagents wrote the span."""
    return raw.scope_name.startswith(SCOPES) and openinference.fits(raw)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read as OpenInference. Its agents repeat the sum of tokens: their kind says that they ask none.

    Only the repr of the provider's answer tells its model and why it ended, and only the name of
    the span that it was streamed.
    """
    operation = operation_of(told)
    if operation is None:
        return None
    reading = openinference.reading_of(raw, told, operation, NAME)
    streaming = reading.facts.streaming or raw.name.endswith("generate_stream") or None
    answer = _answer(raw.attributes.get("output.value"))
    found = reading.facts
    return replace(
        reading,
        facts=found._replace(
            streaming=streaming,
            response_model=found.response_model or answer.model,
            response_id=found.response_id or answer.id,
            tokens=filled(found.tokens, answer.tokens),
        ),
        finish=reading.finish or answer.finish,
    )


class _Answer(NamedTuple):
    """What the repr of an answer tells."""

    id: str | None = None
    model: str | None = None
    finish: tuple[str, ...] = ()
    tokens: Tokens = Tokens()


def _answer(value: Any) -> _Answer:
    """Read the repr of the provider's answer that stands in the JSON of the framework's own.

    It is no JSON, and Python cannot evaluate it: only what is sure to be its own is taken.
    """
    start = value.find(_RAW) if isinstance(value, str) else -1
    if start < 0:
        return _Answer()
    start += len(_RAW)
    named, model = _ID.match(value, start), _MODEL.search(value, start)
    reason = _REASON.search(value, start)
    usage = value.rfind("usage=", start)
    counts = _COUNTS.findall(value, usage, usage + _USAGE_CHARS) if usage >= 0 else []
    return _Answer(
        id=named[1] if named else None,
        model=model[1] if model else None,
        finish=reasons(reason[1]) if reason else (),
        tokens=used(dict(counts)),
    )
