"""What was learned as normal, and every detector's newest answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Table, delete, func, or_, select

from tidegauge.alert import PROMPT, load_members
from tidegauge.finding import Finding, Series, Signal, Verdict
from tidegauge.normal import Normal
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.rollups import HOUR_S, series_id, series_of
from tidegauge.store.schema import alert, finding, normal, rollup
from tidegauge.store.times import from_s, to_s

_VALUES = ("now", "usual", "usual_low", "usual_high", "now_low", "now_high", "strength")


@dataclass(frozen=True, slots=True)
class AlertSpan:
    """When one signal of one series was in an alert; ``until`` None: it still is."""

    series: Series
    signal: Signal
    since: datetime
    until: datetime | None


def write_normals(db: Connection, learned: Iterable[tuple[Normal, Mapping[str, Any]]]) -> None:
    """Keep what was learned, in place of what was there for the same series and signal."""
    _upsert(db, normal, [_normal_row(one, state) for one, state in learned], 3)


def read_normals(
    db: Connection, project: str, version: int | None = None
) -> list[tuple[Normal, Mapping[str, Any]]]:
    """Return what was learned, with the detector's own state; of one method version, if named."""
    names = series_of(db, project)
    query = select(normal).where(normal.c.project == project)
    if version is not None:
        query = query.where(normal.c.version == version)
    return [
        (
            Normal(
                series=names[row.series_id],
                signal=Signal(row.signal),
                learned_at=from_s(row.learned_s),
                hours=row.hours,
                log_scale=row.log_scale,
                profile=tuple(orjson.loads(row.profile)),
                wander_sd=row.wander_sd,
                version=row.version,
            ),
            orjson.loads(row.state),
        )
        for row in db.execute(query)
    ]


def forget_normals(db: Connection, project: str, before: datetime) -> None:
    """Delete what was last learned before: its series has sent nothing for weeks."""
    db.execute(delete(normal).where(normal.c.project == project, normal.c.learned_s < to_s(before)))


def write_findings(db: Connection, findings: Iterable[Finding]) -> None:
    """Keep ``findings`` as the newest answers of their series, signal and window length."""
    _upsert(db, finding, [_finding_row(one) for one in findings], 4)


def read_findings(db: Connection, project: str, *, since: datetime | None = None) -> list[Finding]:
    """Return the newest answers; with ``since``, only of windows that end after it."""
    names = series_of(db, project)
    query = select(finding).where(finding.c.project == project)
    if since is not None:
        query = query.where(finding.c.until_s > to_s(since))
    return [_finding(dict(row._mapping), names[row.series_id]) for row in db.execute(query)]


def forget_findings(db: Connection, project: str, before: datetime) -> None:
    """Delete answers about windows that ended before: their series no longer sends calls."""
    db.execute(
        delete(finding).where(finding.c.project == project, finding.c.until_s < to_s(before))
    )


def hours_known(db: Connection, project: str) -> int:
    """Return how many hour buckets the project has: it jumps when old calls arrive late."""
    query = select(func.count()).where(rollup.c.project == project, rollup.c.step_s == HOUR_S)
    return int(db.execute(query).scalar_one())


def alert_spans(db: Connection, project: str, since: datetime) -> list[AlertSpan]:
    """Return the alerts that were open at some time after ``since``."""
    columns = (alert.c.members, alert.c.starts_s, alert.c.opened_s, alert.c.ends_s)
    query = select(*columns).where(
        alert.c.project == project, or_(alert.c.ends_s.is_(None), alert.c.ends_s >= to_s(since))
    )
    return [
        AlertSpan(
            member.series,
            Signal(member.signal),
            # one that moved anew after a silence starts then; what came before is no normal either
            from_s(min(row.starts_s, row.opened_s)),
            None if row.ends_s is None else from_s(row.ends_s),
        )
        for row in db.execute(query)
        for member in load_members(row.members)
        if member.signal != PROMPT  # a silent prompt change is no number
    ]


def _normal_row(one: Normal, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "project": one.series.project,
        "series_id": series_id(one.series),
        "signal": one.signal.value,
        "learned_s": to_s(one.learned_at),
        "version": one.version,
        "hours": one.hours,
        "log_scale": one.log_scale,
        "profile": orjson.dumps(one.profile).decode(),
        "wander_sd": one.wander_sd,
        "state": orjson.dumps(state).decode(),
    }


def _finding_row(one: Finding) -> dict[str, Any]:
    return {
        "project": one.series.project,
        "series_id": series_id(one.series),
        "signal": one.signal.value,
        "window_s": int((one.until - one.since).total_seconds()),
        "verdict": one.verdict.value,
        "why": one.why,
        "since_s": to_s(one.since),
        "until_s": to_s(one.until),
        "calls": one.calls,
        **{name: getattr(one, name) for name in _VALUES},
    }


def _finding(row: Mapping[str, Any], series: Series) -> Finding:
    return Finding(
        series=series,
        signal=Signal(row["signal"]),
        verdict=Verdict(row["verdict"]),
        why=row["why"],
        since=from_s(row["since_s"]),
        until=from_s(row["until_s"]),
        calls=row["calls"],
        **{name: row[name] for name in _VALUES},
    )


def _upsert(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]], keys: int) -> None:
    """Insert ``rows``; one whose key (the first columns) is there already takes its place."""
    if not rows:
        return
    columns = list(table.c)
    statement = insert_into(db, table)
    statement = statement.on_conflict_do_update(
        index_elements=columns[:keys],
        set_={column.name: statement.excluded[column.name] for column in columns[keys:]},
    )
    db.execute(statement, rows)
