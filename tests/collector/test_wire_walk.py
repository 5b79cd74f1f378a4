from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.limits import BadOtlp, Limits, TooLarge
from collector.wire_walk import LOGS, METRICS, Shape, walk
from tests.collector import signals_corpus

LIMITS = Limits()
MIB = 2**20


def wrapped(body: bytes, *fields: int) -> bytes:
    """Return ``body`` as a field inside a field and so on, the innermost number last."""
    for number in reversed(fields):
        body = varint(number << 3 | 2) + varint(len(body)) + body
    return body


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


# 16 MiB of each would become gigabytes of objects.
BOMBS = {
    "records": (LOGS, wrapped(b"\x12\x00" * 2 * MIB, 1, 2)),
    "resources": (LOGS, b"\x0a\x00" * 2 * MIB),
    "attributes": (LOGS, wrapped(b"\x32\x00" * 2 * MIB, 1, 2, 2)),
    "values in a body": (LOGS, wrapped(b"\x0a\x00" * 2 * MIB, 1, 2, 2, 5, 5)),
    "metrics": (METRICS, wrapped(b"\x12\x00" * 2 * MIB, 1, 2)),
    "gauge points": (METRICS, wrapped(b"\x0a\x00" * 2 * MIB, 1, 2, 2, 5)),
    "histogram points": (METRICS, wrapped(b"\x0a\x00" * 2 * MIB, 1, 2, 2, 9)),
    "exemplars": (METRICS, wrapped(b"\x42\x00" * 2 * MIB, 1, 2, 2, 9, 1)),
    "quantiles": (METRICS, wrapped(b"\x32\x00" * 2 * MIB, 1, 2, 2, 11, 1)),
    "buckets": (METRICS, wrapped(b"\x00" * 16 * MIB, 1, 2, 2, 10, 1, 8, 2)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_o08_a_bomb_of_empty_things_is_refused_before_it_is_parsed(name: str) -> None:
    shape, body = BOMBS[name]
    began = time.thread_time()
    with pytest.raises(TooLarge):
        walk(body, shape, LIMITS)
    assert time.thread_time() - began < 2


def logs_of_depth(levels: int) -> bytes:
    value = AnyValue(string_value="x")
    for level in range(levels - 1):
        outer = AnyValue()
        if level % 2:
            outer.array_value.values.append(value)
        else:
            outer.kvlist_value.values.add(key="k", value=value)
        value = outer
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.CopyFrom(value)
    return request.SerializeToString()


def test_values_are_as_deep_as_is_allowed_and_no_deeper() -> None:
    walk(logs_of_depth(LIMITS.depth), LOGS, LIMITS)
    with pytest.raises(TooLarge, match="nested"):
        walk(logs_of_depth(LIMITS.depth + 1), LOGS, LIMITS)


def test_records_are_as_many_as_is_allowed_and_no_more() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for _ in range(5):
        records.add(event_name="x")
    walk(request.SerializeToString(), LOGS, Limits(spans=5))
    with pytest.raises(TooLarge, match="more than 4 records"):
        walk(request.SerializeToString(), LOGS, Limits(spans=4))


@pytest.mark.parametrize("shape", [LOGS, METRICS])
def test_what_the_parser_takes_the_walk_takes(shape: Shape) -> None:
    kind = ExportLogsServiceRequest if shape is LOGS else ExportMetricsServiceRequest
    signal = "logs" if shape is LOGS else "metrics"
    files = signals_corpus.files(signal)
    assert files
    rng = random.Random(7)
    for file in files:
        body = signals_corpus.body(file)
        walk(body, shape, LIMITS)
        for _ in range(50):
            broken = bytearray(body[: rng.randint(0, len(body))])
            for _ in range(rng.randint(0, 3)):
                if broken:
                    broken[rng.randrange(len(broken))] = rng.randrange(256)
            try:
                walk(bytes(broken), shape, LIMITS)
            except (BadOtlp, TooLarge):
                continue
            with suppress(DecodeError):  # of text that is not UTF-8; anything else is a fault
                kind().ParseFromString(bytes(broken))


@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x0a\x05ab", b"\x0f", b"\x08" + b"\xff" * 11, b"\x09\x00", b"\x0d\x00"]
)
def test_o17_a_broken_wire_is_named(body: bytes) -> None:
    with pytest.raises(BadOtlp):
        walk(body, LOGS, LIMITS)
