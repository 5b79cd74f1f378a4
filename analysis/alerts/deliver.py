"""Outbox to on-call: claim, send, back off, give up loudly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from analysis.alerts import signature
from analysis.alerts.addresses import Network
from analysis.alerts.post import Outcome, Resolve, Result, post
from analysis.alerts.receivers import RECEIVERS, generic
from tidegauge import log
from tidegauge.store import outbox
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.outbox import Attempt, Message

#: When the attempts are made, seconds after the message was written; then hourly, for a day.
SCHEDULE_S = (0, 5, 30, 120, 300, 600, 1200, 2400)
_HOURLY_S = 3600
GIVE_UP = timedelta(hours=24)
JITTER = 0.2  # to each side: many analysts must not knock at the same moment
AT_ONCE = 20  # attempts in one run, so that a run ends and is recorded
KEEP = timedelta(days=30)

Jitter = Callable[[], float]  # uniform in [0, 1)

_log = log.get("deliver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where messages of one endpoint go, and how they are signed. Secret; never logged."""

    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)  # two while one is being replaced
    allow: tuple[Network, ...] = ()
    kind: str = "generic"

    @property
    def address_hash(self) -> str:
        """Return a hash that says whether the address is still the same."""
        return hashlib.blake2b(self.url.encode(), digest_size=8).hexdigest()


def deliver(
    engine: Engine,
    places: Mapping[str, Place],
    clock: Callable[[], datetime],
    *,
    jitter: Jitter,
    resolve: Resolve | None = None,
) -> int:
    """Make the attempts that are due and return how many were made.

    At least once: a worker that dies while it sends leaves a message whose lease lapses, and the
    next attempt carries the same id.
    """
    _tidy(engine, clock())
    failed: set[str] = set()
    for count in range(AT_ONCE):
        # Claimed one at a time: a lease must outlast the attempts that come before it.
        message = _claim(engine, clock(), failed)
        if message is None:
            return count
        outcome = _attempt(places, message, clock(), resolve)
        _record(engine, message, outcome, clock(), jitter)
        if outcome.result is not Result.SENT:
            failed.add(message.endpoint)  # once a run is enough for one that does not answer
    return AT_ONCE


def next_attempt(
    message: Message, asked_s: float | None, now: datetime, jitter: Jitter
) -> datetime | None:
    """Return when to try again. If the message is a day old, return None: give it up."""
    made = message.attempts
    wait = SCHEDULE_S[made] - SCHEDULE_S[made - 1] if made < len(SCHEDULE_S) else _HOURLY_S
    pause = wait * (1 - JITTER + 2 * JITTER * jitter())
    due = now + timedelta(seconds=max(pause, asked_s or 0.0))
    return due if due - message.created_at <= GIVE_UP else None


def send_test(place: Place, now: datetime) -> Outcome:
    """Send one test message, now and once, and return how it went; it leaves no row."""
    body = generic.test_body(now)
    message_id = f"msg_test_{int(now.timestamp())}"
    headers = signature.headers(place.keys, message_id, now, body)
    return post(place.url, body, headers, now=now, allow=place.allow)


def _tidy(engine: Engine, now: datetime) -> None:
    """Write off what is overtaken, or has nowhere to go. Usually there is nothing: read first."""
    with read(engine) as db:
        if not outbox.untidy(db):
            return
    with write(engine) as db:
        outbox.bury(db, now)
        outbox.collapse(db, now)


def _claim(engine: Engine, now: datetime, failed: set[str]) -> Message | None:
    with read(engine) as db:
        if not outbox.due(db, now, sorted(failed)):
            return None  # every few seconds: do not take the write lock for nothing
    with write(engine) as db:
        return outbox.claim(db, now, sorted(failed))


def _attempt(
    places: Mapping[str, Place], message: Message, now: datetime, resolve: Resolve | None
) -> Outcome:
    """Send once; what breaks on the way is an attempt that failed, and is tried again."""
    try:
        return _send(places[message.endpoint], message, now, resolve)
    except Exception as error:  # noqa: BLE001 - not recorded, it would stop all other messages
        # The error's text may hold the address or content; its class does not.
        kind = type(error).__name__
        _log.error("attempt broke", message_id=message.message_id, error=kind)
        return Outcome(result=Result.RETRY, error=f"attempt broke ({kind})", answered=False)


def _send(place: Place, message: Message, now: datetime, resolve: Resolve | None) -> Outcome:
    # Outside of any transaction: a slow receiver must not hold the write lock.
    body = RECEIVERS[place.kind](message.notice)
    headers = signature.headers(place.keys, message.message_id, now, body)
    return post(place.url, body, headers, now=now, allow=place.allow, resolve=resolve)


def _record(
    engine: Engine, message: Message, outcome: Outcome, now: datetime, jitter: Jitter
) -> None:
    tried = Attempt(
        status=outcome.status,
        error=outcome.error,
        answer=outcome.answer,
        answered=outcome.answered,
    )
    due = None
    if outcome.result is Result.RETRY:
        due = next_attempt(message, outcome.retry_after_s, now, jitter)
    with write(engine) as db:
        if outcome.result is Result.SENT:
            outbox.sent(db, message, outcome.status or 200, now)
        elif due is not None:
            outbox.again(db, message, now, tried, due)
        else:
            state = "disabled" if outcome.result is Result.GONE else "attention"
            outbox.dead(db, message, now, tried, state)
    if outcome.result is not Result.SENT:
        say = _log.warning if due is not None else _log.error
        say(
            "webhook not delivered",
            endpoint=message.endpoint,
            message_id=message.message_id,
            attempt=message.attempts,
            error=outcome.error,
            again_at=None if due is None else due.isoformat(),
        )
