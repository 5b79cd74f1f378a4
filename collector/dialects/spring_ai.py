"""Spring AI (Micrometer) to a reading: OTel's names, every value a text."""

from __future__ import annotations

from collector.dialects import genai
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan

NAME = "spring_ai"
SCOPES: tuple[str, ...] = ("org.springframework", "io.micrometer")

_KIND, _OPERATION = "spring.ai.kind", "gen_ai.operation.name"
_SYSTEMS = ("gen_ai.system", "gen_ai.provider.name")


def fits(raw: RawSpan) -> bool:
    """Return whether Spring AI wrote the span; Spring's other spans share its scope."""
    attributes = raw.attributes
    if _KIND in attributes or any(attributes.get(name) == NAME for name in _SYSTEMS):
        return True
    return _OPERATION in attributes and raw.scope_name.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call; clients, advisors, tools and vector stores say "framework" and are none."""
    operation = operation_of(told)
    if operation is None or _KIND in raw.attributes:
        return None
    reading = genai.renamed(genai.reading_of(raw, operation, told), NAME)
    return genai.offered_by_another(reading, NAME)
