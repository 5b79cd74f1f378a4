"""Agno, by its OpenInference instrumentation: a reading with its traps."""

from __future__ import annotations

from dataclasses import replace

from collector.dialects import openinference
from collector.dialects.facts import Facts
from collector.dialects.model_names import offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan

NAME = "agno"
SCOPES: tuple[str, ...] = ("openinference.instrumentation.agno", "agno")

_PROVIDERS = {
    "awsbedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azurefoundry": "azure.ai.inference",
    "mistral": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
}
_EXCLUDE_CACHED = ("anthropic", "aws.bedrock")  # Agno copies their numbers as they are
_STREAMS = ("invoke_stream", "response_stream")  # also with an "a" before it


def fits(raw: RawSpan) -> bool:
    """Return whether Agno's instrumentation wrote the span."""
    return raw.scope_name.startswith(SCOPES) and openinference.fits(raw)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read as OpenInference. There is never a finish reason, nor the model that answered."""
    operation = operation_of(told)
    if operation is None:
        return None
    reading = openinference.reading_of(raw, told, operation, NAME)
    return replace(reading, facts=_facts(reading.facts, raw.name))


def _facts(found: Facts, name: str) -> Facts:
    """Return the facts; only the name of the span tells that an answer was streamed."""
    said = found.provider or ""
    # Claude on Vertex AI or Azure is Agno's Claude all the same.
    made_by = offered_by(found.request_model or "")
    excludes = said in _EXCLUDE_CACHED or made_by == "anthropic" or said == "awsbedrock"
    return found._replace(
        provider=_PROVIDERS.get(said, found.provider),
        streaming=found.streaming or name.endswith(_STREAMS) or None,
        tokens=found.tokens._replace(excludes_cached=excludes or None),
    )
