"""What was learned and what was found comes back as it was kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import insert

from tests.world import NOON
from tidegauge.alert import Member, dump_members
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Finding, Series, Signal, Verdict
from tidegauge.normal import Normal
from tidegauge.store import normals, rollups
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.normals import AlertSpan
from tidegauge.store.rollups import series_id
from tidegauge.store.schema import alert

SERIES = Series("default", "s", "e", "u", "m")
NORMAL = Normal(
    series=SERIES,
    signal=Signal.LATENCY,
    learned_at=NOON,
    hours=48,
    log_scale=True,
    profile=tuple(i / 7 for i in range(48)),
    wander_sd=0.1,
)
FINDING = Finding(
    series=SERIES,
    signal=Signal.ERRORS,
    verdict=Verdict.MOVED,
    why="outside what this hour usually shows",
    since=NOON - 5 * MINUTE,
    until=NOON,
    calls=300,
    now=0.1,
    usual=0.01,
    usual_low=0.0,
    usual_high=0.02,
    strength=21.5,
    now_low=0.07,
    now_high=0.14,
)


def with_series(engine: Engine) -> None:
    with write(engine) as db:
        rollups.register(db, [SERIES], NOON)


def test_a_normal_comes_back_with_its_state(engine: Engine) -> None:
    with_series(engine)
    newer = replace(NORMAL, learned_at=NOON + HOUR, hours=49)
    with write(engine) as db:
        normals.write_normals(db, [(NORMAL, {"project_hours": 1})])
        normals.write_normals(db, [(newer, {"project_hours": 2, "a": [1.5, None]})])
    with read(engine) as db:
        assert normals.read_normals(db, "default") == [
            (newer, {"project_hours": 2, "a": [1.5, None]})
        ]


def test_what_another_version_learned_is_not_used(engine: Engine) -> None:
    with_series(engine)
    with write(engine) as db:
        normals.write_normals(db, [(replace(NORMAL, version=0), {"project_hours": 1})])
    with read(engine) as db:
        assert normals.read_normals(db, "default", 1) == []


def test_what_is_no_longer_learned_is_forgotten(engine: Engine) -> None:
    with_series(engine)
    with write(engine) as db:
        normals.write_normals(db, [(NORMAL, {"project_hours": 1})])
        normals.forget_normals(db, "default", NOON)
    with read(engine) as db:
        assert len(normals.read_normals(db, "default")) == 1
    with write(engine) as db:
        normals.forget_normals(db, "default", NOON + HOUR)
    with read(engine) as db:
        assert normals.read_normals(db, "default") == []


def test_the_newest_finding_of_a_window_length_takes_the_old_one_s_place(engine: Engine) -> None:
    with_series(engine)
    newer = replace(FINDING, since=NOON - 4 * MINUTE, until=NOON + MINUTE, now=None)
    longer = replace(FINDING, since=NOON - 15 * MINUTE)
    with write(engine) as db:
        normals.write_findings(db, [FINDING, longer])
        normals.write_findings(db, [newer])
    with read(engine) as db:
        found = normals.read_findings(db, "default")
        fresh = normals.read_findings(db, "default", since=NOON)
    assert sorted(found, key=lambda f: f.until) == [longer, newer]
    assert fresh == [newer]


def test_findings_of_silent_series_are_forgotten(engine: Engine) -> None:
    with_series(engine)
    with write(engine) as db:
        normals.write_findings(db, [FINDING])
        normals.forget_findings(db, "default", NOON + timedelta(seconds=1))
    with read(engine) as db:
        assert normals.read_findings(db, "default") == []


def test_alerts_are_known_by_when_they_were_open(engine: Engine) -> None:
    rows = [
        ("A-1", "latency", NOON, None),
        ("A-2", "errors", NOON - 3 * DAY, NOON - 2 * DAY),
        ("A-3", "errors", NOON - 9 * DAY, NOON - 8 * DAY),
        ("A-4", "prompt", NOON, None),  # no signal: a silent prompt change
    ]
    with write(engine) as db:
        for alert_id, signal, since, until in rows:
            db.execute(
                insert(alert).values(
                    alert_id=alert_id,
                    project="default",
                    fingerprint=alert_id,
                    series_id=series_id(SERIES),
                    signal=signal,
                    members=dump_members((Member(signal, SERIES),)),
                    state="firing",
                    severity="error",
                    opened_s=int(since.timestamp()),
                    starts_s=int(since.timestamp()),
                    updated_s=0,
                    ends_s=None if until is None else int(until.timestamp()),
                    sequence=1,
                    title="",
                    body="{}",
                )
            )
    with read(engine) as db:
        found = normals.alert_spans(db, "default", NOON - 4 * DAY)
    assert sorted(found, key=lambda s: s.since) == [
        AlertSpan(SERIES, Signal.ERRORS, NOON - 3 * DAY, NOON - 2 * DAY),
        AlertSpan(SERIES, Signal.LATENCY, NOON, None),
    ]
