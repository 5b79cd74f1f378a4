"""What one dialect reads from a span, before it becomes a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collector.dialects.content import Content
from collector.dialects.facts import Facts
from collector.dialects.names import Named
from tidegauge.call import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The face between the dialects, which know names, and the rules that hold for all of them."""

    dialect: str
    operation: Operation
    named: Named
    facts: Facts
    content: Content
    finish: tuple[str, ...]
    first_token_s: float | None
    schema: Any = None  # JSON Schema, or its text, that the answer was asked to fit
    # Read from a model server, which knows the first token of every answer, streamed or not.
    by_server: bool = False
