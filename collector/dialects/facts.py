"""The numbers and names of a call, by its flat attributes and the request's own parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from collector.dialects.names import Named
from collector.dialects.tokens import Tokens, told_tokens
from collector.dialects.values import count, first, number, text, texts

_STOP = ("stop", "stop_sequences")
_JSON_FORMS = ("json_object", "json_schema")


class Facts(NamedTuple):
    """What a span says in flat attributes. ``None`` where it does not."""

    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    tokens: Tokens
    streaming: bool | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop_sequences: tuple[str, ...]
    choices: int | None
    output_type: str | None
    prompt_version: str | None
    template: str | None
    app_cost_usd: Decimal | None = None
    service_tier: str | None = None
    schema: Any = None  # JSON Schema, or the form asked for around it, or their text


def facts(named: Named, parameters: Mapping[str, Any] | None = None) -> Facts:
    """Return what a span tells; ``parameters`` is the request's JSON, for what no name tells."""
    said = _told(named)
    return _with_parameters(said, parameters) if parameters else said


# Facts and tokens are built from lists: keywords, and _replace after them, took 5 us a span.
_TOKENS, _STOP_AT, _MAX, _TYPE, _SCHEMA = map(
    Facts._fields.index, ("tokens", "stop_sequences", "max_tokens", "output_type", "schema")
)


def _told(named: Named) -> Facts:
    said = list(map(named.get, Facts._fields))
    said[_TOKENS] = told_tokens(named)
    said[_STOP_AT] = _stop(named["stop"]) if "stop" in named else ()
    said[_MAX] = said[_MAX] or None
    if "output_type" in named or "schema" in named:
        said[_TYPE] = _form(said[_TYPE], "schema" in named)
    return Facts._make(said)


def _with_parameters(said: Facts, asked: Mapping[str, Any]) -> Facts:
    """Return the facts, with what only the request's own parameters tell."""
    found = list(said)
    for name, place, read in _ASKED:
        if name in asked and found[place] is None:
            found[place] = read(asked[name])
    if not said.stop_sequences:
        found[_STOP_AT] = _stop(first(asked, _STOP))
    if "response_format" in asked or "text" in asked:
        _take_form(found, _asked_form(asked))
    return Facts._make(found)


def _take_form(found: list[Any], form: Any) -> None:
    if found[_TYPE] is None:
        found[_TYPE] = form_of(form)
    if found[_SCHEMA] is None:
        found[_SCHEMA] = schema_in(form)


def _limit(value: Any) -> int | None:
    return count(value) or None


def _stop(value: Any) -> tuple[str, ...]:
    """Return stop sequences; one that is bare text may well begin with a bracket."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) and value[:1] not in ("[", '"') else texts(value)


def _asked_form(asked: Mapping[str, Any]) -> Any:
    """Return the form asked for: as ``response_format``, or as the ``text`` of Responses."""
    form = asked.get("response_format")
    if form is None and isinstance(asked.get("text"), dict):
        return asked["text"].get("format")
    return form


def form_of(form: Any) -> str | None:
    """Return ``json`` or ``text`` for a form as OpenAI's interfaces name it."""
    return _form(text(form.get("type") if isinstance(form, dict) else form), False)


def schema_in(form: Any) -> Any:
    """Return a form that holds a JSON Schema; None for any other."""
    if not isinstance(form, dict):
        return None
    return form if isinstance(form.get("json_schema", form.get("schema")), dict) else None


def _form(word: str | None, has_schema: bool) -> str | None:
    """Return ``json`` or ``text``, or what else was asked for."""
    if word is None:
        return "json" if has_schema else None
    return "json" if word in _JSON_FORMS else word


_READ: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("model", "request_model", text),
    ("temperature", "temperature", number),
    ("top_p", "top_p", number),
    ("max_tokens", "max_tokens", _limit),
    ("max_completion_tokens", "max_tokens", _limit),
    ("max_output_tokens", "max_tokens", _limit),
    ("n", "choices", count),
)
_ASKED = tuple((name, Facts._fields.index(fact), read) for name, fact, read in _READ)
