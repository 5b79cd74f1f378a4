"""When the first token came: seconds that an attribute tells, or the time of an event."""

from __future__ import annotations

from collector.dialects.names import Named
from collector.raw import RawSpan


def first_token_s(raw: RawSpan, named: Named, events: frozenset[str] = frozenset()) -> float | None:
    """Return seconds from the start of the span to the first token, None where nothing says so.

    ``events``: the names of the events that a dialect writes when a chunk arrives.
    """
    seconds: float | None = named.get("first_token_s", named.get("first_token_ms"))
    if seconds is None and events:
        seconds = _first_event_s(raw, events)
    return seconds if seconds is not None and 0 <= seconds < 86_400 else None


def _first_event_s(raw: RawSpan, names: frozenset[str]) -> float | None:
    for event in raw.events:
        if event.name in names:
            return (event.time_ns - raw.start_ns) / 1e9
    return None
