from __future__ import annotations

import pytest

from collector.digest import Digest
from collector.metrics import Metrics
from tidegauge import log


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_many_bad_requests_are_one_line_and_good_ones_none(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("json", process="test")
    metrics.add("tidegauge_refusals_total", 5, reason="bad_otlp")
    digest = Digest(metrics)
    for _ in range(300):
        metrics.add("tidegauge_refusals_total", reason="bad_otlp")
        metrics.add("tidegauge_spans_total", outcome="accepted")
    metrics.add("tidegauge_rejected_spans_total", 2, reason="bad_trace_id")
    digest.tell_when_due()
    assert capsys.readouterr().err == ""  # not before a minute has passed
    digest.tell()
    (line,) = capsys.readouterr().err.splitlines()
    assert '"refused_requests":{"bad_otlp":300}' in line.replace(" ", "")
    assert '"rejected_spans":{"bad_trace_id":2}' in line.replace(" ", "")
    digest.tell()
    assert capsys.readouterr().err == ""
