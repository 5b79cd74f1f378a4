"""What all window lengths say together of one signal of one series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from tidegauge.alert import Member, Severity
from tidegauge.finding import Finding, Signal, Verdict

#: Shares and ratios from which a move hurts more than a look today can mend.
MANY_ERRORS = 0.10  # rise of the error rate, as a share
MANY_CUT = 0.05  # rise of the truncation rate, as a share
MUCH_SLOWER = 1.5  # latency, ratio to the usual
MUCH_LONGER = 2.0  # output length, ratio to the usual: an answer takes that much longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One signal of one series, now. Several window lengths of one signal are one alert."""

    finding: Finding  # the one that speaks: the strongest of those that moved
    over: bool  # the newest known window is back, whatever longer ones still hold of the past
    start: Finding  # the shortest window that moved: it says best when it began
    newest: Finding  # the shortest known window: it says best how it is now

    @property
    def verdict(self) -> Verdict:
        """Return moved, usual or unknown."""
        return self.finding.verdict

    @property
    def out(self) -> bool:
        """Return whether the number is out of its range now."""
        return self.verdict is Verdict.MOVED and not self.over

    @property
    def back(self) -> bool:
        """Return whether it is known to be in its range now. Unknown is not back."""
        return self.verdict is Verdict.USUAL or self.over

    @property
    def severity(self) -> Severity:
        """Return how much users are hurt by this move."""
        return _SEVERITY[self.finding.signal](self.finding)


def looks(findings: Iterable[Finding]) -> dict[Member, Look]:
    """Return one look for every signal of every series that ``findings`` speak of."""
    groups: dict[Member, list[Finding]] = defaultdict(list)
    for one in findings:
        groups[Member(one.signal.value, one.series)].append(one)
    return {member: _look(group) for member, group in groups.items()}


def out(members: Iterable[Member], seen: Mapping[Member, Look]) -> list[Look]:
    """Return the looks of those members that are out of their range now."""
    return [seen[one] for one in members if one in seen and seen[one].out]


def length(finding: Finding) -> timedelta:
    """Return how long the window is."""
    return finding.until - finding.since


def _look(group: list[Finding]) -> Look:
    known = sorted((f for f in group if f.verdict is not Verdict.UNKNOWN), key=length)
    moved = [f for f in known if f.verdict is Verdict.MOVED]
    if moved:
        strongest = max(moved, key=lambda f: f.strength)
        over = _over(known[0], strongest)
        return Look(finding=strongest, over=over, start=moved[0], newest=known[0])
    speaks = known[0] if known else min(group, key=length)
    return Look(finding=speaks, over=False, start=speaks, newest=speaks)


def _over(newest: Finding, moved: Finding) -> bool:
    """Return whether the shortest window has come back more than half of the way.

    Half-way, not merely usual: a short window is often too small to see a lasting shift that a
    long one sees well, and the alert would close and open again for ever.
    """
    if newest.verdict is not Verdict.USUAL:
        return False
    if newest.now is None or moved.now is None or moved.usual is None:
        return False
    return abs(newest.now - moved.usual) < abs(moved.now - moved.usual) / 2


def _rise(finding: Finding) -> float:
    return (finding.now or 0.0) - (finding.usual or 0.0)


def _errors(finding: Finding) -> Severity:
    return Severity.CRITICAL if _rise(finding) >= MANY_ERRORS else Severity.ERROR


def _truncation(finding: Finding) -> Severity:
    return Severity.ERROR if _rise(finding) >= MANY_CUT else Severity.WARNING


def _latency(finding: Finding) -> Severity:
    return Severity.ERROR if (finding.ratio or 0.0) >= MUCH_SLOWER else Severity.WARNING


def _output(finding: Finding) -> Severity:
    return Severity.ERROR if (finding.ratio or 0.0) >= MUCH_LONGER else Severity.WARNING


def _input(finding: Finding) -> Severity:
    return Severity.WARNING


_SEVERITY = {
    Signal.ERRORS: _errors,
    Signal.TRUNCATION: _truncation,
    Signal.LATENCY: _latency,
    Signal.OUTPUT_TOKENS: _output,
    Signal.INPUT_TOKENS: _input,
}
