"""What moved the number: its parts, the changes that began with it, and what was ruled out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from analysis.windows import fit_line, sums
from tidegauge.bucket import Bucket, Measure
from tidegauge.finding import Change, Finding, Signal, Verdict

_MINUTE = timedelta(minutes=1)
_NEAR = 15 * _MINUTE
_FLAT = 0.10  # a part that moved by less than this did not move
#: What is looked for, in the words of the alert's "Checked: ..." line.
CHECKED = ("deploy", "prompt", "model", "parameter", "provider")
_MIN_CALLS = 20  # on either side, before a part's move is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the number, before and now; its unit is in its name."""

    name: str  # output_tokens, input_tokens, time_to_first_token_s, time_per_output_token_s, ...
    before: float
    now: float

    @property
    def ratio(self) -> float | None:
        """Return now / before; None where before is 0."""
        return self.now / self.before if self.before else None

    @property
    def moved(self) -> bool:
        """Return whether it moved by 10 % or more."""
        return self.effect >= math.log1p(_FLAT)

    @property
    def effect(self) -> float:
        """Return the size of the move, |ln ratio|; a part that came from nothing moved most."""
        if self.before <= 0 or self.now <= 0:
            return 0.0 if self.before == self.now else math.inf
        return abs(math.log(self.now / self.before))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a number moved, as values; the words are the message's."""

    changes: tuple[Change, ...]  # began within 15 minutes of the move, the likeliest first
    related: tuple[Finding, ...]  # other signals of the series that moved, by strength
    parts: tuple[Part, ...]  # by effect, the largest first
    ruled_out: tuple[
        str, ...
    ]  # kinds of change and names of parts that were checked and did not move
    writes_more: bool  # latency rose, but only because answers are longer: the model is not slower
    before: Bucket  # the calls compared with: for the evidence rows
    after: Bucket

    @property
    def likeliest(self) -> Change | None:
        """Return the first suspect; None: no cause was found."""
        return self.changes[0] if self.changes else None


def explain(
    finding: Finding,
    related: Sequence[Finding],
    changes: Sequence[Change],
    before: Bucket,
    after: Bucket,
    *,
    onset: datetime | None = None,
) -> Cause:
    """Return what began together with ``finding``, and what did not.

    ``before`` holds calls of the usual time, ``after`` those since the move; ``onset`` is when the
    number left its range (default: the window's start).
    """
    at = onset or finding.since
    suspects = [c for c in changes if abs(c.at - at) <= _NEAR]
    parts = sorted(_parts(before, after), key=lambda part: -part.effect)
    moved = {part.name for part in parts if part.moved}
    return Cause(
        changes=tuple(sorted(suspects, key=lambda c: _suspicion(c, finding, at))),
        related=_moved_with(finding, related),
        parts=tuple(parts),
        ruled_out=(
            *(kind for kind in CHECKED if kind not in {c.kind for c in suspects}),
            *(part.name for part in parts if not part.moved),
        ),
        writes_more="output_tokens" in moved
        and "latency_at_equal_length_s" not in moved
        and _rose(parts, "output_tokens"),
        before=before,
        after=after,
    )


def _moved_with(finding: Finding, related: Sequence[Finding]) -> tuple[Finding, ...]:
    others = [
        one
        for one in related
        if one.series == finding.series
        and one.signal is not finding.signal
        and one.verdict is Verdict.MOVED
    ]
    return tuple(sorted(others, key=lambda one: -one.strength))


#: The kinds of change that are known to move a signal, the likeliest first.
_USUAL_SUSPECTS = {
    Signal.LATENCY: ("model", "provider", "deploy", "parameter", "prompt"),
    Signal.TRUNCATION: ("parameter", "prompt", "model", "deploy", "provider"),
    Signal.OUTPUT_TOKENS: ("prompt", "parameter", "model", "deploy", "provider"),
    Signal.INPUT_TOKENS: ("prompt", "deploy", "provider", "model", "parameter"),
    Signal.ERRORS: ("provider", "model", "deploy", "parameter", "prompt"),
}


