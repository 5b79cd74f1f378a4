"""What an answer looks like: its kind, whether it is the JSON asked for, how it repeats itself."""

from __future__ import annotations

import re
import threading
from enum import Enum
from typing import Any, NamedTuple

import orjson
import zstandard

from collector.dialects.content import Message
from collector.dialects.output_schema import fits_schema
from collector.raw import Unread
from tidegauge.call import OutputKind

PARSED = 128 * 1024  # characters of JSON that are read: more would become too many objects
REPETITIVE = 200  # characters from which on repetition is measured
_TAIL = 4_000  # characters that are measured, the last: a loop runs on to the end
_FRAME = 16  # bytes that zstd needs for anything at all
_PROSE = 0.5  # of its plain size, to which zstd brings ordinary text of _TAIL
_REFUSAL_CHARS = 1_000
_REFUSAL = re.compile(
    r"(?:(?:i'm|i am) (?:very |really |so )?sorry[,.!]? |sorry[,.!]? |unfortunately,? "
    r"|i apologi[sz]e[,.]? |as an ai(?: language)?(?: model| assistant)?, )?"
    r"(?:but |however, )?i(?: cannot| can't| can not|'m unable to| am unable to|'m not able to"
    r"| am not able to| won't| will not)(?: be able to)? (?:assist (?:you )?with|help (?:you )?with"
    r"|comply with|fulfil+ |engage in|do that\b|continue with this"
    r"|(?:provide|create|generate|write|share|give) [^.]{0,60}(?:instructions|guidance)\b)"
)


class Form(Enum):
    """What a parser says of a text."""

    VALID = "valid"
    UNCLOSED = "unclosed"  # JSON so far, and then it ends
    BROKEN = "broken"
    UNREAD = "unread"  # too long to be looked at


class Look(NamedTuple):
    """An answer at first sight; ``form`` is None where nothing was parsed."""

    texts: tuple[str, ...] = ()
    called: bool = False  # it calls a tool
    refused: bool = False  # a part of it says that the model will not
    blank: bool = False  # a text of no characters was sent
    other: bool = False  # it has parts that are neither: images, audio
    form: Form | None = None
    value: Any = None  # what was parsed


NOTHING = Look()
_FORM = Look._fields.index("form")


def look_at(output: list[Message] | None, *, asked_json: bool, choices: int) -> Look:
    """Return what an answer is made of, parsed where it was to be JSON or starts like it."""
    if not output:
        return NOTHING
    found = _parts(output)
    texts = found.texts
    if not texts:
        return found
    judged = texts if choices > 1 else texts[-1:]
    if not asked_json and not judged[0].lstrip()[:1] in ("{", "["):
        return found
    form = parsed(judged[0]) if len(judged) == 1 else _worst([parsed(text) for text in judged])
    return Look._make((*found[:_FORM], *form))


def _parts(output: list[Message]) -> Look:
    texts: list[str] = []
    called = refused = blank = other = False
    value: Any = None
    for item in output:
        content = item.get("content")
        if isinstance(content, str):
            if content:
                texts.append(content)
            else:
                blank = True
        elif content is not None:
            value, other = content, True
        called = called or bool(item.get("tool_calls"))
        refused = refused or bool(item.get("refusal"))
        parts = item.get("parts")
        for part in parts if isinstance(parts, list) else ():
            other = True
            refused = refused or (isinstance(part, dict) and part.get("type") == "refusal")
    form = Form.VALID if isinstance(value, dict) and not texts else None
    return Look(tuple(texts), called, refused, blank, other, form, value)


def _worst(found: list[tuple[Form, Any]]) -> tuple[Form, Any]:
    return next((one for one in found if one[0] is not Form.VALID), found[-1])


def parsed(text: str) -> tuple[Form, Any]:
    """Return whether a text is JSON, and what it holds.

    >>> parsed('{"a": 1}'), parsed('{"a": ')[0].value, parsed("[Note] a")[0].value
    ((<Form.VALID: 'valid'>, {'a': 1}), 'unclosed', 'broken')
    """
    if len(text) > PARSED or isinstance(text, Unread):
        return Form.UNREAD, None
    try:
        return Form.VALID, orjson.loads(text)
    except orjson.JSONDecodeError as error:
        cut = error.msg.startswith("unexpected end of data")
        return (Form.UNCLOSED if cut else Form.BROKEN), None


def output_kind(
    look: Look, finish: tuple[str, ...], output_tokens: int | None
) -> OutputKind | None:
    """Return what a model answered with; None where the span does not tell."""
    if look.refused or "content_filter" in finish:
        return OutputKind.REFUSAL
    if look.called or "tool_call" in finish:
        return OutputKind.TOOL_CALL
    if look.form is Form.VALID and isinstance(look.value, dict | list):
        return OutputKind.JSON
    if look.texts:
        text = look.texts[-1]
        if text.isspace():
            return OutputKind.EMPTY
        return OutputKind.REFUSAL if is_refusal(text) else OutputKind.TEXT
    if "stop" in finish and not look.other and (look.blank or output_tokens == 0):
        return OutputKind.EMPTY
    return None


def is_refusal(text: str) -> bool:
    """Return whether a short answer opens as refusals do; English alone.

    >>> is_refusal("I'm sorry, but I can't assist with that."), is_refusal("I can't help but smile")
    (True, False)
    """
    if len(text) > _REFUSAL_CHARS:
        return False
    return _REFUSAL.match(text[:200].strip().replace("’", "'").lower()) is not None  # noqa: RUF001


def output_valid(look: Look, schema: Any, *, truncated: bool | None) -> bool | None:
    """Return whether an answer that was to be JSON is, and fits its schema where one was sent.

    Calls of tools and refusals are not judged, and neither is what is not there or too long. An
    answer that was cut is not valid.
    """
    if look.called or look.refused or look.form in (None, Form.UNREAD):
        return None
    if truncated or look.form is not Form.VALID:
        return None if look.texts and is_refusal(look.texts[-1]) else False
    chars = len(look.texts[-1]) if look.texts else 0
    # A schema that cannot be used says nothing: the answer is at least JSON.
    return schema is None or fits_schema(schema, look.value, chars) is not False


def repetition(text: str) -> float | None:
    """Return how much an answer repeats itself, 0 to 1; None below 200 characters.

    The last 4,000 characters are compressed with zstd. Ordinary prose and code keep half of their
    size or more: 0. Pure repetition keeps nothing but the frame: 1. Between them the score is
    linear in the ratio; long tables of JSON reach about 0.5.

    >>> repetition("I will try again. " * 50) > 0.9, repetition("short")
    (True, None)
    """
    if len(text) < REPETITIVE:
        return None
    plain = text[-_TAIL:].encode(errors="replace")
    ratio = max(len(_compressor().compress(plain)) - _FRAME, 0) / len(plain)
    return round(min(max(1 - ratio / _PROSE, 0.0), 1.0), 3)


_local = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    """Return this thread's compressor: one is not to be used by two at once."""
    found: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if found is None:
        found = _local.compressor = zstandard.ZstdCompressor(level=1)
    return found
