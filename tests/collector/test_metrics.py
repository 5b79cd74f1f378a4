from __future__ import annotations

import pytest

from collector.metrics import Metrics


def test_counters_are_rendered_with_help_type_and_labels() -> None:
    metrics = Metrics()
    metrics.add("tidegauge_spans_total", 3, outcome="accepted")
    metrics.add("tidegauge_spans_total", 2, outcome="accepted")
    text = metrics.render({"tidegauge_in_flight_bytes": 7})
    assert 'tidegauge_spans_total{outcome="accepted"} 5\n' in text
    assert "# TYPE tidegauge_spans_total counter\n" in text
    assert "# TYPE tidegauge_in_flight_bytes gauge\ntidegauge_in_flight_bytes 7\n" in text


def test_large_counters_keep_every_digit() -> None:
    metrics = Metrics()
    metrics.add("tidegauge_spans_total", 123_456_789, outcome="accepted")
    assert " 123456789\n" in metrics.render({})


def test_a_counter_without_a_help_text_is_refused() -> None:
    with pytest.raises(KeyError):
        Metrics().add("tidegauge_typo_total")
