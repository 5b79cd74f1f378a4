"""All that is known of one alert when its words are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analysis.attribution import Cause, Part
from tidegauge.alert import PROMPT, Member, Severity
from tidegauge.finding import Change, Finding, Series

#: A change this small since the usual is not worth a word beside a prompt change.
_WORTH_A_WORD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One alert's facts, as values; no words and no content of calls."""

    alert_id: str
    severity: Severity
    members: tuple[Member, ...]  # the leading one first
    findings: tuple[Finding, ...]  # of the members whose numbers are out, the leading one first
    cause: Cause | None  # None: nothing is known of the calls before and after
    silent: tuple[Change, ...]  # prompt changes among the members that nothing announced
    onset: datetime  # when it began
    now: datetime
    min_calls: int  # calls a window needs
    calls_per_min: tuple[float, float] | None = None  # before the onset, and since
    base_url: str  # of the dashboard, absolute, no slash at the end

    @property
    def series(self) -> Series:
        """Return the leading series."""
        return self.members[0].series

    @property
    def rule(self) -> str:
        """Return the leading signal, or prompt."""
        return self.members[0].signal

    @property
    def lead(self) -> Finding | None:
        """Return the leading number. If a silent prompt change leads, return None."""
        if self.rule == PROMPT or not self.findings:
            return None
        return self.findings[0]

    @property
    def until(self) -> datetime:
        """Return the end of the window that was looked at."""
        return self.findings[0].until if self.findings else self.now

    @property
    def change(self) -> Change | None:
        """Return the likeliest co-change. If nothing changed near the onset, return None."""
        found = self.cause.likeliest if self.cause else None
        return found or (self.silent[0] if self.silent else None)

    def part(self, name: str) -> Part | None:
        """Return one part of the number before and now. If it is not known, return None."""
        parts = self.cause.parts if self.cause else ()
        return next((part for part in parts if part.name == name), None)

    def moved(self, name: str) -> Part | None:
        """Return a part that differs enough from before to be worth a word."""
        part = self.part(name)
        if part is None or not part.before or abs(part.now / part.before - 1) < _WORTH_A_WORD:
            return None
        return part
