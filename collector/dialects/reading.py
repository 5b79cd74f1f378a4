"""What one dialect reads from a span, before it becomes a call."""

from __future__ import annotations

from dataclasses import dataclass

from collector.dialects.content import Content
from collector.dialects.facts import Facts
from collector.dialects.names import Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The face between the dialects, which know names, and the rules that hold for all of them."""

    dialect: str
    named: Named
    facts: Facts
    content: Content
    finish: tuple[str, ...]
    first_token_s: float | None
