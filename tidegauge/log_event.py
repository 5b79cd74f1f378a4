"""A log record that tells more of one span: what it was asked, what it answered, how it was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EVALUATION = "gen_ai.evaluation.result"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event of OTel's GenAI conventions, as a log record carried it."""

    project: str
    trace_id: str = ""  # 32 hex digits, lower case; "": it belongs to no span
    span_id: str = ""  # 16 hex digits, lower case
    name: str  # gen_ai.choice, gen_ai.client.inference.operation.details, ...
    time_ns: int  # since 1970, of the event, else of when it was observed; 0: not known
    attributes: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None

    @property
    def joins(self) -> bool:
        """Return whether it fills in a span; an evaluation only speaks of one."""
        return self.name != EVALUATION
