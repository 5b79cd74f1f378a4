"""The dialects we read, most specific first, and the one that fits a span; one file per dialect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from collector.dialects import (
    agno,
    anthropic_sdk,
    autogen,
    azure_ai,
    crewai,
    genai,
    generic,
    google_adk,
    haystack,
    langfuse,
    langsmith,
    litellm,
    mlflow,
    ms_agent_framework,
    openinference,
    openlit,
    openllmetry,
    pydantic_ai,
    semantic_kernel,
    smolagents,
    spring_ai,
    strands,
    vercel_ai,
    vllm,
)
from collector.dialects.assemble import Cost, call_of, no_price, unreadable, wrapper_of
from collector.dialects.names import Named, named
from collector.dialects.reading import Reading
from collector.raw import RawSpan
from tidegauge import log
from tidegauge.call import Call

__all__ = ["DIALECTS", "Dialect", "dialect_of", "normalise", "normalise_all"]

_SCOPES_KNOWN = 1_000


class Dialect(Protocol):
    """What each file of this folder offers."""

    NAME: str
    SCOPES: tuple[str, ...]  # how the names of the instrumentation scopes that write it begin

    def fits(self, raw: RawSpan) -> bool:
        """Return whether the span speaks this dialect."""

    def normalise(self, raw: RawSpan, told: Named) -> Reading | None:
        """Read a model call; None for a span that is none.

        ``told`` are the facts of its flat attributes: ``named(raw.attributes)``.
        """


DIALECTS: tuple[Dialect, ...] = (
    vercel_ai,
    langfuse,
    langsmith,
    litellm,
    mlflow,
    pydantic_ai,
    strands,
    google_adk,
    openlit,
    haystack,
    semantic_kernel,
    ms_agent_framework,
    autogen,
    agno,
    smolagents,
    crewai,
    vllm,
    spring_ai,
    azure_ai,
    anthropic_sdk,
    openinference,
    openllmetry,
    genai,
    generic,
)


def normalise(raw: RawSpan, project: str, cost: Cost = no_price) -> Call:
    """Return a span in our own words; one that is no model call comes back as not counted.

    A span of a dialect that we do not read is kept the same way: guessed numbers would be worse.
    """
    return normalise_all([raw], project, cost)[0]


def normalise_all(raws: Sequence[RawSpan], project: str, cost: Cost = no_price) -> list[Call]:
    """Return spans in our own words, worked through stage by stage.

    One by one they take a seventh more time: the code of all stages together is too much for the
    processor's nearest cache, that of one stage is not.
    """
    known = [dialect_of(raw) for raw in raws]
    told = [named(raw.attributes) for raw in raws]
    read = [_read(*one) for one in zip(raws, known, told, strict=True)]
    rows = zip(raws, known, told, read, strict=True)
    return [_call(*row, project, cost) for row in rows]


def _read(raw: RawSpan, dialect: Dialect | None, told: Named) -> Reading | Exception | None:
    try:
        return None if dialect is None else dialect.normalise(raw, told)
    except Exception as error:  # noqa: BLE001 - told by _call: a span must not be lost
        return error


def _call(
    raw: RawSpan,
    dialect: Dialect | None,
    told: Named,
    read: Reading | Exception | None,
    project: str,
    cost: Cost,
) -> Call:
    name = dialect.NAME if dialect else "none"
    try:
        if isinstance(read, Exception):
            raise read
        if read is None:
            return wrapper_of(raw, project, name, told)
        return call_of(raw, project, read, cost)
    except Exception as error:  # noqa: BLE001
        # A span that a dialect did not expect must not be lost. The error's text may hold content.
        log.get(__name__).error("span not read", dialect=name, error=type(error).__name__)
        return unreadable(raw, project, name)


def dialect_of(raw: RawSpan) -> Dialect | None:
    """Return the dialect of a span: first those whose library wrote it, then every other one."""
    for one in _in_order(raw.scope_name):
        if one.fits(raw):
            return one
    return None


@lru_cache(maxsize=_SCOPES_KNOWN)
def _in_order(scope: str) -> tuple[Dialect, ...]:
    """Return all dialects, those of a scope first: most spans then need to be looked at once."""
    own = [one for one in DIALECTS if one.SCOPES and scope.startswith(one.SCOPES)]
    return (*own, *(one for one in DIALECTS if one not in own))
