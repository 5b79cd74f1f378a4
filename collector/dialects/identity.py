"""Who made a call and what for: service, environment, use case, user, session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from collector.dialects.names import Named
from collector.dialects.told import name_or_id
from collector.dialects.values import first
from collector.raw import RawSpan
from tidegauge.call import UseCaseFrom

_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_USE_CASE = "tidegauge.use_case"


class _Home(NamedTuple):
    """What a resource tells; None where it does not."""

    service: str | None
    service_version: str | None
    environment: str | None
    use_case: str | None


def identify(call: Any, raw: RawSpan, named: Named) -> None:
    """Set the fields of a call that say whose it is, by the span and its resource alone.

    ``call``: a draft, in which what nothing tells has its default.
    """
    service, version, environment, purpose = _home(raw.resource)
    if service:
        call.service = service
    call.service_version = version or named.get("service_version")
    environment = environment or named.get("environment")
    if environment:
        call.environment = environment
    call.use_case, call.use_case_from = _use_case(named, purpose)
    call.user_id = named.get("user_id")
    call.session_id = named.get("session_id")


def _home(resource: Mapping[str, Any]) -> _Home:
    """Return what a resource tells, read once for all of its spans, which come one by one."""
    seen, home = _last[0]
    if seen is not resource:
        home = _read(resource)
        _last[0] = (resource, home)  # one write: another thread sees both or neither
    return home


def _read(resource: Mapping[str, Any]) -> _Home:
    return _Home(
        name_or_id(resource.get("service.name")),
        name_or_id(resource.get("service.version")),
        name_or_id(first(resource, _ENVIRONMENT)),
        name_or_id(resource.get(_USE_CASE)),
    )


# The resource that was read last, held so that no other can have its identity.
_last: list[tuple[Mapping[str, Any], _Home]] = [({}, _read({}))]


def _use_case(named: Named, purpose: str | None) -> tuple[str, UseCaseFrom | None]:
    """Return what a call is for, and what says so: outright, else its prompt, else its agent.

    The spans above it may say more: tidegauge/member.py use_case().
    """
    outright: str | None = named.get("use_case") or purpose
    if outright:
        return outright, UseCaseFrom.SAID
    if "prompt_name" in named:
        return named["prompt_name"], UseCaseFrom.PROMPT
    if "actor" in named:
        return named["actor"], UseCaseFrom.AGENT
    return "default", None
