"""How one call, trace or session was judged: a number, a word, or that it could not be judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NAME_CHARS = 200  # kept of a name, a label, an annotator
MOST = 100  # kept of one call, trace or session


class ScoreSource(StrEnum):
    """What carried the judgement."""

    EVENT = "event"  # gen_ai.evaluation.result, as a log record or on a span
    ANNOTATION = "annotation"  # OpenInference's evaluations.N.* and annotations.N.*


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One judgement, and what it is of: a span, the call of a response, a trace or a session."""

    project: str
    trace_id: str = ""  # 32 hex digits, lower case; "": of no trace
    span_id: str = ""  # 16 hex digits, lower case; "": of the whole trace, session or response
    session_id: str | None = None  # only where it is of the session
    response_id: str | None = None  # of the call that was judged
    name: str  # Relevance, hallucination, ...
    source: ScoreSource
    annotator: str | None = None  # HUMAN, LLM, CODE, or what else the sender says
    value: float | None = None
    label: str | None = None
    error_type: str | None = None  # why it could not be judged
    mark: str = ""  # tells equal ones apart: the time of the event, the sender's own id
    at: datetime  # UTC; of an annotation the end of its span
