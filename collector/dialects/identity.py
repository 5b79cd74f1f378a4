"""Who made a call and what for: service, environment, use case, user, session."""

from __future__ import annotations

from typing import Any

from collector.dialects.names import Named, first_of, name_or_id
from collector.dialects.values import first
from collector.raw import RawSpan

_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_USE_CASE = "tidegauge.use_case"


def identity(raw: RawSpan, named: Named) -> dict[str, Any]:
    """Return the fields of a call that say whose it is, by the span and its resource alone."""
    resource = raw.resource
    return {
        "service": name_or_id(resource.get("service.name")) or "unknown_service",
        "service_version": name_or_id(resource.get("service.version")),
        "environment": name_or_id(first(resource, _ENVIRONMENT)) or "default",
        "use_case": use_case(raw, named),
        "user_id": named.get("user_id"),
        "session_id": named.get("session_id"),
    }


def use_case(raw: RawSpan, named: Named) -> str:
    """Return what a call is for: as said outright, else its prompt, else its agent or workflow."""
    outright: str | None = named.get("use_case") or name_or_id(raw.resource.get(_USE_CASE))
    return outright or first_of(named, ("prompt_name", "actor")) or "default"
