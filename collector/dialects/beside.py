"""What a span carried that no field of a call holds: kept as it is, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.raw import RawEvent, RawSpan, is_chunk_event

_PIECE = "mlflow.chunk.item."  # of a stream, whose gathered answer is kept as its output

#: Under this name stands what is no attribute of the span.
BESIDE = "tidegauge.span"

_MESSAGE_EVENTS = frozenset(
    {
        "gen_ai.system.message",
        "gen_ai.developer.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
        "gen_ai.client.inference.operation.details",
    }
)


def attributes_of(raw: RawSpan, consumed: frozenset[str]) -> Mapping[str, Any]:
    """Return all that the span carried and that no other field holds.

    What is no attribute of the span stands under ``BESIDE``.
    """
    kept = dict(raw.attributes)
    for name in consumed:
        kept.pop(name, None)
    # Under one name that is ours: an application may call an attribute "kind" or "events", too.
    kept[BESIDE] = _beside(raw, consumed)
    return kept


def _beside(raw: RawSpan, consumed: frozenset[str]) -> dict[str, Any]:
    beside: dict[str, Any] = {
        "resource": raw.resource,
        "scope": {"name": raw.scope_name, "version": raw.scope_version},
    }
    if raw.kind:
        beside["kind"] = raw.kind
    if raw.events:
        events = [_event(event) for event in raw.events if _is_worth_keeping(event, consumed)]
        if events:
            beside["events"] = events
    if raw.links:
        beside["links"] = raw.links
    if raw.status:
        beside["status"] = {"code": raw.status, "message": raw.status_message}
    if raw.dropped_attributes:
        beside["dropped_attributes"] = raw.dropped_attributes
    if raw.dropped_events:
        beside["dropped_events"] = raw.dropped_events
    return beside


def _is_worth_keeping(event: RawEvent, consumed: frozenset[str]) -> bool:
    """Return whether an event says more than the messages and the time of a chunk."""
    if not event.attributes:
        return not is_chunk_event(event.name)
    if event.name.startswith(_PIECE):
        return False
    return not consumed or event.name not in _MESSAGE_EVENTS


def _event(event: RawEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "time_ns": event.time_ns,
        "attributes": dict(event.attributes),
    }
