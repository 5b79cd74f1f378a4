"""Messages that must reach someone: due, claimed, sent, dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Row, case, delete, func, or_, select, update

from tidegauge.alert import Notice, dump_notice, load_notice
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.schema import endpoint, outbox
from tidegauge.store.times import from_s, to_s

LEASE_S = 60  # a message is hidden from other workers this long; an attempt takes at most 10 s
CALM_FROM, PAUSE_S = 3, 60
LATE, MANY_DEAD = timedelta(minutes=30), 3  # without success, or dead letters: an endpoint's end
_READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A claimed message, ready for one attempt."""

    message_id: str  # the webhook-id: the same on every attempt
    endpoint: str
    kind: str  # alert.firing, ...
    notice: Notice
    created_at: datetime
    attempts: int  # this one included


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an attempt that was no success ended."""

    status: int | None
    error: str
    answer: str | None
    answered: bool  # False: the receiver may have taken it in all the same

    @property
    def columns(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "last_status": self.status,
            "last_error": self.error,
            "last_answer": self.answer,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a message fares, for people."""

    message_id: str
    endpoint: str
    sequence: int
    kind: str
    state: str  # waiting, sent, superseded, dead
    attempts: int
    created_at: datetime
    due_at: datetime
    done_at: datetime | None
    last_status: int | None
    last_error: str | None
    last_answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How a place that messages go to fares."""

    name: str
    state: str  # working; attention: it refuses messages; disabled: it answered 410
    failures: int  # in a row
    failing_since: datetime | None
    last_ok_at: datetime | None
    waiting: int
    dead: int

    def in_trouble(self, now: datetime) -> bool:
        """Return whether people must be told by another way that messages do not arrive."""
        late = self.failing_since is not None and now - self.failing_since >= LATE
        return self.state == "disabled" or self.dead >= MANY_DEAD or late


def register(db: Connection, addresses: Mapping[str, str]) -> None:
    """Make these the endpoints: name to hash of the address. A new address starts afresh."""
    known = {row.name: row.address_hash for row in db.execute(select(endpoint))}
    db.execute(delete(endpoint).where(endpoint.c.name.not_in(list(addresses))))
    for name, address_hash in addresses.items():
        if known.get(name) == address_hash:
            continue
        fresh = {
            "address_hash": address_hash,
            "state": "working",
            "failures": 0,
            "failing_since_s": None,
            "not_before_s": 0,
        }
        statement = insert_into(db, endpoint).values(name=name, last_ok_s=None, **fresh)
        db.execute(statement.on_conflict_do_update(index_elements=["name"], set_=fresh))


def enqueue(db: Connection, notice: Notice) -> None:
    """Write one message to every endpoint; in the transaction that changed the alert.

    The same notice twice is one message: its id is made of the fingerprint and the sequence.
    """
    one = notice.alert
    rows = [
        {
            "message_id": f"msg_{one.fingerprint}_{one.sequence}_{name}",
            "endpoint": name,
            "alert_id": one.alert_id,
            "fingerprint": one.fingerprint,
            "sequence": one.sequence,
            "kind": notice.kind,
            "body": dump_notice(notice),
            "created_s": to_s(notice.at),
            "due_s": to_s(notice.at),
            "attempts": 0,
            "unanswered": 0,
            "state": "waiting",
        }
        for name in db.execute(select(endpoint.c.name).order_by(endpoint.c.name)).scalars()
    ]
    if rows:
        db.execute(insert_into(db, outbox).on_conflict_do_nothing(), rows)


def collapse(db: Connection, now: datetime) -> int:
    """Let the latest state win: mark what it overtakes as superseded; return how many.

    An alert that was never told of and is over is not told of at all. One that may have reached
    the receiver always gets its end. Messages that a worker holds are left alone.
    """
    query = (
        select(outbox)
        .where(outbox.c.state == "waiting")
        .order_by(outbox.c.endpoint, outbox.c.alert_id, outbox.c.sequence)
    )
    done = 0
    for _, rows in groupby(db.execute(query).all(), key=lambda row: (row.endpoint, row.alert_id)):
        done += _collapse_one(db, list(rows), now)
    return done


def claim(db: Connection, now: datetime, skip: Sequence[str] = ()) -> Message | None:
    """Return the oldest message that is due, hidden from other workers for LEASE_S.

    Per endpoint and fingerprint only the first waiting message is looked at, so that they arrive
    in order, one at a time. ``skip`` names endpoints that are not to be asked now. If nothing is
    due, return None.
    """
    for row in _heads(db, now, skip):
        taken = update(outbox).where(
            outbox.c.message_id == row.message_id,
            outbox.c.state == "waiting",
            outbox.c.attempts == row.attempts,  # another worker got there first otherwise
            or_(outbox.c.leased_until_s.is_(None), outbox.c.leased_until_s <= to_s(now)),
        )
        values = {
            "leased_until_s": to_s(now) + LEASE_S,
            "attempts": row.attempts + 1,
            # Taken back once the receiver has answered: until then it may hold the message.
            "unanswered": row.unanswered + 1,
        }
        if db.execute(taken.values(**values)).rowcount == 1:
            return Message(
                message_id=row.message_id,
                endpoint=row.endpoint,
                kind=row.kind,
                notice=replace(load_notice(row.body), kind=row.kind),  # collapse may rename
                created_at=from_s(row.created_s),
                attempts=row.attempts + 1,
            )
    return None


def due(db: Connection, now: datetime, skip: Sequence[str] = ()) -> bool:
    """Return whether claim would find a message. Reads only."""
    return bool(_heads(db, now, skip))


def untidy(db: Connection) -> bool:
    """Return whether collapse or bury may have something to do. Reads only."""
    waiting = select(outbox.c.message_id).where(outbox.c.state == "waiting")
    return db.execute(waiting.limit(1)).first() is not None


def sent(db: Connection, message: Message, status: int, now: datetime) -> None:
    """Note that the receiver has taken the message."""
    values = {"state": "sent", "done_s": to_s(now), "last_error": None, "last_answer": None}
    _finish(db, message, {**values, "last_status": status})
    _endpoint_ok(db, message.endpoint, now)


def again(db: Connection, message: Message, now: datetime, tried: Attempt, due: datetime) -> None:
    """Put the message off until ``due``."""
    values: dict[str, Any] = {"due_s": to_s(due), **tried.columns}
    if tried.answered:
        values["unanswered"] = outbox.c.unanswered - 1
    _finish(db, message, values)
    _endpoint_failed(db, message.endpoint, now)


def dead(
    db: Connection, message: Message, now: datetime, tried: Attempt, endpoint_state: str
) -> None:
    """Give the message up; it is kept and shown. ``endpoint_state``: attention or disabled."""
    _finish(db, message, {**tried.columns, "state": "dead", "done_s": to_s(now)})
    _endpoint_failed(db, message.endpoint, now)
    db.execute(
        update(endpoint)
        .where(endpoint.c.name == message.endpoint, endpoint.c.state != "disabled")
        .values(state=endpoint_state)
    )


def bury(db: Connection, now: datetime) -> int:
    """Give up what waits for an endpoint that is disabled or gone; return how many messages."""
    usable = select(endpoint.c.name).where(endpoint.c.state != "disabled")
    statement = update(outbox).where(outbox.c.state == "waiting", outbox.c.endpoint.not_in(usable))
    values = {"state": "dead", "done_s": to_s(now), "last_error": "endpoint is disabled"}
    return db.execute(statement.values(**values)).rowcount


def replay(db: Connection, message_id: str, now: datetime) -> bool:
    """Send a dead message once more, from its first attempt on; False where it is not dead."""
    statement = update(outbox).where(outbox.c.message_id == message_id, outbox.c.state == "dead")
    values = {"state": "waiting", "attempts": 0, "created_s": to_s(now), "due_s": to_s(now)}
    return db.execute(statement.values(**values, done_s=None)).rowcount == 1


def forget(db: Connection, before: datetime) -> int:
    """Delete messages that were done before; return how many."""
    done = outbox.c.state != "waiting"
    return db.execute(delete(outbox).where(done, outbox.c.done_s < to_s(before))).rowcount


def deliveries(db: Connection, alert_id: str) -> list[Delivery]:
    """Return the messages of one alert, in order."""
    query = select(outbox).where(outbox.c.alert_id == alert_id)
    return [
        _delivery(row) for row in db.execute(query.order_by(outbox.c.sequence, outbox.c.endpoint))
    ]


def endpoints(db: Connection) -> list[Endpoint]:
    """Return how every endpoint fares."""
    counted = select(outbox.c.endpoint, outbox.c.state, func.count().label("n"))
    rows = db.execute(counted.group_by(outbox.c.endpoint, outbox.c.state))
    counts = {(row.endpoint, row.state): row.n for row in rows}
    return [
        Endpoint(
            name=row.name,
            state=row.state,
            failures=row.failures,
            failing_since=_at(row.failing_since_s),
            last_ok_at=_at(row.last_ok_s),
            waiting=counts.get((row.name, "waiting"), 0),
            dead=counts.get((row.name, "dead"), 0),
        )
        for row in db.execute(select(endpoint).order_by(endpoint.c.name))
    ]


def _collapse_one(db: Connection, rows: list[Row[Any]], now: datetime) -> int:
    """Supersede what one alert's latest message overtakes at one endpoint."""
    last = rows[-1]
    free = [row for row in rows if not _held(row, now)]
    old = [row for row in free if row is not last]
    if last.kind == "alert.resolved" and not _maybe_told(db, last, rows):
        old = free
    elif old and last.kind == "alert.updated" and any(r.kind == "alert.firing" for r in old):
        # The receiver has not heard that it fires: the first it hears must say so.
        rename = update(outbox).where(outbox.c.message_id == last.message_id)
        db.execute(rename.values(kind="alert.firing"))
    for row in old:
        overtaken = update(outbox).where(outbox.c.message_id == row.message_id)
        db.execute(overtaken.values(state="superseded", done_s=to_s(now)))
    return len(old)


