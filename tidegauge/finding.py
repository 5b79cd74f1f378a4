"""What a detector says: which number left its normal range, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Signal(StrEnum):
    """A number watched on a series; the words of the dashboard, the alerts and ``replay``."""

    LATENCY = "latency"
    TRUNCATION = "truncation"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    ERRORS = "errors"


#: The unit a signal's numbers are given in; a rate is a share from 0 to 1, shown in per cent.
UNITS = {
    Signal.LATENCY: "s",
    Signal.TRUNCATION: "share",
    Signal.INPUT_TOKENS: "tokens",
    Signal.OUTPUT_TOKENS: "tokens",
    Signal.ERRORS: "share",
}


class Verdict(StrEnum):
    """Three answers, never two: silence must neither open nor close an alert."""

    MOVED = "moved"
    USUAL = "usual"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What a number is watched on. ``__other__`` in a field: the overflow of a full project."""

    project: str
    service: str
    environment: str
    use_case: str
    model: str


OTHER = "__other__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one detector says of one signal of one series over one window."""

    series: Series
    signal: Signal
    verdict: Verdict
    why: str  # one short sentence: why this verdict
    since: datetime  # start of the window looked at, UTC
    until: datetime  # its end, UTC, exclusive
    calls: int  # calls in the window that carry this number
    now: float | None = None  # the window's value, in UNITS[signal]
    usual: float | None = None  # what this hour usually shows
    usual_low: float | None = None  # the band that ordinary hours stay in
    usual_high: float | None = None
    strength: float = 0.0  # nats: -ln of the null probability; comparable over signals
    now_low: float | None = None  # 95 % interval of `now` (rates)
    now_high: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return now / usual. If either is unknown or usual is 0, return None."""
        if self.now is None or not self.usual:
            return None
        return self.now / self.usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that may explain a move: a deploy, a model, a prompt, a parameter, a provider."""

    series: Series
    kind: str  # deploy, prompt, model, parameter, provider
    at: datetime  # first call that carries the new value, UTC
    field: str  # the call's field: service_version, prompt_checksum, max_tokens, ...
    before: str | None
    after: str
    silent: bool = False  # a prompt's text changed while its version and the deploy did not
