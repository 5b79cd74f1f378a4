"""Which calls a person should look at."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analysis.learn import VERSION
from analysis.rollup import Groups
from tidegauge.clock import DAY, HOUR, floor
from tidegauge.finding import Series, Signal
from tidegauge.policy import Policy
from tidegauge.store import flags, normals, reviews
from tidegauge.store.engine import Connection
from tidegauge.store.reviews import FlaggedItem
from tidegauge.store.spans import from_ns

_TOO_OLD = DAY  # a reviewer's time is for what still happens, not for loaded history
_EXTREME = 2.0  # times the length that 99.5 % of the series' answers stay below
_PRIORITY = {"truncated": 3.0, "extreme_length": 2.5, "error": 2.0, "random": 1.0}
_AT_ONCE = 500  # ids in one statement


@dataclass(frozen=True, slots=True)
class Reviewing:
    """A ``rollup.Watcher`` that flags calls for review, by the operator's policy."""

    policy: Policy

    def __call__(self, db: Connection, project: str, calls: Groups, now: datetime) -> None:
        """Flag what should be looked at in ``calls``; seeing calls twice flags them once."""
        oldest = now - _TOO_OLD
        usual = usual_lengths(db, project)
        items = [
            item
            for series, rows in calls.items()
            for row in rows
            if from_ns(row.started_ns) >= oldest
            for item in flags_of(row, usual.get(series), self.policy.sample_share)
        ]
        if items:
            reviews.flag(db, self._within_quota(db, project, items), now)

    def _within_quota(
        self, db: Connection, project: str, items: Sequence[FlaggedItem]
    ) -> list[FlaggedItem]:
        starts = [item.call_started_at for item in items]
        first, last = floor(min(starts), HOUR), floor(max(starts), HOUR) + HOUR
        spent = flags.flagged(db, project, first, last)
        ids = [item.item_id for item in items]
        there: set[str] = set()
        for i in range(0, len(ids), _AT_ONCE):
            there |= flags.known(db, set(ids[i : i + _AT_ONCE]))
        new = [item for item in items if item.item_id not in there]
        return within_quota(new, spent, self.policy.flags_per_hour)


def usual_lengths(db: Connection, project: str) -> dict[Series, float]:
    """Return the output length that 99.5 % of each learned series' answers stay below, tokens."""
    return {
        normal.series: state["long_output"]
        for normal, state in normals.read_normals(db, project, VERSION)
        if normal.signal is Signal.OUTPUT_TOKENS and state.get("long_output")
    }


def flags_of(row: Any, long_output: float | None, sample_share: float) -> list[FlaggedItem]:
    """Return the reasons to look at one call, as items of the review queue."""
    reasons: list[tuple[str, str, float | None]] = []
    if row.truncated:
        limit = f" of at most {row.max_tokens:,}" if row.max_tokens else ""
        reasons.append(("truncated", f"Cut off after {_tokens(row.output_tokens)}{limit}.", None))
    if row.error_type is not None:
        reasons.append(("error", f"Failed with {_name(row.error_type)}.", None))
    length = row.output_tokens
    if length is not None and long_output and length > _EXTREME * long_output:
        usual = f"99.5 % of this series' answers have at most {long_output:,.0f}"
        reasons.append(("extreme_length", f"{_tokens(length)} of output; {usual}.", None))
    if sample_share > 0 and draw(row.trace_id, row.span_id) < sample_share:
        reasons.append(("random", f"Drawn at random, 1 of {1 / sample_share:,.0f}.", sample_share))
    return [_item(row, *reason) for reason in reasons]


def draw(trace_id: bytes, span_id: bytes) -> float:
    """Return a number in [0, 1) that depends on the ids alone: a recount draws the same calls.

    >>> draw(b"a", b"b") == draw(b"a", b"b") and 0 <= draw(b"a", b"c") < 1
    True
    """
    digest = hashlib.blake2b(trace_id + b"/" + span_id, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def within_quota(
    items: Sequence[FlaggedItem], spent: Mapping[tuple[str, str, int], int], quota: int
) -> list[FlaggedItem]:
    """Return the first ``quota`` items of each service, reason and hour, less those ``spent``.

    Random draws are all kept: with some left out, their probability would no longer be known.
    """
    used = Counter(spent)
    kept = []
    for item in sorted(items, key=lambda item: (item.call_started_at, item.item_id)):
        hour = int(floor(item.call_started_at, HOUR).timestamp())
        key = (item.service, item.reason, hour)
        if item.probability is not None or used[key] < quota:
            used[key] += 1
            kept.append(item)
    return kept


def _item(row: Any, reason: str, evidence: str, probability: float | None) -> FlaggedItem:
    return FlaggedItem(
        project=row.project,
        trace_id=row.trace_id.hex(),
        span_id=row.span_id.hex(),
        reason=reason,
        evidence=evidence,
        probability=probability,
        priority=_PRIORITY[reason],
        service=row.service,
        call_started_at=from_ns(row.started_ns),
    )


def _tokens(count: int | None) -> str:
    return "an unknown number of tokens" if count is None else f"{count:,} tokens"


def _name(error_type: str) -> str:
    """Return the error's type, cut short: an app may put a whole message there."""
    return error_type[:60]
