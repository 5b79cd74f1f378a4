"""What the developer wrote, apart from the values filled in: a checksum that tells of changes."""

from __future__ import annotations

import hashlib
import re
import string
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from collector.dialects.content import Content, system_text

MARK = "#"  # stands for a value
_CHARS = 100_000  # of a prompt: more would take a hundredth of a second, and names it no better
_KNOWN = 2_000  # prompts whose checksum is remembered, by a hash of their text
# A value begins at a digit and takes what hangs together with it (dates, times, UUIDs, IPs, ids);
# an e-mail address is found by its "@", the query of a URL by its "?". The one set at the front
# keeps the search fast: the engine looks for these characters alone.
_VALUE = re.compile(
    r"[\d@?](?:"
    r"(?<=\d)(?:[-:.,/+]?[\dA-Za-z_])*=*(?: ?[AaPp]\.?[Mm]\b\.?)?"
    r"|(?<=@)[\w-]+(?:\.[\w-]+)+"
    r"|(?<=[\w/]\?)[\w.~%+-]+=[^\s\"'<>)\]]*"
    r")"
)
_LEFT = string.ascii_letters + "_"  # "req_01AB" is one value, as "3f" and "a3f" are
_LEFT_OF_AT = string.ascii_letters + string.digits + "_.+-"
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = (
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun"
)
_CALENDAR = frozenset(_MONTHS.split())
_LONGEST = 11  # "september" and a point, a comma


def masked(text: str) -> str:
    """Return a text with a mark for each number, date, time, id, address and URL query in it.

    White space is made one space. A word with a digit in it is a value, too.

    >>> masked("Today is Tuesday,  24 November 2026, 15:10 UTC.")
    'Today is #, # #, # UTC.'
    >>> masked("order 4711 of ann@example.com (id 3f2a-91bc)")
    'order # of # (id #)'
    """
    plain = " ".join(text.split())
    for day in _DAYS:
        if day in plain:
            plain = plain.replace(day, MARK)
    return "".join(_pieces(plain))


def _pieces(text: str) -> Iterator[str]:
    end = 0
    for found in _VALUE.finditer(text):
        gap = text[end : found.start()]
        yield _before(gap, found[0][0])
        yield MARK
        end = found.end()
    yield text[end:]


def _before(gap: str, first: str) -> str:
    """Return what stands before a value, without what belongs to the value."""
    if first == "?":
        return gap
    if first == "@":
        return gap.rstrip(_LEFT_OF_AT)
    return _without_month(gap.rstrip(_LEFT))


def _without_month(gap: str) -> str:
    """Return the text before a number without the name of a month, or of a day, at its end."""
    words = gap[-2 * _LONGEST :].rstrip(" ,.")
    last = words.rpartition(" ")[2]
    if last.lower() not in _CALENDAR:
        return gap
    return gap.rstrip(" ,.").removesuffix(last)


def prompt_checksum(content: Content, template: str | None) -> str | None:
    """Return a checksum of what the developer wrote; None where the span does not hold it.

    Of the template where one was sent, else of the system instructions with their values masked;
    and of the tool definitions, in whatever order they came.
    """
    system: list[Any] = [template] if template else system_text(content.input)
    if not (system or content.tools):
        return None
    return _remembered(system, content.tools)


_checksums: OrderedDict[tuple[int, int], str] = OrderedDict()


def _remembered(system: list[Any], tools: list[Any] | None) -> str:
    """Return the checksum, from memory where the same prompt was seen: texts are not kept."""
    if tools is None and len(system) == 1 and isinstance(system[0], str):
        text: str | bytes = system[0]
    else:
        text = orjson.dumps([system, tools])
    key = (hash(text), len(text))
    known = _checksums.get(key)
    if known is None:
        known = _checksums[key] = checksum(_identity(system, tools))
        if len(_checksums) > _KNOWN:
            _checksums.popitem(last=False)
    return known


def _identity(system: Iterable[Any], tools: list[Any] | None) -> dict[str, Any]:
    return {
        "system": [_masked(item if isinstance(item, str) else _canonical(item)) for item in system],
        "tools": sorted(_masked(_canonical(_definition(item))) for item in tools or ()),
    }


def _masked(text: str) -> str:
    return masked(text[:_CHARS])


def _definition(item: Any) -> Any:
    """Return a tool as name, description and schema, however its provider wraps them."""
    inner = item.get("function") if isinstance(item, dict) else None
    found = inner if isinstance(inner, dict) else item
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return item
    schemas = (found.get(name) for name in ("parameters", "input_schema", "inputSchema"))
    schema = next((one for one in schemas if one is not None), None)
    return [found["name"], found.get("description"), schema]


def _canonical(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def checksum(value: Any) -> str:
    """Return 16 hex digits that are equal for equal JSON."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:16]