def _held(row: Row[Any], now: datetime) -> bool:
    return row.leased_until_s is not None and row.leased_until_s > to_s(now)


def _maybe_told(db: Connection, last: Row[Any], rows: list[Row[Any]]) -> bool:
    """Return whether the receiver may have heard of this alert."""
    if any(row.unanswered for row in rows):
        return True
    earlier = select(outbox.c.message_id).where(
        outbox.c.endpoint == last.endpoint,
        outbox.c.alert_id == last.alert_id,
        or_(outbox.c.state == "sent", outbox.c.unanswered > 0),
    )
    return db.execute(earlier.limit(1)).first() is not None


def _heads(db: Connection, now: datetime, skip: Sequence[str]) -> list[Row[Any]]:
    """Return the first waiting message of each queue, where it is due and free, oldest first."""
    first = (
        select(outbox.c.endpoint, outbox.c.fingerprint, func.min(outbox.c.sequence).label("first"))
        .where(outbox.c.state == "waiting")
        .group_by(outbox.c.endpoint, outbox.c.fingerprint)
        .subquery()
    )
    query = (
        select(outbox)
        .join(
            first,
            (outbox.c.endpoint == first.c.endpoint)
            & (outbox.c.fingerprint == first.c.fingerprint)
            & (outbox.c.sequence == first.c.first),
        )
        .join(endpoint, endpoint.c.name == outbox.c.endpoint)
        .where(
            outbox.c.state == "waiting",
            outbox.c.due_s <= to_s(now),
            or_(outbox.c.leased_until_s.is_(None), outbox.c.leased_until_s <= to_s(now)),
            endpoint.c.state != "disabled",
            endpoint.c.not_before_s <= to_s(now),
            outbox.c.endpoint.not_in(list(skip)),
        )
        .order_by(outbox.c.due_s, outbox.c.message_id)
        .limit(_READ_AT_ONCE)
    )
    return list(db.execute(query))


