"""Alerts and their history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, or_, select, update

from tidegauge.alert import (
    Alert,
    Notice,
    Severity,
    State,
    dump_members,
    dump_text,
    load_members,
    load_text,
)
from tidegauge.store import outbox
from tidegauge.store.engine import Connection
from tidegauge.store.outbox import deliveries
from tidegauge.store.rollups import register, series_id
from tidegauge.store.schema import alert, alert_event, pending
from tidegauge.store.times import from_s, to_s

__all__ = ["Alert", "Event", "acknowledge", "deliveries", "events", "get", "list_alerts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change in an alert's life, as it was told."""

    sequence: int
    at: datetime
    kind: str  # firing, updated, acknowledged, resolved
    by: str | None  # the person; None: Tidegauge
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A row of ``pending``: how often in a row a signal has moved that has no alert yet."""

    fingerprint: str
    since: datetime
    counted: datetime
    windows: int  # 0: its alert is open, and since ``since`` nothing certain is known of it


def list_alerts(db: Connection, state: State | None = None, limit: int = 200) -> list[Alert]:
    """Return up to ``limit`` alerts, the newest first; of one state, if named."""
    query = select(alert).order_by(alert.c.opened_s.desc(), alert.c.alert_id).limit(limit)
    if state is not None:
        query = query.where(alert.c.state == str(state))
    return [_alert(row) for row in db.execute(query)]


def get(db: Connection, alert_id: str) -> Alert | None:
    """Return one alert. If there is none of this id, return None."""
    row = db.execute(select(alert).where(alert.c.alert_id == alert_id)).one_or_none()
    return None if row is None else _alert(row)


def current(db: Connection, since: datetime) -> list[Alert]:
    """Return every alert that is open, and those that were told of since."""
    lately = alert.c.updated_s >= to_s(since)
    query = select(alert).where(or_(alert.c.state != "resolved", lately))
    return [_alert(row) for row in db.execute(query.order_by(alert.c.opened_s, alert.c.alert_id))]


def events(db: Connection, alert_id: str) -> list[Event]:
    """Return the history of one alert, oldest first."""
    query = select(alert_event).where(alert_event.c.alert_id == alert_id)
    return [
        Event(sequence=row.sequence, at=from_s(row.at_s), kind=row.kind, by=row.by, text=row.text)
        for row in db.execute(query.order_by(alert_event.c.sequence))
    ]


def open_alert(db: Connection, notice: Notice) -> None:
    """Write a new alert, its first event and its messages; raises BadValue where one is open."""
    one = notice.alert
    register(db, [member.series for member in one.members], notice.at)
    db.execute(alert.insert().values(alert_id=one.alert_id, **_row(one)))
    tell(db, notice)


def change_alert(db: Connection, before: Alert, notice: Notice, *, told: bool) -> bool:
    """Write what became of ``before``; with ``told`` also the event and its messages.

    Returns False, and writes nothing, where someone else has changed the alert since it was read.
    """
    register(db, [member.series for member in notice.alert.members], notice.at)
    if not _swap(db, before, notice.alert):
        return False
    if told:
        tell(db, notice)
    return True


def tell(db: Connection, notice: Notice, *, by: str | None = None) -> None:
    """Write the event of ``notice`` and a message to every endpoint, in this transaction."""
    one = notice.alert
    db.execute(
        alert_event.insert().values(
            alert_id=one.alert_id,
            sequence=one.sequence,
            at_s=to_s(notice.at),
            kind=notice.kind.removeprefix("alert."),
            by=by,
            text=f"{one.title} ({notice.reason})" if by is None else f"acknowledged by {by}",
        )
    )
    outbox.enqueue(db, notice)


def acknowledge(db: Connection, alert_id: str, by: str, now: datetime) -> Alert | None:
    """Note that ``by`` has the alert, tell the endpoints, and return it.

    Returns None, and changes nothing, where the alert is not firing (or there is none).
    """
    before = get(db, alert_id)
    if before is None or before.state is not State.FIRING:
        return None
    taken = replace(
        before,
        state=State.ACKNOWLEDGED,
        acknowledged_by=by,
        sequence=before.sequence + 1,
        updated_at=now,
    )
    if not _swap(db, before, taken):
        return None  # another person was faster, or it has just been resolved
    notice = Notice(kind="alert.acknowledged", at=now, reason="acknowledged", alert=taken)
    tell(db, notice, by=by)
    return taken


def next_sequence(db: Connection, fingerprint: str) -> int:
    """Return the number of a fingerprint's next message: above all that were sent before."""
    query = select(func.max(alert.c.sequence)).where(alert.c.fingerprint == fingerprint)
    return (db.execute(query).scalar_one() or 0) + 1


def read_pending(db: Connection) -> list[Waiting]:
    """Return what has moved, but has no alert yet."""
    return [
        Waiting(
            fingerprint=row.fingerprint,
            since=from_s(row.since_s),
            counted=from_s(row.counted_s),
            windows=row.windows,
        )
        for row in db.execute(select(pending).order_by(pending.c.fingerprint))
    ]


def write_pending(db: Connection, rows: Iterable[Waiting]) -> None:
    """Make ``rows`` all that is pending."""
    values = [
        {
            "fingerprint": one.fingerprint,
            "since_s": to_s(one.since),
            "counted_s": to_s(one.counted),
            "windows": one.windows,
        }
        for one in rows
    ]
    db.execute(delete(pending))
    if values:
        db.execute(pending.insert(), values)


def _swap(db: Connection, before: Alert, after: Alert) -> bool:
    """Replace ``before`` by ``after``, unless it is no longer what was read."""
    unchanged = (
        (alert.c.alert_id == before.alert_id)
        & (alert.c.sequence == before.sequence)
        & (alert.c.state == before.state.value)
    )
    return db.execute(update(alert).where(unchanged).values(**_row(after))).rowcount == 1


def _row(one: Alert) -> dict[str, Any]:
    return {
        "project": one.series.project,
        "fingerprint": one.fingerprint,
        "series_id": series_id(one.series),
        "signal": one.signal,
        "members": dump_members(one.members),
        "state": one.state.value,
        "severity": one.severity.value,
        "opened_s": to_s(one.opened_at),
        "starts_s": to_s(one.starts_at),
        "updated_s": to_s(one.updated_at),
        "ends_s": None if one.ends_at is None else to_s(one.ends_at),
        "sequence": one.sequence,
        "calm_since_s": None if one.calm_since is None else to_s(one.calm_since),
        "title": one.text.title,
        "body": dump_text(one.text),
        "acknowledged_by": one.acknowledged_by,
    }


def _alert(row: Row[Any]) -> Alert:
    members = load_members(row.members)
    return Alert(
        alert_id=row.alert_id,
        fingerprint=row.fingerprint,
        signal=row.signal,
        series=members[0].series,
        members=members,
        state=State(row.state),
        severity=Severity(row.severity),
        opened_at=from_s(row.opened_s),
        starts_at=from_s(row.starts_s),
        updated_at=from_s(row.updated_s),
        ends_at=None if row.ends_s is None else from_s(row.ends_s),
        sequence=row.sequence,
        calm_since=None if row.calm_since_s is None else from_s(row.calm_since_s),
        acknowledged_by=row.acknowledged_by,
        text=load_text(row.body),
    )
