"""Has the length of prompts or answers shifted?"""

from __future__ import annotations

from analysis.judge import Gates, judge_mean
from analysis.windows import Usual, Window, sums
from tidegauge.finding import Finding, Signal


def detect(usual: Usual | None, now: Window, gates: Gates, signal: Signal) -> Finding:
    """Return whether the typical length moved, up or down: both say that something changed."""
    return judge_mean(signal, usual, now, sums(now.bucket, signal), gates, rise_only=False)
