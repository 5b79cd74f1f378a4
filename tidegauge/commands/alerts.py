"""``tidegauge alerts``: every alert and its state, as JSON lines or as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from tidegauge.alert import Alert
from tidegauge.commands.tables import plain, printable


def print_jsonl(alerts: Iterable[Alert]) -> None:
    """Write one JSON object a line to standard output, in the order given."""
    for alert in alerts:
        sys.stdout.write(orjson.dumps(record(alert), option=orjson.OPT_UTC_Z).decode() + "\n")
    sys.stdout.flush()


def record(alert: Alert) -> Mapping[str, Any]:
    """Return what is known of ``alert``; the names are those of the webhook where it has them."""
    series, text = alert.series, alert.text
    return {
        "alert_id": alert.alert_id,
        "fingerprint": alert.fingerprint,
        "state": alert.state,
        "severity": alert.severity,
        "rule": alert.signal,
        "project": series.project,
        "service": series.service,
        "env": series.environment,
        "use_case": series.use_case,
        "model": series.model,
        "opened_at": alert.opened_at,
        "starts_at": alert.starts_at,
        "updated_at": alert.updated_at,
        "ends_at": alert.ends_at,
        "sequence": alert.sequence,
        "acknowledged_by": alert.acknowledged_by,
        "title": text.title,
        "impact": text.impact,
        "evidence": [{"name": row.name, "text": row.text} for row in text.evidence],
        "likely_cause": text.likely_cause,
        "first_action": text.first_action,
        "links": {
            "alert": text.links.alert,
            "chart": text.links.chart,
            "runbook": text.links.runbook,
            "silence": text.links.silence,
        },
    }


def print_table(alerts: Iterable[Alert], console: Console) -> None:
    """Print one line per alert."""
    table = plain("alert", "state", "severity", "since (UTC)")
    table.add_column("what", overflow="fold")
    rows = list(alerts)
    for one in rows:
        cells = (one.alert_id, one.state, one.severity, _time(one.starts_at), one.title)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table if rows else "No alerts.")


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")
