"""Who made a call and what for: service, environment, use case, user, session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.dialects.values import first, text
from collector.raw import RawSpan

_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_PROMPT = ("gen_ai.prompt.name", "traceloop.prompt.key", "langfuse.observation.prompt.name")
_ACTOR = (
    "gen_ai.agent.name",
    "gen_ai.workflow.name",
    "traceloop.workflow.name",
    "agent.name",
    "ai.telemetry.functionId",
)
_SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "langfuse.session.id",
    "ai.telemetry.metadata.sessionId",
)
_USER = (
    "user.id",
    "enduser.id",
    "gen_ai.user",
    "llm.user",
    "gen_ai.request.user",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
)
_USE_CASE = "tidegauge.use_case"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a span belongs to."""

    service: str
    service_version: str | None
    environment: str
    use_case: str
    user_id: str | None
    session_id: str | None


def identity(raw: RawSpan) -> Identity:
    """Return what the span and its resource say about themselves, not what its parents say."""
    attributes, resource = raw.attributes, raw.resource
    return Identity(
        service=_text(resource.get("service.name")) or "unknown_service",
        service_version=_text(resource.get("service.version")),
        environment=_text(first(resource, _ENVIRONMENT)) or "default",
        use_case=use_case(attributes, resource),
        user_id=_text(first(attributes, _USER)),
        session_id=_text(first(attributes, _SESSION)),
    )


def use_case(attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> str:
    """Return what a call is for: as said outright, else its prompt, else its agent or workflow."""
    said = attributes.get(_USE_CASE) or resource.get(_USE_CASE)
    return _text(said) or _text(first(attributes, _PROMPT + _ACTOR)) or "default"


def prompt_name(attributes: Mapping[str, Any]) -> str | None:
    """Return the name under which the prompt is kept."""
    return _text(first(attributes, _PROMPT))


def _text(value: Any) -> str | None:
    """Return a name; ids are often numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value)
