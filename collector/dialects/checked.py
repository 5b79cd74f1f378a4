"""All that one span tells of its answer: tokens audited, truncation, kind, form, repetition."""

from __future__ import annotations

from typing import NamedTuple

from collector.dialects.content import Message
from collector.dialects.errors import went_away
from collector.dialects.output_checks import (
    NOTHING,
    Look,
    look_at,
    output_kind,
    output_valid,
    repetition,
)
from collector.dialects.reading import Reading
from collector.dialects.scripts import output_script
from collector.dialects.tokens import Seen, Tokens, audited
from collector.dialects.truncation import Ending, truncation
from collector.raw import RawSpan
from tidegauge.call import Evidence, Operation, OutputKind

_WITHOUT_TEXT = (Operation.EMBEDDINGS, Operation.RERANK)
_MEDIA = ("base64,", '"image', "'image")
_LOOKED_AT = 4_000  # characters of input: below, no count is doubted for them


class Checked(NamedTuple):
    """What was found out; see Call for the fields."""

    tokens: Tokens
    truncated: bool | None
    evidence: Evidence | None
    kind: OutputKind | None = None
    script: str | None = None
    valid: bool | None = None
    repetition: float | None = None


def checked(raw: RawSpan, reading: Reading, error_type: str | None) -> Checked:
    """Check the answer of a call. Holds nothing of its content."""
    if reading.operation in _WITHOUT_TEXT:
        seen = _seen(reading, NOTHING, error_type is not None, 1, False)
        seen = seen._replace(expected=reading.operation is Operation.EMBEDDINGS)
        return Checked(audited(reading.facts.tokens, seen), None, None)
    said, output, finish = reading.facts, reading.content.output, reading.finish
    whole = not (raw.cut or raw.dropped_attributes or raw.dropped_events)
    schema = said.schema if reading.schema is None else reading.schema
    asked_json = said.output_type == "json" or schema is not None
    choices = max(said.choices or 1, len(finish))
    look = look_at(output, asked_json=asked_json, choices=choices) if output else NOTHING
    stopped = _stopped(raw, reading, error_type)
    streaming = _streamed(reading)
    counted = audited(said.tokens, _seen(reading, look, stopped, choices, whole))
    end = Ending(finish, said.max_tokens, counted.output, choices, streaming, stopped, whole)
    truncated, evidence = truncation(end, look, asked_json=asked_json)
    if error_type is not None:
        return Checked(counted, truncated, evidence)
    kind = output_kind(look, finish, counted.output)
    if not look.texts and look.form is None:
        return Checked(counted, truncated, evidence, kind)
    text = look.texts[-1] if look.texts else ""
    judged = asked_json and whole and not stopped
    valid = output_valid(look, schema, truncated=truncated) if judged else None
    return Checked(counted, truncated, evidence, kind, output_script(text), valid, repetition(text))


def _streamed(reading: Reading) -> bool | None:
    """Return whether the answer came in pieces; a model server times each first token."""
    return reading.facts.streaming or (reading.first_token_s is not None and not reading.by_server)


def _stopped(raw: RawSpan, reading: Reading, error_type: str | None) -> bool:
    """Return whether an error or the client ended the call.

    A reason "error" without an error is how OTel tells of a stream that its client closed.
    """
    if error_type is not None:
        return True
    return "error" in reading.finish or went_away(raw, reading.named)


def _seen(reading: Reading, look: Look, stopped: bool, choices: int, whole: bool) -> Seen:
    said, sent, finish = reading.facts, reading.content.input, reading.finish
    texts, limit = look.texts, said.max_tokens
    other = look.called or look.other
    # By place: by name it takes twice as long, and this runs for every call.
    return Seen(
        bool(texts or other),  # answered
        bool(finish) and finish != ("unknown",),  # expected
        stopped,
        _streamed(reading),
        None if limit is None else limit * choices,
        _input_chars(sent, said.tokens.input) if sent else 0,
        sum(map(len, texts)),
        whole and bool(texts) and not other,  # plain
    )


def _input_chars(sent: list[Message], tokens: int | None) -> int:
    """Return the characters of text that were sent; 0 where they may be those of an image."""
    texts = [item["content"] for item in sent if isinstance(item.get("content"), str)]
    chars = sum(map(len, texts))
    if chars < _LOOKED_AT or (tokens or 0) * 25 > chars:
        return chars
    return 0 if any(mark in text for text in texts for mark in _MEDIA) else chars
