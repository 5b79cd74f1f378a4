"""Joins log events to the spans they tell of, a few times a minute, beside the hot path."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from collector.dialects.assemble import Cost
from collector.enrich import enrich
from tidegauge import log
from tidegauge.call import Call
from tidegauge.pricing import cost_usd
from tidegauge.source import Source
from tidegauge.store import events, ledger, said
from tidegauge.store.engine import Connection, Engine, StoreBusy, read, write
from tidegauge.store.events import Key, Stored

KEEP = timedelta(hours=1)  # an event waits so long for its span, and for others of its span
EVERY_S = 2.0
AT_ONCE = 50  # spans in one transaction: the writer waits for it
PRUNED_AT_ONCE = 2_000  # events

PRUNE_EVERY_S = 60.0
# After a transaction the writer has as long for itself: SQLite's lock goes to whoever asks first.
BREATH_S = 0.02

# Of spans: their events filled something in, or had nothing to add, or came too late.
JOINED, NOTHING_NEW, TOO_LATE = "logs:joined", "logs:nothing_new", "logs:too_late"
UNREADABLE = "logs:unreadable"
NO_SPAN = "logs:no_span"  # of events

Clock = Callable[[], datetime]


class Joiner:
    """The thread that joins; any trouble ends one look, never the thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        every_s: float = EVERY_S,
        cost: Cost = cost_usd,
    ) -> None:
        self._engine = engine
        self._cost = cost
        self._clock = clock
        self._every_s = every_s
        self._prune_at = time.monotonic() + PRUNE_EVERY_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="joiner", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float | None = None) -> None:
        """End after the transaction that is open."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._look()
            except StoreBusy:
                continue  # the writer says so already
            except Exception as error:  # noqa: BLE001  (its message may hold content)
                log.get(__name__).error("events not joined", error=type(error).__name__)

    def _look(self) -> None:
        looked, more = AT_ONCE, True
        while more and looked == AT_ONCE:
            began = time.monotonic()
            looked = join_due(self._engine, self._clock(), self._cost)
            more = not self._stop.wait(max(BREATH_S, time.monotonic() - began))
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_EVERY_S
            while forget_old(self._engine, self._clock()) == PRUNED_AT_ONCE:
                if self._stop.wait(BREATH_S):
                    break


def join_due(engine: Engine, now: datetime, cost: Cost = cost_usd) -> int:
    """Join what is due, and return for how many spans it looked. Raises StoreBusy.

    Safe in several collectors at once: each transaction locks its spans before it reads their
    events, so the last one to write has seen all of them.
    """
    with read(engine) as db:
        keys = events.due(db, now, AT_ONCE)
    if keys:
        with write(engine) as db:
            _join(db, keys, now, cost)
    return len(keys)


def _join(db: Connection, keys: Sequence[Key], now: datetime, cost: Cost) -> None:
    said.take_back(db, keys)
    calls = events.calls_of(db, keys)
    found = events.of(db, keys)
    changed: list[Call] = []
    counts: Counter[tuple[Source, str]] = Counter()
    for key, call in calls.items():
        if any(one.due for one in found.get(key, [])):  # else another collector was faster
            outcome, enriched = _joined(call, found[key], cost)
            changed += [enriched] if enriched != call else []
            counts[Source(call.project), outcome] += 1
    events.replace(db, changed, now)
    events.settle(db, [one for key in calls for one in found.get(key, [])])
    events.postpone(
        db, [one for key in keys if key not in calls for one in found.get(key, [])], now
    )
    ledger.record(db, now, counts)


def _joined(call: Call, stored: Sequence[Stored], cost: Cost) -> tuple[str, Call]:
    """Return what became of the events of a span, and the call as it is now."""
    try:
        enriched = enrich(call, {one.id: one.event for one in stored}, cost)
    except Exception as error:  # noqa: BLE001
        # One record that a dialect did not expect must not hold up all that come after it.
        log.get(__name__).error("event not read", error=type(error).__name__)
        return UNREADABLE, call
    if enriched is None:
        return TOO_LATE, call
    return (NOTHING_NEW if enriched == call else JOINED), enriched


def forget_old(engine: Engine, now: datetime) -> int:
    """Delete some events that have waited long enough, and return how many. Raises StoreBusy."""
    with write(engine) as db:
        deleted, lost = events.prune(db, now - KEEP, PRUNED_AT_ONCE)
        ledger.record(db, now, {(Source(p), NO_SPAN): number for p, number in lost.items()})
    return deleted
