"""Values that senders encode loosely: numbers as text, JSON in text, Python's repr, quotes in quotes."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from collector.raw import DEPTH, Unread

Attributes = Mapping[str, Any]

MAX_COUNT = 2**31 - 1
_ABSENT = frozenset({"", "none", "null", "None", "NOT_GIVEN"})
_REPR_CHARS = 4_096  # Python's repr is read for short values only: its parser is slow
_PATH = 12  # parts of a flattened key; the conventions need 7
_TOO_DEEP = "[nested too deeply]"
_OPENING = ("[", "{", '"', "(")  # how JSON begins that is not bare, and Python's repr
_SHORT = 1_000  # characters, in which all brackets are counted faster than found one by one


def first(attributes: Attributes, names: Iterable[str]) -> Any:
    """Return the first value that is present and not an empty word."""
    for name in names:
        if name in attributes:
            value = attributes[name]
            if value is not None and (not isinstance(value, str) or value not in _ABSENT):
                return value
    return None


def first_count(attributes: Attributes, names: Iterable[str]) -> int | None:
    """Return the first value that is a count: "n/a" under one name does not hide 7 under the next.

    >>> first_count({"a": "n/a", "b": 7}, ("a", "b"))
    7
    """
    for name in names:
        if name in attributes and (found := count(attributes[name])) is not None:
            return found
    return None


def number(value: Any) -> float | None:
    """Return a finite number, also from text.

    >>> number("0.2"), number("n/a"), number(True)
    (0.2, None, None)
    """
    if value.__class__ is float:  # by far the most: the rest is for what should not come
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(unquoted(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """Return a whole number of 0 or more, also from text; None for -1, which means "not set".

    >>> count("17"), count(17.0), count(-1), count(1.5)
    (17, 17, None, None)
    """
    if value.__class__ is int:
        return value if 0 <= value <= MAX_COUNT else None
    if value is None:
        return None
    found = number(value)
    if found is None or found != int(found) or not 0 <= found <= MAX_COUNT:
        return None
    return int(found)


def text(value: Any) -> str | None:
    """Return text without JSON's quotes around it; None for the words that mean "nothing"."""
    if value.__class__ is str:  # nearly all
        if value in _ABSENT:
            return None
        if value[0] != '"':
            return value
    if not isinstance(value, str):
        return None
    found = unquoted(value)
    return None if found in _ABSENT else found


def unquoted(value: str) -> str:
    r"""Return text that was JSON-encoded once more than it should have been.

    >>> unquoted('"gpt-4o"'), unquoted("gpt-4o")
    ('gpt-4o', 'gpt-4o')
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        bare = value[1:-1]
        if bare.isprintable() and not ("\\" in bare or '"' in bare):  # nothing is escaped in it
            return bare
        inner = from_json(value)
        return inner if isinstance(inner, str) else value
    return value


def flag(value: Any) -> bool | None:
    """Return a yes or no, also from the words ``True`` and ``false``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(unquoted(value).lower())
    return None


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts, from a list, a JSON list in text, Python's repr, or one bare text.

    >>> texts(["stop"]), texts('["stop"]'), texts("['stop']"), texts("stop"), texts(None)
    (('stop',), ('stop',), ('stop',), ('stop',), ())
    """
    if value is None:
        return ()
    found = decoded(value)
    if isinstance(found, str) and found[:1] in ("[", '"') and found != value:
        found = decoded(found)  # JSON in JSON
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list | tuple):
        return tuple(item for item in found if isinstance(item, str))
    return ()


def decoded(value: Any) -> Any:
    """Return what is inside a text of JSON or of Python's repr; any other value as it is."""
    if not isinstance(value, str) or value[:1] not in _OPENING or isinstance(value, Unread):
        return value
    found = from_json(value)
    if found is None:
        found = _from_repr(value)
    return value if found is None else found


def from_json(value: Any) -> Any:
    """Return what a JSON text holds, fit to be stored; None where it is no JSON, or too much."""
    if not isinstance(value, str):
        return value
    if isinstance(value, Unread):
        return None
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    # Only a text with an escaped NUL or with many brackets can hold what a database refuses.
    if "\\u0000" in value:
        return _settled(found, DEPTH)
    many = _has_many_brackets(value)
    return _settled(found, DEPTH) if many and _is_deep(found, DEPTH) else found


def _has_many_brackets(text: str) -> bool:
    """Return whether a JSON text could have more levels than are kept."""
    if len(text) < _SHORT:
        return text.count("{") + text.count("[") >= DEPTH
    return _has_more(text, "{", DEPTH // 2) or _has_more(text, "[", DEPTH // 2)


def _is_deep(value: Any, depth: int) -> bool:
    """Return whether a value has so many levels; cheaper than to copy it."""
    level = [value] if value.__class__ is dict or value.__class__ is list else []
    for _ in range(depth - 1):
        level = [
            item
            for one in level
            for item in (one.values() if one.__class__ is dict else one)
            if item.__class__ is dict or item.__class__ is list
        ]
        if not level:
            return False
    return bool(level)


def _has_more(text: str, character: str, most: int) -> bool:
    """Return whether a character stands more than ``most`` times in a text.

    Messages are long and their brackets few: str.count would look at every character, 1 ns each.
    """
    at = text.find(character)
    while at >= 0 and most > 0:
        at = text.find(character, at + 1)
        most -= 1
    return at >= 0


def _settled(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if not isinstance(value, list | dict):
        return value
    if depth <= 1:
        return _TOO_DEEP
    if isinstance(value, list):
        return [_settled(item, depth - 1) for item in value]
    return {key.replace("\x00", ""): _settled(item, depth - 1) for key, item in value.items()}


def _from_repr(value: str) -> Any:
    if len(value) > _REPR_CHARS:
        return None
    try:
        return from_json(orjson.dumps(ast.literal_eval(value)).decode())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, Warning):
        return None


def mapping(value: Any) -> dict[str, Any]:
    """Return an object, from an object or from its text; an empty one for anything else."""
    found = decoded(value)
    return found if isinstance(found, dict) else {}


class _Node(dict[str, Any]):
    """A level of a flattened key: never an object that was sent, which must stay as it is."""


def unflattened(attributes: Attributes, prefix: str) -> list[Any]:
    """Return the list that was spread over keys with indices.

    >>> unflattened({"p.0.role": "user", "p.0.calls.0.id": "a", "p.name": "x"}, "p.")
    [{'role': 'user', 'calls': [{'id': 'a'}]}]
    """
    root = _Node()
    start = len(prefix)
    for key, value in attributes.items():
        if key.startswith(prefix) and key[start : start + 1].isdigit():
            _plant(root, key[start:].split("."), value)
    grown = _grown(root)
    return grown if isinstance(grown, list) else list(grown.values())


def _plant(root: _Node, path: list[str], value: Any) -> None:
    if len(path) > _PATH:
        return
    node = root
    for part in path[:-1]:
        child = node.setdefault(part, _Node())
        if not isinstance(child, _Node):  # ``a.0`` and ``a.0.b`` both sent: the shorter one stays
            return
        node = child
    node.setdefault(path[-1], value)


def _grown(node: Any) -> Any:
    if not isinstance(node, _Node):
        return node
    if all(key.isdecimal() for key in node):
        return [_grown(node[key]) for key in sorted(node, key=lambda index: (len(index), index))]
    return {key: _grown(child) for key, child in node.items()}
