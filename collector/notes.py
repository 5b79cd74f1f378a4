"""What the ledger should know of a span beside that it is stored: late, skewed, cut, dropped."""

from __future__ import annotations

from datetime import datetime, timedelta

from collector.raw import RawSpan
from tidegauge.call import Call, NotCounted
from tidegauge.store import ledger

LATE = timedelta(hours=1)  # started so long before it came: its hour has been judged already
FUTURE = timedelta(minutes=10)  # starts so far ahead of our clock: no network explains that

Notes = tuple[tuple[str, int], ...]  # outcomes of the ledger, and how many of each


def notes_of(raw: RawSpan, call: Call, received_at: datetime, *, json_unread: bool) -> Notes:
    """Return what to count of one span once it is stored; of most spans, nothing."""
    found: list[tuple[str, int]] = []
    if call.started_at > received_at + FUTURE:
        found.append((ledger.FUTURE, 1))
    if call.clock_invalid:
        found.append((ledger.CLOCK_SKEWED, 1))
    elif call.started_at < received_at - LATE:
        found.append((ledger.LATE, 1))
    if raw.cut:
        found.append((ledger.ATTRIBUTES_CUT, 1))
    if call.tokens_audit_rule is not None:
        found.append((f"{ledger.DIALECT}{call.dialect}:{call.tokens_audit_rule}", 1))
    if call.not_counted is NotCounted.UNREADABLE:
        found.append((f"{ledger.DIALECT}{call.dialect}:unreadable", 1))
    if json_unread:
        found.append((f"{ledger.JSON}not_read", 1))
    found += [(f"{ledger.JSON_LENIENT}{kind}", 1) for kind in raw.lenient]
    # Of a span that our own limits have cut, what the SDK dropped is not known apart.
    if raw.dropped_attributes and not raw.cut:
        found.append((f"{ledger.SDK_DROPPED}attributes", raw.dropped_attributes))
    if raw.dropped_events and not raw.cut:
        found.append((f"{ledger.SDK_DROPPED}events", raw.dropped_events))
    return tuple(found)
