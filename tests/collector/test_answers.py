from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.answers import Signal, reasons, status, success, told
from collector.intake import Rejection


@pytest.mark.parametrize("signal", list(Signal))
def test_a_full_success_sets_nothing(signal: Signal) -> None:
    assert success(signal, json=False) == b""
    assert success(signal, json=True) == b"{}"


def test_a_warning_rejects_nothing() -> None:
    answer = ExportTraceServiceResponse.FromString(
        success(Signal.TRACES, message="cut", json=False)
    )
    assert answer.partial_success.rejected_spans == 0
    assert json.loads(success(Signal.TRACES, message="cut", json=True)) == {
        "partialSuccess": {"errorMessage": "cut"}
    }


def test_reasons_are_counted_and_stay_short() -> None:
    rejected = [Rejection("bad_span", f"reason {n} " + "x" * 5000) for n in range(5000)]
    text = reasons([*rejected, rejected[0]])
    assert text.startswith("5001 spans rejected: reason 0 ")
    assert text.endswith("and 4990 other reasons")
    assert len(text) < 4096


def test_a_status_is_the_same_in_both_encodings() -> None:
    assert json.loads(status(3, "bad", json=True)) == {"code": 3, "message": "bad"}
    assert status(3, "bad", json=False) == b"\x08\x03\x12\x03bad"


def test_what_is_told_beside_a_success() -> None:
    rejected = [Rejection("bad_span", "no id")]
    assert told([], []) == ""
    assert told([], ["2 spans were cut"]) == "2 spans were cut"
    assert told(rejected, ["2 spans were cut"]) == "1 span rejected: no id (1); 2 spans were cut"
    assert told(rejected, [], Signal.LOGS) == "1 log record rejected: no id (1)"
