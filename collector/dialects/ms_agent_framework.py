"""Microsoft Agent Framework to a reading: OTel's names, old message events and new messages at once."""

from __future__ import annotations

from collector.dialects import genai
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan

NAME = "ms_agent_framework"
SCOPES: tuple[str, ...] = ("agent_framework", "Experimental.Microsoft.Agents.AI")

_ITSELF = "microsoft.agent_framework"  # what it writes where it does not know the provider


def fits(raw: RawSpan) -> bool:
    """Return whether the framework wrote the span."""
    return raw.scope_name.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call; spans of agents repeat the sum of theirs and are none."""
    operation = operation_of(told)
    if operation is None:
        return None
    reading = genai.renamed(genai.reading_of(raw, operation, told), NAME)
    return genai.offered_by_another(reading, _ITSELF)
