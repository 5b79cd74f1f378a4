from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from analysis.alerts.receivers import RECEIVERS, generic
from tests.alert_world import BOT, an_alert, fires, resolves
from tidegauge.alert import Evidence

#: The promise of schema_version 1: a field may be added, none renamed or taken away.
FIELDS = {
    "schema_version": int,
    "alert_id": str,
    "fingerprint": str,
    "status": str,
    "reason": str,
    "sequence": int,
    "severity": str,
    "rule": str,
    "project": str,
    "service": str,
    "env": str,
    "use_case": str,
    "model": str,
    "starts_at": str,
    "title": str,
    "impact": str,
    "likely_cause": str,
    "first_action": str,
    "evidence": list,
    "links": dict,
}


def test_the_event_has_the_fields_that_are_promised(now: datetime) -> None:
    event = json.loads(generic.body(fires(an_alert(now), now)))

    assert set(event) == {"type", "timestamp", "data"}
    assert (event["type"], event["timestamp"]) == ("alert.firing", "2026-01-15T12:00:30Z")
    data = event["data"]
    assert set(data) == {*FIELDS, "ends_at", "acknowledged_by"}
    assert all(isinstance(data[name], kind) for name, kind in FIELDS.items())
    assert (data["schema_version"], data["status"], data["ends_at"]) == (1, "firing", None)
    assert set(data["links"]) == {"alert", "chart", "runbook", "silence"}
    assert all(set(row) == {"name", "text"} for row in data["evidence"])


def test_the_end_carries_its_time_and_the_higher_sequence(now: datetime) -> None:
    data = generic.event(resolves(an_alert(now), now))["data"]

    assert (data["status"], data["sequence"]) == ("resolved", 2)
    assert data["ends_at"] == "2026-01-15T12:00:30Z"


def test_names_of_any_length_stay_below_20_kb(now: datetime) -> None:
    long = "\u00e4" * 100_000
    series = replace(BOT, project=long, service=long, environment=long, use_case=long, model=long)
    alert = an_alert(now, series=series, acknowledged_by=long)
    rows = tuple(Evidence("\u00e4" * 60, "\u00e4" * 120) for _ in range(6))
    full = replace(
        alert.text,
        title="\u00e4" * 80,
        impact="\u00e4" * 280,
        likely_cause="\u00e4" * 400,
        first_action="\u00e4" * 200,
        evidence=rows,
    )

    assert len(generic.body(fires(replace(alert, text=full), now))) < generic.LIMIT_BYTES


def test_control_characters_in_names_do_not_pass(now: datetime) -> None:
    alert = an_alert(now, series=replace(BOT, service="a\x00b\x1b[0m\u202e"))

    assert generic.event(fires(alert, now))["data"]["service"] == "ab[0m"


def test_every_kind_of_endpoint_has_its_receiver() -> None:
    assert {"generic": generic.body} == RECEIVERS
