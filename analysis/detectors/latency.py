"""Is it slower than it was?

Latency mostly measures output length, so it is judged as if every call had the usual length: a
window of longer answers is not a slower model.
"""

from __future__ import annotations

from analysis.judge import Gates, judge_mean
from analysis.windows import Sums, Usual, Window, sums
from tidegauge.finding import Finding, Signal


def detect(usual: Usual | None, now: Window, gates: Gates, signal: Signal) -> Finding:
    """Return whether calls of equal length take longer. Only slower counts as a move."""
    line = usual.line if usual else None
    seen = sums(now.bucket, signal, line) if line else Sums()
    return judge_mean(signal, usual, now, seen, gates, rise_only=True)
