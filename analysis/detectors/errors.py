"""Do more calls fail?"""

from __future__ import annotations

from analysis.judge import Gates, judge_rate
from analysis.windows import Usual, Window, sums
from tidegauge.finding import Finding, Signal


def detect(usual: Usual | None, now: Window, gates: Gates, signal: Signal) -> Finding:
    """Return whether a larger share of the calls ended in an error."""
    return judge_rate(signal, usual, now, sums(now.bucket, signal), gates)
