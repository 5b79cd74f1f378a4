"""The numbers and names of a call, by its flat attributes and the request's own parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from collector.dialects.names import Named
from collector.dialects.tokens import Tokens
from collector.dialects.values import count, first, number, text, texts

_MAX_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_STOP = ("stop", "stop_sequences")
_JSON_FORMS = ("json_object", "json_schema")

T = TypeVar("T")


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


def facts(named: Named, parameters: Mapping[str, Any] | None = None) -> Facts:
    """Return what a span tells; ``parameters`` is the request's JSON, for what no name tells."""
    said = _told(named)
    return _with_parameters(said, parameters) if parameters else said


def _told(named: Named) -> Facts:
    told = named.get
    return Facts(
        provider=told("provider"),
        request_model=told("request_model"),
        response_model=told("response_model"),
        response_id=told("response_id"),
        tokens=Tokens(
            input=told("input"),
            output=told("output"),
            cache_read=told("cache_read"),
            cache_write=told("cache_write"),
            reasoning=told("reasoning"),
            total=told("total"),
        ),
        streaming=told("streaming"),
        temperature=told("temperature"),
        top_p=told("top_p"),
        max_tokens=told("max_tokens") or None,
        stop_sequences=_stop(told("stop")),
        choices=told("choices"),
        output_type=_form(told("output_type"), "schema" in named),
        prompt_version=told("prompt_version"),
        template=told("template"),
    )


def _with_parameters(said: Facts, asked: Mapping[str, Any]) -> Facts:
    """Return the facts, with what only the request's own parameters tell."""

    def or_asked(known: T | None, found: T | None) -> T | None:
        return found if known is None else known

    limit = count(first(asked, _MAX_TOKENS)) or None
    return said._replace(
        request_model=or_asked(said.request_model, text(asked.get("model"))),
        temperature=or_asked(said.temperature, number(asked.get("temperature"))),
        top_p=or_asked(said.top_p, number(asked.get("top_p"))),
        max_tokens=or_asked(said.max_tokens, limit),
        stop_sequences=said.stop_sequences or _stop(first(asked, _STOP)),
        choices=or_asked(said.choices, count(asked.get("n"))),
        output_type=or_asked(said.output_type, _asked_form(asked)),
    )


def _stop(value: Any) -> tuple[str, ...]:
    """Return stop sequences; one that is bare text may well begin with a bracket."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) and value[:1] not in ("[", '"') else texts(value)


def _asked_form(asked: Mapping[str, Any]) -> str | None:
    """Return the form asked for: as ``response_format``, or as the ``text`` of Responses."""
    form = asked.get("response_format")
    if form is None and isinstance(asked.get("text"), dict):
        form = asked["text"].get("format")
    return _form(text(form.get("type") if isinstance(form, dict) else form), False)


def _form(word: str | None, has_schema: bool) -> str | None:
    """Return ``json`` or ``text``, or what else was asked for."""
    if word is None:
        return "json" if has_schema else None
    return "json" if word in _JSON_FORMS else word
