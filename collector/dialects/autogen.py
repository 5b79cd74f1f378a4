"""AutoGen to a reading: its spans are of agents, tools and messages between them, never of calls."""

from __future__ import annotations

from collector.dialects import genai
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan

NAME = "autogen"
SCOPES: tuple[str, ...] = ("autogen",)

_SYSTEM = "gen_ai.system"


def fits(raw: RawSpan) -> bool:
    """Return whether AutoGen wrote the span."""
    return raw.scope_name.startswith(SCOPES) or raw.attributes.get(_SYSTEM) == NAME


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Return None for what it writes up to 0.7; a span that says it is a call would be one."""
    operation = operation_of(told)
    if operation is None:
        return None
    return genai.renamed(genai.reading_of(raw, operation, told), NAME)
