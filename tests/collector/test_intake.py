from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.bodies import build
from collector import limits
from collector.capture import Plan
from collector.intake import Batch, dated, each, take_in
from collector.limits import BadEncoding, BadOtlp, Limits, TooLarge
from collector.sender import Sender
from tests.world import a_call
from tidegauge.call import NotCounted

RECEIVED = datetime(2026, 6, 1, tzinfo=UTC)


def taken(body: bytes, *, encoding: str | None = None, bounds: Limits = limits.DEFAULT) -> Batch:
    return take_in(
        body,
        json=False,
        encoding=encoding,
        sender=Sender("p"),
        plan=Plan(),
        received_at=RECEIVED,
        bounds=bounds,
    )


def test_a_request_becomes_calls_and_wrappers_of_the_project() -> None:
    body = build(8, 1)
    batch = taken(body.packed, encoding="gzip")
    assert batch.rejected == []
    assert len(body.raw) <= batch.size < 3 * len(body.raw)
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


@pytest.mark.parametrize(
    ("started_at", "invalid"),
    [
        (RECEIVED + timedelta(minutes=9), False),
        (RECEIVED + timedelta(minutes=11), True),
        (datetime(2255, 1, 1, tzinfo=UTC), True),
        (datetime(1999, 12, 31, tzinfo=UTC), True),
        (datetime(2000, 1, 2, tzinfo=UTC), False),
    ],
)
def test_a_start_that_cannot_be_is_marked(started_at: datetime, invalid: bool) -> None:
    assert dated(a_call(1, started_at=started_at), RECEIVED).clock_invalid is invalid


def test_a_clock_that_was_wrong_before_stays_wrong() -> None:
    assert dated(a_call(1, started_at=RECEIVED, clock_invalid=True), RECEIVED).clock_invalid


def test_a_span_from_the_future_is_stored_and_counted() -> None:
    request = ExportTraceServiceRequest.FromString(build(4, 5).raw)
    spans = request.resource_spans[0].scope_spans[0].spans
    for number, span in enumerate(spans):
        span.start_time_unix_nano = 9 * 10**18 if number == 1 else 1_780_000_000 * 10**9
        span.end_time_unix_nano = span.start_time_unix_nano + 10**9

    batch = taken(request.SerializeToString())

    assert [call.clock_invalid for call in batch.calls] == [False, True, False, False]
    assert (batch.rejected, batch.warnings) == ([], [])


def test_cut_attributes_are_told_once_a_request_and_reject_nothing() -> None:
    request = ExportTraceServiceRequest.FromString(build(4, 6).raw)
    for span in request.resource_spans[0].scope_spans[0].spans[:2]:
        for number in range(200):
            span.attributes.add(key=f"app.k{number}").value.int_value = number

    batch = taken(request.SerializeToString())

    assert (len(batch.calls), batch.rejected) == (4, [])
    (warning,) = batch.warnings
    assert warning.startswith("2 spans had more than 128 attributes")


def test_too_much_json_in_texts_is_told_and_rejects_nothing() -> None:
    request = ExportTraceServiceRequest.FromString(build(4, 7).raw)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="gen_ai.input.messages").value.string_value = "[" + "[]," * 400_000

    batch = taken(request.SerializeToString())

    assert (len(batch.calls), batch.rejected) == (4, [])
    assert sum(("json_not_read", 1) in notes for notes in batch.notes) == 1
    assert "JSON" in batch.warnings[-1]


def test_a_call_that_ends_in_the_far_future_is_left_out_of_statistics() -> None:
    call = a_call(1, started_at=RECEIVED, duration_s=7e9)
    assert dated(call, RECEIVED).clock_invalid


def test_r13_content_that_grows_beyond_its_body_is_refused() -> None:
    request = ExportTraceServiceRequest.FromString(build(200, 8).raw)
    resource = request.resource_spans[0].resource
    for number in range(15):
        resource.attributes.add(key=f"k{number}").value.string_value = "x" * 1_000
    body = request.SerializeToString()

    assert len(taken(body).calls) == 200
    with pytest.raises(TooLarge, match="content"):
        taken(body, bounds=Limits(body_bytes=len(body)))
