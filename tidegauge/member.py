"""A span in its trace: what is asked of it to tell what it is, and the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tidegauge.call import NotCounted, Operation, UseCaseFrom

Key = tuple[str, str]  # trace and span, hex

#: Scopes of spans that a provider's own SDK writes, whatever else is instrumented.
SDK_SCOPES = ("com.anthropic.sdk", "com.openai.sdk", "com.google.genai.sdk")
# A chat and the embeddings that a search beneath it asks for are two calls, however they nest.
_ASKED = {Operation.EMBEDDINGS: "embeddings", Operation.RERANK: "rerank"}
_FILLED_IN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b[0-9a-f]{16,}\b|(?<=/)\d+(?=/|$)|\d{5,}",
    re.IGNORECASE,
)
_NAME_CHARS = 200
_NO_USE_CASE = "default"
_RANKS = {by: rank for rank, by in enumerate(UseCaseFrom)}


class Member(NamedTuple):
    """What is asked of a span to tell what it is in its trace."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_ns: int
    end_ns: int
    kind: int | None
    operation: Operation | None  # None: no inference span
    service: str
    library: str | None
    model: str
    response_id: str | None
    error_type: str | None
    input_checksum: str | None
    output_tokens: int | None
    attempts: int | None
    use_case: str
    use_case_from: UseCaseFrom | None
    user_id: str | None
    session_id: str | None

    @property
    def key(self) -> Key:
        """Return what names it."""
        return self.trace_id, self.span_id

    @property
    def asked(self) -> str:
        """Return what kind of thing it asks for: only spans of one kind can be one call."""
        return _ASKED.get(self.operation, "answer") if self.operation else ""

    @property
    def by_sdk(self) -> bool:
        """Return whether a provider's own SDK wrote it."""
        return self.library is not None and self.library.startswith(SDK_SCOPES)


class Place(NamedTuple):
    """What a span is in its trace."""

    not_counted: NotCounted | None
    duplicate_of: Key | None
    fills_from: tuple[Key, ...]  # others that tell of this call, the innermost first
    attempts: int | None
    use_case: str
    use_case_from: UseCaseFrom | None
    user_id: str | None
    session_id: str | None


def rank(by: UseCaseFrom | None) -> int:
    """Return the place of what names a use case: the one to be believed first is the least."""
    return len(_RANKS) if by is None else _RANKS[by]


def use_case(one: Member, above: Sequence[Member]) -> tuple[str, UseCaseFrom | None]:
    """Return what a call is for: the best that it or a span above it says, the nearest first."""
    told = [(rank(by), up, by) for up in (one, *above) if (by := named_by(up)) is not None]
    if told:
        _, best, by = min(told, key=lambda found: found[0])
        inherited = best is not one and by is UseCaseFrom.AGENT
        return best.use_case, UseCaseFrom.PARENT if inherited else best.use_case_from
    if above and above[-1].operation is None and above[-1].name:
        return root_name(above[-1].name), UseCaseFrom.ROOT
    return one.use_case, None


def named_by(one: Member | Place) -> UseCaseFrom | None:
    """Return what names the use case of a span; of one stored before that was kept, an agent."""
    return one.use_case_from or (UseCaseFrom.AGENT if one.use_case != _NO_USE_CASE else None)


def root_name(name: str) -> str:
    """Return the name of a root span without the ids in it: each would be a use case of its own.

    >>> root_name("GET /users/4711/answer"), root_name("answer 7f3c9a52d1e84b60a7f3")
    ('GET /users/*/answer', 'answer *')
    """
    return _FILLED_IN.sub("*", name)[:_NAME_CHARS]
