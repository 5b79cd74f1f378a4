"""Do more answers stop at the token limit?"""

from __future__ import annotations

from analysis.judge import Gates, judge_rate
from analysis.windows import Usual, Window, sums
from tidegauge.finding import Finding, Signal


def detect(usual: Usual | None, now: Window, gates: Gates, signal: Signal) -> Finding:
    """Return whether more answers are cut off, of those of which it is known."""
    return judge_rate(signal, usual, now, sums(now.bucket, signal), gates)