def _suspicion(change: Change, finding: Finding, at: datetime) -> tuple[int, float, str]:
    """Return the order of suspects: what moves such a number, then nearness in time, then name.

    A value that people read (max_tokens, a version) comes before a checksum of the same moment.
    """
    order = _USUAL_SUSPECTS[finding.signal]
    kind = order.index(change.kind) if change.kind in order else len(order)
    unreadable = 0.5 if change.field == "prompt_checksum" else 0.0
    if change.field != "max_tokens" and finding.signal is Signal.TRUNCATION:
        unreadable += 0.25  # the limit itself cuts answers; temperature does not
    return kind, unreadable + abs(change.at - at) / _NEAR, change.field


def _parts(before: Bucket, after: Bucket) -> list[Part]:
    """Return the parts of latency ~ time to first token + output tokens x time per token, and rates."""
    pairs = [
        ("output_tokens", Measure.OUTPUT_TOKENS),
        ("input_tokens", Measure.INPUT_TOKENS),
        ("time_to_first_token_s", Measure.TTFT),
        ("time_per_output_token_s", Measure.TPOT),
        ("latency_s", Measure.LATENCY),
    ]
    parts = [_mean_part(name, measure, before, after) for name, measure in pairs]
    parts.append(_equal_length(before, after))
    parts.append(_rate("error_share", before.errors, before.calls, after.errors, after.calls))
    parts.append(
        _rate(
            "truncated_share",
            before.truncated,
            before.truncation_known,
            after.truncated,
            after.truncation_known,
        )
    )
    return [part for part in parts if part]


def _mean_part(name: str, measure: Measure, before: Bucket, after: Bucket) -> Part | None:
    old, new = before.measured(measure), after.measured(measure)
    if min(old.log_n, new.log_n) < _MIN_CALLS:
        return None
    return Part(
        name=name, before=math.exp(old.log_sum / old.log_n), now=math.exp(new.log_sum / new.log_n)
    )


def _equal_length(before: Bucket, after: Bucket) -> Part | None:
    """Return latency as if the answers had kept their length."""
    line = fit_line([before])
    old, new = (sums(one, Signal.LATENCY, line) for one in (before, after))
    if min(old.n, new.n) < _MIN_CALLS:
        return None
    return Part(
        name="latency_at_equal_length_s", before=math.exp(old.value), now=math.exp(new.value)
    )


def _rate(name: str, events: int, n: int, events_now: int, n_now: int) -> Part | None:
    """Return a share's part; one that moved by less than 2 percentage points did not move."""
    if min(n, n_now) < _MIN_CALLS:
        return None
    share, share_now = events / n, events_now / n_now
    if abs(share_now - share) < 0.02:
        share_now = share
    return Part(name=name, before=share, now=share_now)


def _rose(parts: Sequence[Part], name: str) -> bool:
    return any(part.name == name and part.now > part.before for part in parts)


def onset(minutes: Sequence[Bucket], finding: Finding) -> datetime:
    """Return the minute at which the number left its range: the change of level that fits best.

    Least squares over all ways to cut the minutes (those of the window and some before it) in
    two. Falls back to the window's start where nothing is known of the minutes.
    """
    line = fit_line(minutes) if finding.signal is Signal.LATENCY else None
    rows = [
        (one.start, s)
        for one in sorted(minutes, key=lambda b: b.start)
        if one.start < finding.until and (s := sums(one, finding.signal, line)).n
    ]
    if len(rows) < 2:
        return finding.since
    best, where = 0.0, finding.since
    n_all, total_all = sum(s.n for _, s in rows), math.fsum(s.total for _, s in rows)
    n, total = 0, 0.0
    for (_, row), (start, _) in pairwise(rows):
        n, total = n + row.n, total + row.total
        gap = total / n - (total_all - total) / (n_all - n)
        gain = gap * gap * n * (n_all - n)
        if gain > best and start >= finding.since - 2 * (finding.until - finding.since) - _MINUTE:
            best, where = gain, start
    return where
