"""Whether JSON fits the schema that its request carried; nothing a sender writes can hold it up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

from collector.dialects.values import from_json

SCHEMA_BYTES = 32 * 1024
_KNOWN = 256  # schemas that are kept compiled
_STEPS = 2_000  # schemas met on all ways through one, its references followed
_WORK = 40_000_000  # steps times characters of the answer: about a tenth of a second at the worst
_NAME_PATTERNS = 50  # patterns for names of properties: each takes a fifth of a millisecond
_DEPTH = 32  # levels of an answer
_PATTERN_BYTES = 256 * 1024  # of a compiled pattern; RE2-like: no backtracking
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)

# Keywords by where their schemas look: at a part of the value, or at the same value once more.
_DEEPER = frozenset(
    [
        "properties",
        "patternProperties",
        "additionalProperties",
        "unevaluatedProperties",
        "propertyNames",
        "items",
        "prefixItems",
        "additionalItems",
        "unevaluatedItems",
        "contains",
    ]
)
_NAMED = frozenset(["properties", "patternProperties", "dependentSchemas", "dependencies"])
_NO_SCHEMA = frozenset(
    ["$defs", "definitions", "enum", "const", "default", "examples", "required", "type"]
)
# They name other places, within the schema or without.
_REFUSED = frozenset(
    ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"]
)


class _Compiled(NamedTuple):
    validator: jsonschema_rs.Validator
    steps: int
    depth: int  # levels of an answer that it can look at within _STEPS


def fits_schema(schema: Any, value: Any, chars: int) -> bool | None:
    """Return whether ``value`` fits; None for a schema that is none, too large or too costly.

    ``schema`` is a JSON Schema, its text, or the ``response_format`` around it. References lead
    within it or nowhere: nothing is ever fetched. ``chars`` is the length of the answer.
    """
    compiled = _compiled(schema)
    if compiled is None or compiled.steps * chars > _WORK:
        return None
    if compiled.depth < _DEPTH and _is_deeper(value, compiled.depth):
        return None
    try:
        return bool(compiled.validator.is_valid(value))
    except ValueError:  # nested too deeply
        return None


_cache: OrderedDict[bytes, _Compiled | None] = OrderedDict()


def _compiled(schema: Any) -> _Compiled | None:
    key = _text(schema)
    if key is None or len(key) > SCHEMA_BYTES:
        return None
    if key in _cache:
        return _cache.get(key)
    made = _cache[key] = _compile(key)
    if len(_cache) > _KNOWN:
        _cache.popitem(last=False)
    return made


def _text(schema: Any) -> bytes | None:
    if isinstance(schema, str):
        return schema.encode(errors="replace")
    if not isinstance(schema, dict):
        return None
    try:
        return orjson.dumps(schema)
    except TypeError:  # too deep, or what JSON has no form for
        return None


def _compile(text: bytes) -> _Compiled | None:
    found = _unwrapped(from_json(text.decode(errors="replace")))
    reached = _reach(found) if found is not None else None
    if found is None or reached is None:
        return None
    try:
        validator = jsonschema_rs.validator_for(
            found, pattern_options=_PATTERNS, validate_formats=False, offline=True
        )
    except ValueError:  # it is no schema
        return None
    return _Compiled(validator, *reached)


def _unwrapped(found: Any) -> dict[str, Any] | None:
    """Return the schema inside of what OpenAI's two interfaces send around it."""
    for name in ("json_schema", "schema"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    return found if isinstance(found, dict) else None


def _reach(root: dict[str, Any]) -> tuple[int, int] | None:
    """Return how many schemas stand on all ways through one, and to which depth of an answer.

    References may multiply: ten schemas that each hold the next one twice are a thousand ways.
    None where a reference leads out of the schema.
    """
    level: list[Any] = [root]
    steps = 0
    for depth in range(_DEPTH):
        deeper: list[Any] = []
        while level:
            one = level.pop()
            steps += 1
            if steps > _STEPS:
                return steps, depth
            if not _spread(one, root, level, deeper):
                return None
        level = deeper
        if not level:
            break
    return steps, _DEPTH


def _spread(one: Any, root: dict[str, Any], same: list[Any], deeper: list[Any]) -> bool:
    """Add the schemas within one to the lists; False where it refers to what is not there."""
    if not isinstance(one, dict):
        return True
    for name, value in one.items():
        if name in _REFUSED or (name == "patternProperties" and _has_many(value)):
            return False
        if name == "$ref":
            target = _target(value, root)
            if target is None:
                return False
            same.append(target)
        elif name not in _NO_SCHEMA:
            (deeper if name in _DEEPER else same).extend(_schemas(name, value))
    return True


def _has_many(patterns: Any) -> bool:
    return isinstance(patterns, dict) and len(patterns) > _NAME_PATTERNS


def _schemas(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
    elif isinstance(value, dict):
        yield from (value.values() if name in _NAMED else (value,))


def _target(pointer: Any, root: dict[str, Any]) -> Any:
    """Return what a reference within the schema points at; None for any other."""
    if not isinstance(pointer, str) or not pointer.startswith("#") or "%" in pointer:
        return None
    found: Any = root
    for part in pointer[1:].split("/")[1:]:
        if not isinstance(found, dict):
            return None
        found = found.get(part.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, dict) else None


def _is_deeper(value: Any, depth: int) -> bool:
    """Return whether a value has more than so many levels; a word or a number has one."""
    level = [value]
    for _ in range(depth):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return bool(level)
