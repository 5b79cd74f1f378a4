"""When the first token came: an attribute in seconds, or the time of an event."""

from __future__ import annotations

from collector.dialects.values import first, number
from collector.raw import RawSpan

_SECONDS = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.latency.time_to_first_token",
)


def first_token_s(raw: RawSpan, events: frozenset[str] = frozenset()) -> float | None:
    """Return seconds from the start of the span to the first token, None where nothing says so.

    ``events``: the names of the events that a dialect writes when a chunk arrives.
    """
    seconds = number(first(raw.attributes, _SECONDS))
    if seconds is None and events:
        seconds = _first_event_s(raw, events)
    return seconds if seconds is not None and 0 <= seconds < 86_400 else None


def _first_event_s(raw: RawSpan, names: frozenset[str]) -> float | None:
    for event in raw.events:
        if event.name in names:
            return (event.time_ns - raw.start_ns) / 1e9
    return None
