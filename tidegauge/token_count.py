"""How many tokens an application says that it used: its own metric, apart from its spans."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TokenType(StrEnum):
    """What the tokens were for."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """One point of a metric: the tokens from ``began_ns`` to ``until_ns``.

    A cumulative stream keeps its start and counts on; a delta has a new start with every point. So
    the tokens of a stream since one start never fall, of whichever kind it is.
    """

    project: str
    instance: bytes  # hash of the resource: one process that measures
    stream: bytes  # hash of resource, scope, metric and attributes
    began_ns: int  # since 1970; 0: the sender does not say when it began to count
    until_ns: int
    tokens: int
    service: str
    request_model: str | None
    response_model: str | None
    type: TokenType
    metric: str  # scope and name: two of them may count the same tokens
