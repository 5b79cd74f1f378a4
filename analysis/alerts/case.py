"""All that is known of one alert when its words are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from analysis.attribution import Cause, Part
from tidegauge.alert import PROMPT, Member, Severity
from tidegauge.finding import Change, Finding, Series

#: A change this small since the usual is not worth a word beside a prompt change.
_WORTH_A_WORD = 0.05
#: Fewer calls before the onset than this say nothing of how many usually fail.
_ENOUGH_CALLS = 200


def speaker(members: Sequence[Member], findings: Sequence[Finding]) -> Member:
    """Return the member to speak of: the leading one while it is out, else the first one out.

    ``findings`` are those of the members that are out, in the members' order. A prompt that
    leads always speaks.
    """
    if members[0].signal == PROMPT or not findings:
        return members[0]
    return Member(findings[0].signal.value, findings[0].series)


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
    calls_per_min: tuple[float, float] | None = None  # before the onset, and after it
    usual_errors: float | None = None  # share of calls; None: not learned yet
    base_url: str  # of the dashboard, absolute, no slash at the end

    @property
    def speaker(self) -> Member:
        """Return the member that all the words are about."""
        return speaker(self.members, self.findings)

    @property
    def series(self) -> Series:
        """Return the series that all the words are about."""
        return self.speaker.series

    @property
    def rule(self) -> str:
        """Return the signal that all the words are about, or prompt."""
        return self.speaker.signal

    @property
    def lead(self) -> Finding | None:
        """Return the leading number. If a silent prompt change leads, return None."""
        if self.rule == PROMPT or not self.findings:
            return None
        return self.findings[0]

    @property
    def normal_errors(self) -> float | None:
        """Return the share of calls that usually fails. If too little is known, return None."""
        if self.usual_errors is not None:
            return self.usual_errors
        before = self.cause.before if self.cause else None
        if before is None or before.calls < _ENOUGH_CALLS:
            return None
        return before.errors / before.calls

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
