"""How much JSON inside texts is read of one request: 16 MiB of "[]," would become 1 GB of lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from collector.raw import RawEvent, RawSpan, Unread

SHORT = 32  # characters; such a text is always read: ``["stop"]`` must not be lost
UNCOUNTED = 2  # characters to a token
_OPENS = frozenset('[{("')  # what a text that may be JSON, or Python's repr, begins with


class JsonBudget:
    """Bounds the number of objects before anything is parsed.

    Counting brackets and commas costs 4 ns a byte, so the first texts are not counted: a text of
    ``n`` characters becomes ``n / 2`` objects at most.
    """

    def __init__(self, tokens: int) -> None:
        self.spent = 0
        self.refused = 0  # spans
        self._uncounted = UNCOUNTED * tokens  # characters
        self._left = tokens

    def checked(self, raw: RawSpan) -> RawSpan:
        """Return the span; where it holds more JSON than is left, its JSON stays unread text."""
        characters = _characters(raw.attributes)
        for event in raw.events:
            characters += _characters(event.attributes)
        if characters <= self._uncounted:
            self._uncounted -= characters
            return raw
        return self._counted(raw)

    def _counted(self, raw: RawSpan) -> RawSpan:
        tokens = _tokens(raw.attributes)
        for event in raw.events:
            tokens += _tokens(event.attributes)
        if tokens > self._left:
            self.refused += 1
            return _sealed(raw)
        self._left -= tokens
        self.spent += tokens
        return raw


def _characters(value: Mapping[str, Any]) -> int:
    """Return the length of the texts that may be JSON, at any depth."""
    found = 0
    for item in value.values():
        if item.__class__ is str:
            if len(item) > SHORT and item[0] in _OPENS:
                found += len(item)
        elif item.__class__ is list or item.__class__ is dict:
            found += _characters_inside(item)
    return found


def _characters_inside(value: Any) -> int:
    if isinstance(value, Mapping):
        return _characters(value)
    if isinstance(value, list):
        return sum(map(_characters_inside, value))
    return len(value) if isinstance(value, str) and len(value) > SHORT else 0


def _tokens(value: Any) -> int:
    """Return how many objects, lists and items the texts in a value can become."""
    if isinstance(value, str):
        if len(value) <= SHORT or value[0] not in _OPENS:
            return 0
        return value.count("[") + value.count("{") + value.count("(") + value.count(",")
    if isinstance(value, Mapping):
        return sum(map(_tokens, value.values()))
    return sum(map(_tokens, value)) if isinstance(value, list) else 0


def _sealed(raw: RawSpan) -> RawSpan:
    events = tuple(
        RawEvent(event.name, event.time_ns, _unread(event.attributes)) for event in raw.events
    )
    return replace(raw, attributes=_unread(raw.attributes), events=events)


def _unread(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= SHORT else Unread(value)
    if isinstance(value, Mapping):
        return {name: _unread(item) for name, item in value.items()}
    return [_unread(item) for item in value] if isinstance(value, list) else value
