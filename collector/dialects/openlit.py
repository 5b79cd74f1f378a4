"""OpenLIT to a reading: OTel's names, with defaults that nobody set and tokens it counted itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from collector.dialects import bodies, genai
from collector.dialects.content import Content, Message
from collector.dialects.facts import Facts
from collector.dialects.finish import reasons
from collector.dialects.names import Named, operation_of
from collector.dialects.reading import Reading
from collector.dialects.tokens import Tokens
from collector.dialects.told import provider
from collector.dialects.values import first, number, text
from collector.raw import RawSpan
from tidegauge.call import Operation

NAME = "openlit"
SCOPES: tuple[str, ...] = ("openlit.",)

_SDK = "telemetry.sdk.name"
_FINISH = "gen_ai.response.finish_reasons"
_SECONDS = "gen_ai.server.time_to_first_token"
_CACHED = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens")
_UNSET = 1.0  # temperature and top_p of a call that set none, and of one that set just this
_EXCLUDE_CACHED = (".anthropic", ".bedrock")  # the ends of scopes that copy the provider's numbers
# Spans of calls that failed have no attributes: their names begin with the operation.
_OPERATIONS = {
    "chat": Operation.CHAT,
    "text_completion": Operation.TEXT_COMPLETION,
    "embeddings": Operation.EMBEDDINGS,
    "rerank": Operation.RERANK,
}
_CHARS_PER_TOKEN = 2  # by which it estimates what the provider did not tell
_ERROR = 2  # span status


def fits(raw: RawSpan) -> bool:
    """Return whether OpenLIT wrote the span."""
    return raw.scope_name.startswith(SCOPES) or raw.attributes.get(_SDK) == NAME


def normalise(raw: RawSpan, told: Named) -> Reading | None:
    """Read a call, without the defaults and the time to the first token of an unstreamed answer."""
    operation = operation_of(told)
    if "kind" not in told and raw.status == _ERROR:
        operation = _OPERATIONS.get(raw.name.partition(" ")[0])
    if operation is None:
        return None
    reading = genai.reading_of(raw, operation, told)
    found = _facts(raw, reading.facts, reading.content)
    return replace(
        reading,
        dialect=NAME,
        facts=found,
        finish=_finish(raw, reading.content, found.choices or 1),
        first_token_s=_first_token_s(raw) if found.streaming else None,
    )


def _first_token_s(raw: RawSpan) -> float | None:
    seconds = number(raw.attributes.get(_SECONDS))
    return seconds if seconds is not None and 0 < seconds < 86_400 else None


def _facts(raw: RawSpan, found: Facts, content: Content) -> Facts:
    """Return the facts that the application or the provider told."""
    tokens = _tokens(raw, found, content)
    return found._replace(
        provider=found.provider or _provider(raw.scope_name),
        request_model=found.request_model or text(raw.name.partition(" ")[2]),
        temperature=None if found.temperature == _UNSET else found.temperature,
        top_p=None if found.top_p == _UNSET else found.top_p,
        # It says "text" of every answer: only another word was asked for.
        output_type=None if found.output_type == "text" else found.output_type,
        app_cost_usd=None if tokens.estimated else found.app_cost_usd,
        tokens=tokens,
    )


def _provider(scope: str) -> str | None:
    """Return the provider by the scope of a span without attributes; frameworks are none."""
    name = scope.rpartition(".")[2]
    return provider(name) if name in _CLIENTS else None


_CLIENTS = frozenset(
    {"anthropic", "azure_ai_inference", "bedrock", "cohere", "groq", "mistral", "openai", "ollama"}
)


def _tokens(raw: RawSpan, found: Facts, content: Content) -> Tokens:
    excludes = True if raw.scope_name.endswith(_EXCLUDE_CACHED) else None
    estimated = _is_estimate(raw, found, content)
    return found.tokens._replace(excludes_cached=excludes, estimated=estimated)


def _is_estimate(raw: RawSpan, found: Facts, content: Content) -> bool:
    """Return whether the library counted the tokens of a stream itself: half of its characters.

    It then knows nothing of cached tokens, which its later versions else tell even where there
    are none.
    """
    if not found.streaming or not found.tokens.output:
        return False
    if any(name in raw.attributes for name in _CACHED):
        return False
    said = [item.get("content") for item in content.output or ()]
    chars = sum(len(one) for one in said if isinstance(one, str))
    if chars == 0:  # the missing names of cached tokens have to do; Anthropic's always tell usage
        return found.provider != "anthropic"
    return math.ceil(chars / _CHARS_PER_TOKEN) == found.tokens.output


def _finish(raw: RawSpan, content: Content, choices: int) -> tuple[str, ...]:
    """Return why the model stopped; the reasons in the messages repeat it or are made up.

    Of several choices it tells one reason, so that the others are not known.
    """
    told = first(raw.attributes, (_FINISH,))
    found = reasons(bodies.cut_if_incomplete(told)) if told is not None else ()
    if found == ("unknown",):
        return ()
    if found == ("stop",) and any(map(_calls, content.output or ())) and "completed" in str(told):
        return ("tool_call",)
    return found + ("unknown",) * (choices - len(found)) if found and choices < 100 else found


def _calls(said: Message) -> Any:
    return said.get("tool_calls")
