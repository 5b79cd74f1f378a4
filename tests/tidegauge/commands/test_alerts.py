"""Alerts as a table and as lines of JSON, from what the store holds."""

from __future__ import annotations

import io
import json

import orjson
import pytest
from rich.console import Console

from tests.alert_world import an_alert
from tests.world import NOON
from tidegauge.alert import Alert, State
from tidegauge.commands.alerts import print_jsonl, print_table, record


def test_a_record_names_the_alert_its_series_and_what_to_do() -> None:
    alert = an_alert(NOON, acknowledged_by="ana")
    said = record(alert)

    assert said["alert_id"] == alert.alert_id
    assert (said["state"], said["severity"], said["rule"]) == ("firing", "warning", "output_tokens")
    assert (said["service"], said["env"], said["use_case"], said["model"]) == (
        alert.series.service,
        alert.series.environment,
        alert.series.use_case,
        alert.series.model,
    )
    assert said["evidence"] == [
        {"name": "Output length", "text": "1,140 tokens (normal 430 tokens)"}
    ]
    assert said["acknowledged_by"] == "ana"
    assert said["links"]["runbook"] == "http://t/r"


def test_times_are_utc_with_a_z_and_an_open_alert_has_no_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_jsonl([an_alert(NOON), an_alert(NOON, state=State.RESOLVED, ends_at=NOON)])

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["opened_at"], first["ends_at"]) == ("2026-01-15T12:00:00Z", None)
    assert second["ends_at"] == "2026-01-15T12:00:00Z"


def test_every_record_is_json_as_it_stands() -> None:
    assert orjson.loads(orjson.dumps(record(an_alert(NOON))))["title"] == an_alert(NOON).title


def table_of(*alerts: Alert) -> str:
    out = io.StringIO()
    print_table(alerts, Console(file=out, width=160))
    return out.getvalue()


def test_the_table_has_one_line_per_alert() -> None:
    head, line = table_of(an_alert(NOON)).splitlines()

    assert head.split()[:3] == ["alert", "state", "severity"]
    assert an_alert(NOON).alert_id in line
    assert "2026-01-15 12:00" in line


def test_no_alerts_are_said_in_words() -> None:
    assert table_of() == "No alerts.\n"
