"""One file, one question; each is a pure function of what is usual and what is now."""

from __future__ import annotations

from collections.abc import Callable

from analysis.detectors import errors, latency, tokens, truncation
from analysis.judge import Gates
from analysis.windows import Usual, Window
from tidegauge.finding import Finding, Signal

Detect = Callable[[Usual | None, Window, Gates, Signal], Finding]

#: Who answers for which signal. A new detector is a new file and one line here.
DETECTORS: dict[Signal, Detect] = {
    Signal.LATENCY: latency.detect,
    Signal.TRUNCATION: truncation.detect,
    Signal.INPUT_TOKENS: tokens.detect,
    Signal.OUTPUT_TOKENS: tokens.detect,
    Signal.ERRORS: errors.detect,
}
