"""Azure's AI SDKs to a reading: OTel's old names, messages as JSON in span events."""

from __future__ import annotations

from dataclasses import replace

from collector.dialects import genai
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.wording import listed
from collector.raw import RawSpan

NAME = "azure_ai"
SCOPES: tuple[str, ...] = ("azure.ai.", "azure-ai-")

_SYSTEMS = listed("az.ai.inference azure.ai.inference az.ai.agents azure.ai.agents az.ai.projects")
_NO_MODEL = "chat"  # what it writes where the caller named none


def fits(raw: RawSpan) -> bool:
    """Return whether one of Azure's own SDKs wrote the span."""
    attributes = raw.attributes
    system = attributes.get("gen_ai.system") or attributes.get("gen_ai.provider.name")
    by_another = raw.scope_name.startswith("opentelemetry.instrumentation.")
    return isinstance(system, str) and system in _SYSTEMS and not by_another


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call; threads and runs of agents are none."""
    operation = operation_of(told)
    if operation is None:
        return None
    reading = genai.reading_of(raw, operation, told)
    found = reading.facts
    if found.request_model == _NO_MODEL:
        found = found._replace(request_model=None)
    return replace(reading, dialect=NAME, facts=found)
