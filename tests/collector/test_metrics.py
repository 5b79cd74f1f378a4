from __future__ import annotations

import math

import pytest

from collector.metrics import Metrics


def test_counters_are_rendered_with_help_type_and_labels() -> None:
    metrics = Metrics()
    metrics.add("tidegauge_spans_total", 3, outcome="accepted")
    metrics.add("tidegauge_spans_total", 2, outcome="accepted")
    text = metrics.render().decode()
    assert 'tidegauge_spans_total{outcome="accepted"} 5.0\n' in text
    assert "# TYPE tidegauge_spans_total counter\n" in text
    assert "_created" not in text


def test_what_is_watched_is_read_when_it_is_asked_for() -> None:
    metrics, waiting = Metrics(), [1, 2]
    metrics.watch("tidegauge_requests_waiting", lambda: len(waiting))
    metrics.watch("tidegauge_wal_bytes", lambda: math.nan)
    waiting.append(3)
    text = metrics.render().decode()
    assert "# TYPE tidegauge_requests_waiting gauge\ntidegauge_requests_waiting 3.0\n" in text
    assert "tidegauge_wal_bytes NaN\n" in text


def test_the_process_tells_its_memory_and_open_files() -> None:
    metrics = Metrics()
    assert metrics.value("process_resident_memory_bytes") > 1e6
    assert metrics.value("process_open_fds") > 0


def test_every_outcome_of_the_ledger_has_its_counter() -> None:
    metrics = Metrics()
    for outcome in ("accepted", "rejected:bad_span_id", "late", "sdk_dropped:links"):
        metrics.count_outcome(outcome, 2)
    assert metrics.value("tidegauge_spans_total", outcome="accepted") == 2
    assert metrics.value("tidegauge_rejected_spans_total", reason="bad_span_id") == 2
    assert metrics.by_label("tidegauge_noted_total") == {"late": 2.0, "sdk_dropped:links": 2.0}


def test_a_name_that_is_not_declared_is_refused() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.add("tidegauge_typo_total")
    with pytest.raises(KeyError):
        metrics.observe("tidegauge_typo", 1)
    with pytest.raises(KeyError):
        metrics.watch("tidegauge_typo", lambda: 1)
