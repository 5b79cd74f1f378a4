"""The Anthropic SDK's own spans (2.0 and later) to a reading."""

from __future__ import annotations

from dataclasses import replace

from collector.dialects import genai
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan

NAME = "anthropic_sdk"
SCOPES: tuple[str, ...] = ("com.anthropic.sdk.",)

_NO_CALLS = ("count_tokens", ".batches.")


def fits(raw: RawSpan) -> bool:
    """Return whether the SDK wrote the span, beside every other instrumentation."""
    return raw.scope_name.startswith(SCOPES)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call of a model; sessions, batches, files and counted tokens are none.

    Input includes both kinds of cached tokens. The reason is ``anthropic.message.stop_reason``.
    """
    operation = operation_of(told)
    if operation is None or any(part in raw.name for part in _NO_CALLS):
        return None
    reading = genai.reading_of(raw, operation, told)
    found = reading.facts
    facts = found._replace(
        provider=found.provider or "anthropic",
        tokens=found.tokens._replace(excludes_cached=False),
    )
    return replace(reading, dialect=NAME, facts=facts)
