"""CrewAI: its OpenInference instrumentation and its own spans, to a reading."""

from __future__ import annotations

from dataclasses import replace

from collector.dialects import genai, openinference
from collector.dialects.facts import Facts
from collector.dialects.model_names import bare, offered_by
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan

NAME = "crewai"
SCOPES: tuple[str, ...] = ("openinference.instrumentation.crewai", "crewai")

_MARKERS = ("crewai.event_name", "crewai_version")
_SUFFIX = ".llm_call"
_FAILED = ("error",)  # what its own spans write for a call without an answer


def fits(raw: RawSpan) -> bool:
    """Return whether CrewAI or its OpenInference instrumentation wrote the span."""
    return raw.scope_name.startswith(SCOPES) or not raw.attributes.keys().isdisjoint(_MARKERS)


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call of a model; crews, tasks, agents and its usage statistics are none.

    Its own spans copy the model that was asked for into ``gen_ai.response.model``.
    """
    operation = operation_of(told)
    if operation is None:
        return None
    if openinference.fits(raw):
        reading = openinference.reading_of(raw, told, operation, NAME)
        return replace(reading, facts=_named(reading.facts, raw.name))
    reading = genai.reading_of(raw, operation, told)
    found = reading.facts
    asked = found.request_model
    answered = None if found.response_model == asked else found.response_model
    facts = _named(found._replace(response_model=answered), raw.name)
    finish = () if reading.finish == _FAILED else reading.finish
    return replace(reading, dialect=NAME, facts=facts, finish=finish)


def _named(found: Facts, name: str) -> Facts:
    """Return the facts with the model of the span's name and the provider that it tells."""
    at_name = name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else None
    model = found.request_model or (at_name if at_name != "unknown" else None)
    if model is None:
        return found
    provider = found.provider or offered_by(model)
    return found._replace(request_model=bare(model), provider=provider)
