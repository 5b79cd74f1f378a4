from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.bodies import build
from collector import limits
from collector.intake import Batch, each, take_in
from collector.limits import BadEncoding, BadOtlp, Limits, TooLarge
from collector.redact import DEFAULT
from tidegauge.call import NotCounted


def taken(body: bytes, *, encoding: str | None = None, bounds: Limits = limits.DEFAULT) -> Batch:
    return take_in(body, json=False, encoding=encoding, project="p", rules=DEFAULT, bounds=bounds)


def test_a_request_becomes_calls_and_wrappers_of_the_project() -> None:
    body = build(8, 1)
    batch = taken(body.packed, encoding="gzip")
    assert batch.rejected == []
    assert batch.size == len(body.raw)
    keys = [(bytes.fromhex(call.trace_id), bytes.fromhex(call.span_id)) for call in batch.calls]
    assert keys == list(body.keys)
    assert {call.project for call in batch.calls} == {"p"}
    assert [call.not_counted for call in batch.calls[:2]] == [NotCounted.WRAPPER, None]


def test_a_known_model_has_its_price() -> None:
    calls = [call for call in taken(build(40, 2).raw).calls if call.request_model == "gpt-4o"]
    assert calls
    assert all(call.cost_usd is not None and call.cost_usd > 0 for call in calls)


@pytest.mark.parametrize(
    ("field", "kind"), [("trace_id", "bad_trace_id"), ("span_id", "bad_span_id")]
)
def test_a_span_without_ids_is_rejected_alone(field: str, kind: str) -> None:
    request = ExportTraceServiceRequest.FromString(build(8, 3).raw)
    setattr(request.resource_spans[0].scope_spans[0].spans[0], field, b"")
    batch = taken(request.SerializeToString())
    assert [rejection.kind for rejection in batch.rejected] == [kind]
    assert len(batch.calls) == 7


def test_an_error_in_one_span_leaves_its_neighbours_and_tells_no_content() -> None:
    def fragile(text: str) -> str:
        if text == "bad":
            raise ValueError("a prompt")
        return text.upper()

    kept, rejected = each(["a", "bad", "b"], fragile)
    assert kept == ["A", "B"]
    assert [rejection.kind for rejection in rejected] == ["unreadable"]
    assert "ValueError" in rejected[0].reason
    assert "prompt" not in rejected[0].reason


@pytest.mark.parametrize(
    ("body", "encoding", "bounds", "error"),
    [
        (b"\xff", None, limits.DEFAULT, BadOtlp),
        (b"\xff", "gzip", limits.DEFAULT, BadEncoding),
        (build(4, 4).raw, None, Limits(spans=3), TooLarge),
        (build(4, 4).packed, "gzip", Limits(body_bytes=2000), TooLarge),
    ],
)
def test_a_request_out_of_bounds_is_refused_whole(
    body: bytes, encoding: str | None, bounds: Limits, error: type[Exception]
) -> None:
    with pytest.raises(error):
        taken(body, encoding=encoding, bounds=bounds)
