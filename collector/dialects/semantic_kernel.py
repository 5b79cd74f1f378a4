"""Semantic Kernel, for Python and .NET, to a reading: OTel's old names, with words of its own."""

from __future__ import annotations

from dataclasses import replace

from collector.dialects import genai
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.values import text
from collector.raw import RawSpan

NAME = "semantic_kernel"
SCOPES: tuple[str, ...] = ("semantic_kernel.", "Microsoft.SemanticKernel")

_FINISH = "gen_ai.response.finish_reason"


def fits(raw: RawSpan) -> bool:
    """Return whether the kernel wrote the span."""
    return raw.scope_name.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call; loops over functions, functions and agents have no operation that is one."""
    operation = operation_of(told)
    if operation is None:
        return None
    reading = genai.reading_of(raw, operation, told)
    return replace(reading, dialect=NAME, finish=_finish(raw) or reading.finish)


def _finish(raw: RawSpan) -> tuple[str, ...]:
    """Return the reasons: members of an enum in one text, "FinishReason.STOP,FinishReason.LENGTH"."""
    said = text(raw.attributes.get(_FINISH))
    found = reasons(said.split(",")) if said and "," in said and said[0] not in "[<" else ()
    return found
