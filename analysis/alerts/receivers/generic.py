"""Plain JSON, signed: Tidegauge's own event, schema_version 1."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from analysis.alerts.units import clean
from tidegauge.alert import Notice

SCHEMA_VERSION = 1
LIMIT_BYTES = 20_000
_NAME_LIMIT = 200  # a client may send a name of any length


def body(notice: Notice) -> bytes:
    """Return the event as JSON, below 20 kB: the text's own limits see to that."""
    return json.dumps(event(notice), ensure_ascii=False, separators=(",", ":")).encode()


def event(notice: Notice) -> dict[str, Any]:
    """Return the event: ``type``, ``timestamp`` and ``data``. Its fields are a promise."""
    alert, text = notice.alert, notice.alert.text
    return {
        "type": notice.kind,
        "timestamp": _iso(notice.at),
        "data": {
            "schema_version": SCHEMA_VERSION,
            "alert_id": alert.alert_id,
            "fingerprint": alert.fingerprint,
            "status": alert.state.value,
            "reason": notice.reason,
            "sequence": alert.sequence,
            "severity": alert.severity.value,
            "rule": alert.signal,
            "project": clean(alert.series.project, _NAME_LIMIT),
            "service": clean(alert.series.service, _NAME_LIMIT),
            "env": clean(alert.series.environment, _NAME_LIMIT),
            "use_case": clean(alert.series.use_case, _NAME_LIMIT),
            "model": clean(alert.series.model, _NAME_LIMIT),
            "starts_at": _iso(alert.starts_at),
            "ends_at": None if alert.ends_at is None else _iso(alert.ends_at),
            "acknowledged_by": alert.acknowledged_by and clean(alert.acknowledged_by, _NAME_LIMIT),
            "title": text.title,
            "impact": text.impact,
            "likely_cause": text.likely_cause,
            "first_action": text.first_action,
            "evidence": [asdict(row) for row in text.evidence],
            "links": asdict(text.links),
        },
    }


def test_body(at: datetime) -> bytes:
    """Return the event that a person sends to see whether an endpoint works."""
    data = {"schema_version": SCHEMA_VERSION, "title": "Tidegauge: a test message, do nothing"}
    event = {"type": "delivery.test", "timestamp": _iso(at), "data": data}
    return json.dumps(event, separators=(",", ":")).encode()


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
