from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from tests.alert_world import BOT, an_alert, fires, resolves
from tidegauge.alert import (
    Member,
    Severity,
    alert_id,
    dump_members,
    dump_notice,
    dump_text,
    load_members,
    load_notice,
    load_text,
)


def test_a_notice_survives_its_way_through_the_outbox(now: datetime) -> None:
    alert = an_alert(now, calm_since=now, acknowledged_by="Ana")
    for notice in (fires(alert, now), resolves(alert, now)):
        assert load_notice(dump_notice(notice)) == notice


def test_text_and_members_survive_their_way_through_the_table(now: datetime) -> None:
    alert = an_alert(now)

    assert load_text(dump_text(alert.text)) == alert.text
    assert load_members(dump_members(alert.members)) == alert.members


def test_the_fingerprint_tells_every_name_and_rule_apart() -> None:
    names = ("project", "service", "environment", "use_case", "model")
    members = [Member("latency", replace(BOT, **{name: "x"})) for name in names]
    members += [Member("latency", BOT), Member("errors", BOT)]

    assert len({member.fingerprint for member in members}) == len(members)


def test_an_alert_id_is_the_same_when_a_run_is_repeated(now: datetime) -> None:
    assert alert_id("f", now) == alert_id("f", now)
    assert alert_id("f", now) != alert_id("g", now)


def test_severities_are_in_order() -> None:
    assert [one.rank for one in Severity] == [0, 1, 2, 3]
