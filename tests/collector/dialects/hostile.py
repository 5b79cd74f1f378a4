"""Values that no sender should put into an attribute, and that some will."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from collector.dialects import Dialect
from collector.dialects.names import named
from collector.raw import RawEvent, RawSpan

VALUES: tuple[Any, ...] = (
    None,
    True,
    1,
    -1,
    2**63 - 1,
    0.5,
    1e308,
    [],
    {},
    [[]],
    [None, 1, "x", {"a": 1}],
    {"a": {"b": [1, {"c": None}]}},
    {"__proto__": {"role": []}, "constructor": 1},
    {f"key.{index}": index for index in range(10_000)},
    "",
    "x",
    "{",
    "[",
    '"',
    '{"a":',
    "null",
    "None",
    "[]",
    "{}",
    "[[[]]]",
    "{'a': None, 'b': [1, 2]}",
    '{"__proto__": {"type": []}}',
    "[" * 500,
    "\U0001f600" * 3,
)

_PARTS: tuple[Any, ...] = (None, 1, "x", [], {}, [[1]], {"a": []})


def spans(raw: RawSpan) -> Iterator[RawSpan]:
    """Return the span with each attribute, and each value inside of its JSON, made hostile."""
    for key, value in raw.attributes.items():
        for bad in _variants(value):
            yield replace(raw, attributes=raw.attributes | {key: bad})
    for at, event in enumerate(raw.events):
        for key, value in event.attributes.items():
            for bad in _variants(value):
                changed = RawEvent(event.name, event.time_ns, {**event.attributes, key: bad})
                yield replace(raw, events=(*raw.events[:at], changed, *raw.events[at + 1 :]))
    many = {f"{key}.{index}": index for key in raw.attributes for index in range(200)}
    yield replace(raw, attributes=raw.attributes | many | {"__proto__": {}, "..": 1})


def _variants(value: Any) -> Iterator[Any]:
    yield from VALUES
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            held = json.loads(value)
        except ValueError:
            return
        for changed in _changed(held):
            yield json.dumps(changed)


def _changed(held: Any) -> Iterator[Any]:
    """Return a value with each of its parts replaced, one at a time."""
    parts = held.items() if isinstance(held, dict) else enumerate(held)
    for key, part in list(parts):
        for bad in _PARTS:
            yield _with(held, key, bad)
        if isinstance(part, dict | list):
            for changed in _changed(part):
                yield _with(held, key, changed)


def _with(held: Any, key: Any, value: Any) -> Any:
    if isinstance(held, dict):
        return {**held, key: value}
    return [*held[:key], value, *held[key + 1 :]]


def survives(dialect: Dialect, raw: RawSpan) -> int:
    """Read the span with everything wrong in turn; return how often. Raises what a dialect raises.

    What was read must be JSON, for it is stored; and counts must be counts.
    """
    read = 0
    for bad in spans(raw):
        if not dialect.fits(bad):
            continue
        reading = dialect.normalise(bad, named(bad.attributes))
        read += 1
        if reading is None:
            continue
        content = reading.content
        orjson.dumps([content.input, content.output, content.tools], option=orjson.OPT_NON_STR_KEYS)
        assert all(count is None or count >= 0 for count in reading.facts.tokens[:6])
        assert all(isinstance(reason, str) for reason in reading.finish)
        assert all(isinstance(item, dict) for item in content.input or ())
        assert all(isinstance(item, dict) for item in content.output or ())
    return read
