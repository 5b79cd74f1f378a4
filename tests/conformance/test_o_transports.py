"""Encodings over every transport (O-01, O-08, O-12, O-13, O-17)."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pysqlite3 import dbapi2 as sqlite

from bench.bodies import build
from bench.servers import Collector
from collector.serve import MAX_SPANS
from tests.conformance.conftest import Stored
from tests.conformance.wire import TRANSPORTS, Answer, Send, a_span, encoded, over, request_of

LIMIT = 16 * 2**20
# Differ by who sent it, and when: the block of contents that a row points to has a random name.
OTHERS = {"received_s", "block_id"}


def rows(path: Path) -> list[tuple[Any, ...]]:
    """Return all that is stored of the spans: their rows, and the bytes of their contents."""
    with closing(sqlite.connect(path)) as db:
        columns = [column[1] for column in db.execute("PRAGMA table_info(span)")]
        kept = ", ".join(f'"{name}"' for name in columns if name not in OTHERS)
        spans = db.execute(f"SELECT {kept} FROM span ORDER BY trace_id, span_id")  # noqa: S608
        contents = db.execute("SELECT packed FROM content_block ORDER BY packed")
        return [*spans, *contents]


@pytest.mark.slow
def test_o01_the_same_spans_raw_and_packed_over_all_three_give_equal_rows(tmp_path: Path) -> None:
    request = ExportTraceServiceRequest.FromString(build(40, seed=7).raw)
    request.resource_spans[0].scope_spans[0].spans.append(a_span(name="ß世🌍"))
    stored: dict[str, list[tuple[Any, ...]]] = {}
    for transport in TRANSPORTS:
        for packed in (False, True):
            path = tmp_path / f"{transport}-{packed}.db"
            with Collector(f"sqlite:///{path}") as collector:
                answer = over(transport, collector, packed=packed)(encoded(request, transport))
            assert (answer.ok, answer.rejected) == (True, 0)
            stored[path.name] = rows(path)
    first, *others = stored.values()
    assert len(first) > 41  # and at least one block of contents
    assert all(other == first for other in others)


TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "protobuf": lambda: b"\x0a" + bytes(LIMIT),
    "json": lambda: b" " * (LIMIT - 1) + b"{}",
}


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gzip"])
@pytest.mark.parametrize("transport", TOO_LARGE)
def test_o08_a_byte_too_many_is_413_before_and_after_decompression(
    transport: str, packed: bool, collector: Collector
) -> None:
    body = TOO_LARGE[transport]()
    assert len(body) == LIMIT + 1
    process = psutil.Process(collector.process.pid)
    before = process.memory_info().rss
    answer = over(transport, collector, packed=packed)(body)
    assert answer.code == 413
    assert f"{LIMIT:,} bytes" in answer.message
    assert process.memory_info().rss - before < 2 * LIMIT


def test_o08_the_limit_itself_is_accepted(collector: Collector) -> None:
    assert over("json", collector)(b" " * (LIMIT - 2) + b"{}") == Answer(200)


def test_o08_more_spans_than_the_budget_are_refused_for_good(
    transport: str, send: Send, stored: Stored
) -> None:
    good = a_span()
    request = request_of([good])
    spans = request.resource_spans[0].scope_spans[0].spans
    spans.extend([Span()] * MAX_SPANS)
    answer = send(encoded(request, transport))
    assert answer.code in (413, "RESOURCE_EXHAUSTED")
    assert f"{MAX_SPANS:,} spans" in answer.message
    assert stored(good.trace_id) == []


EMPTY = {
    "protobuf": [b"", b"\x0a\x00", b"\x0a\x02\x12\x00", b"\x0a\x02\x0a\x00"],
    "json": [
        b"{}",
        b' {"resourceSpans": []} ',
        b'{"resourceSpans": null}',
        b'{"resourceSpans": [{}]}',
        b'{"resourceSpans": [{"resource": null, "scopeSpans": [{"scope": null, "spans": null}]}]}',
    ],
}
EMPTY["grpc"] = EMPTY["protobuf"]


def test_o12_an_empty_request_is_a_success_without_a_word(transport: str, send: Send) -> None:
    for body in EMPTY[transport]:
        answer = send(body)
        assert (answer.ok, answer.rejected, answer.message) == (True, 0, ""), body


def test_o13_of_ten_spans_three_with_bad_ids_are_told_and_seven_stored(
    transport: str, send: Send, stored: Stored
) -> None:
    trace_id = random.randbytes(16)
    spans = [a_span(trace_id=trace_id) for _ in range(10)]
    spans[2].span_id, spans[5].span_id, spans[9].trace_id = b"", bytes(8), b"short"
    answer = send(encoded(request_of(spans), transport))
    assert (answer.ok, answer.rejected) == (True, 3)
    assert answer.message.startswith("3 spans rejected: ")
    kept = {span.span_id.hex() for at, span in enumerate(spans) if at not in (2, 5, 9)}
    assert {call.span_id for call in stored(trace_id)} == kept


def broken() -> dict[str, bytes]:
    whole = build(2, seed=3).raw
    return {
        "text": b"hello",
        "cut off": whole[:-7],
        "cut off in a tag": whole + b"\x80",
        "a length past the end": b"\x0a\x7f\x00",
        "a wire type that does not exist": b"\x0f\x00",
        "a length of 2**63": b"\x0a" + b"\xff" * 8 + b"\x7f",
        "a field of another type": b"\x0a\x03\x12\x01\x0a",
    }


@pytest.mark.parametrize("name", broken())
@pytest.mark.parametrize("transport", ["protobuf", "grpc"])
def test_o17_protobuf_that_cannot_be_read_is_refused_for_good(
    name: str, transport: str, collector: Collector
) -> None:
    answer = over(transport, collector)(broken()[name])
    assert answer.code in (400, "INVALID_ARGUMENT")
    assert answer.message