def _finish(db: Connection, message: Message, values: Mapping[str, Any]) -> None:
    """Write how an attempt ended; of a worker whose lease lapsed meanwhile, nothing."""
    mine = update(outbox).where(
        outbox.c.message_id == message.message_id,
        outbox.c.state == "waiting",
        outbox.c.attempts == message.attempts,
    )
    db.execute(mine.values(**values, leased_until_s=None))


def _endpoint_ok(db: Connection, name: str, now: datetime) -> None:
    well = {"state": "working", "failures": 0, "failing_since_s": None, "not_before_s": 0}
    statement = update(endpoint).where(endpoint.c.name == name)
    db.execute(statement.values(**well, last_ok_s=to_s(now)))


def _endpoint_failed(db: Connection, name: str, now: datetime) -> None:
    """Count the failure; from the third in a row on, the endpoint is left alone for a minute."""
    pause = case((endpoint.c.failures + 1 >= CALM_FROM, PAUSE_S), else_=0)
    statement = update(endpoint).where(endpoint.c.name == name)
    db.execute(
        statement.values(
            failures=endpoint.c.failures + 1,
            failing_since_s=func.coalesce(endpoint.c.failing_since_s, to_s(now)),
            not_before_s=to_s(now) + pause,
        )
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        message_id=row.message_id,
        endpoint=row.endpoint,
        sequence=row.sequence,
        kind=row.kind,
        state=row.state,
        attempts=row.attempts,
        created_at=from_s(row.created_s),
        due_at=from_s(row.due_s),
        done_at=_at(row.done_s),
        last_status=row.last_status,
        last_error=row.last_error,
        last_answer=row.last_answer,
    )


def _at(seconds: int | None) -> datetime | None:
    return None if seconds is None else from_s(seconds)
