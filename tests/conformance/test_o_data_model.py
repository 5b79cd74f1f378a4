"""What a span may hold (O-35 to O-45), over every transport: one case, three encodings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench.servers import Collector
from collector.dialects.assemble import BESIDE
from tests.conformance.conftest import Stored
from tests.conformance.wire import (
    NANO,
    Send,
    a_span,
    encoded,
    over,
    request_of,
    with_future_fields,
)
from tidegauge.call import Call

ALL_BITS = 2**32 - 1


def valued(**value: Any) -> Span:
    return a_span(attributes=[KeyValue(key="k", value=AnyValue(**value))])


def mixed() -> Span:
    span = valued()
    values = span.attributes[0].value.array_value.values
    values.add().string_value = "a"
    values.add().int_value = -5
    values.add().double_value = 0.5
    values.add().bool_value = False
    values.add()
    values.add().array_value.values.add().bytes_value = b"\x00\xff"
    return span


def mapped(*keys: str) -> Span:
    span = valued()
    for number, key in enumerate(keys):
        span.attributes[0].value.kvlist_value.values.add(key=key).value.int_value = number
    return span


def twice() -> Span:
    span = valued(string_value="first")
    span.attributes.add(key="k").value.string_value = "last"
    return span


def profiled() -> Span:
    span = valued(string_value_strindex=3)
    span.attributes.add(key_strindex=4).value.string_value = "of a profile"
    return span


def beside(call: Call, name: str) -> Any:
    found: dict[str, Any] = call.attributes[BESIDE]
    return found.get(name)


def value(call: Call) -> Any:
    return call.attributes["k"]


@dataclass(frozen=True)
class Case:
    """A span that must be accepted, and what is true of it once it is stored."""

    name: str
    span: Callable[[], Span]
    holds: Callable[[Call], bool]


CASES = [
    Case("o36 no parent is a root", a_span, lambda call: call.parent_span_id is None),
    Case(
        "o36 a parent of zeros is a root",
        lambda: a_span(parent_span_id=bytes(8)),
        lambda call: call.parent_span_id is None,
    ),
    Case(
        "o36 a parent is kept",
        lambda: a_span(parent_span_id=bytes(range(8))),
        lambda call: call.parent_span_id == "0001020304050607",
    ),
    Case("o37 all bits of flags", lambda: a_span(flags=ALL_BITS), lambda call: True),
    Case("o38 kind 0", a_span, lambda call: beside(call, "kind") is None),
    Case("o38 kind 3", lambda: a_span(kind=3), lambda call: beside(call, "kind") == 3),
    Case("o38 kind 99", lambda: a_span(kind=99), lambda call: beside(call, "kind") == 99),
    Case(
        "o38 no status is unset",
        a_span,
        lambda call: beside(call, "status") is None and not call.failed,
    ),
    Case("o38 status 77", lambda: a_span(status={"code": 77}), lambda call: not call.failed),
    Case("o38 status error", lambda: a_span(status={"code": 2}), lambda call: call.failed),
    Case(
        "o39 a good clock",
        a_span,
        lambda call: not call.clock_invalid and call.duration_s == 1.0,
    ),
    Case(
        "o39 no start",
        lambda: a_span(start_time_unix_nano=0),
        lambda call: call.clock_invalid,
    ),
    Case(
        "o39 no end",
        lambda: a_span(end_time_unix_nano=0),
        lambda call: call.clock_invalid and call.duration_s == 0,
    ),
    Case(
        "o39 an end before the start",
        lambda: a_span(end_time_unix_nano=NANO - 1),
        lambda call: call.clock_invalid and call.duration_s == 0,
    ),
    Case(
        "o39 times of more than 63 bits",
        lambda: a_span(end_time_unix_nano=2**64 - 1),
        lambda call: call.clock_invalid,
    ),
    Case(
        "o40 dropped attributes and events",
        lambda: a_span(dropped_attributes_count=7, dropped_events_count=ALL_BITS),
        lambda call: (
            beside(call, "dropped_attributes") == 7 and beside(call, "dropped_events") == ALL_BITS
        ),
    ),
    Case("o41 an empty value", valued, lambda call: value(call) is None),
    Case("o41 an empty text", lambda: valued(string_value=""), lambda call: value(call) == ""),
    Case("o41 text", lambda: valued(string_value="ß世🌍"), lambda call: value(call) == "ß世🌍"),
    Case("o41 NUL in text", lambda: valued(string_value="a\0b"), lambda call: value(call) == "ab"),
    Case("o41 false", lambda: valued(bool_value=False), lambda call: value(call) is False),
    Case("o41 zero", lambda: valued(int_value=0), lambda call: value(call) == 0),
    Case(
        "o33 the smallest int",
        lambda: valued(int_value=-(2**63)),
        lambda call: value(call) == -(2**63),
    ),
    Case(
        "o33 an int that a double does not hold",
        lambda: valued(int_value=2**53 + 1),
        lambda call: value(call) == 2**53 + 1,
    ),
    Case(
        "o34 bytes",
        lambda: valued(bytes_value=b"\x00\xff"),
        lambda call: value(call) == "AP8=",
    ),
    Case("o34 a double", lambda: valued(double_value=0.1), lambda call: value(call) == 0.1),
    # No database keeps these three as numbers: they are unknown.
    Case("o34 NaN", lambda: valued(double_value=float("nan")), lambda call: value(call) is None),
    Case("o34 inf", lambda: valued(double_value=float("inf")), lambda call: value(call) is None),
    Case("o34 -inf", lambda: valued(double_value=float("-inf")), lambda call: value(call) is None),
    Case(
        "o41 a list of mixed values",
        mixed,
        lambda call: value(call) == ["a", -5, 0.5, False, None, ["AP8="]],
    ),
    Case("o41 a map", lambda: mapped("a", "b"), lambda call: value(call) == {"a": 0, "b": 1}),
    Case(
        "o41 the last key of a map", lambda: mapped("a", "a"), lambda call: value(call) == {"a": 1}
    ),
    Case("o41 the last of equal keys", twice, lambda call: value(call) == "last"),
    Case("o42 indexes of profiles", profiled, lambda call: value(call) is None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_span_is_accepted_and_stored(
    case: Case, transport: str, send: Send, stored: Stored
) -> None:
    span = case.span()
    answer = send(encoded(request_of([span]), transport))
    assert (answer.ok, answer.rejected, answer.message) == (True, 0, "")
    (call,) = stored(span.trace_id)
    assert (call.span_id, call.name) == (span.span_id.hex(), "chat")
    assert case.holds(call)


BAD_IDS: dict[str, dict[str, bytes]] = {
    "no trace id": {"trace_id": b""},
    "a short trace id": {"trace_id": b"x" * 15},
    "a long trace id": {"trace_id": b"x" * 17},
    "a trace id of zeros": {"trace_id": bytes(16)},
    "no span id": {"span_id": b""},
    "a span id as long as a trace id": {"span_id": b"x" * 16},
    "a span id of zeros": {"span_id": bytes(8)},
}


@pytest.mark.parametrize("name", BAD_IDS)
def test_o35_a_span_with_an_invalid_id_is_rejected_alone(
    name: str, transport: str, send: Send, stored: Stored
) -> None:
    good = a_span()
    bad = a_span(**{"trace_id": good.trace_id, **BAD_IDS[name]})
    answer = send(encoded(request_of([bad, good]), transport))
    assert (answer.ok, answer.rejected) == (True, 1)
    assert "1 span rejected" in answer.message
    assert [call.span_id for call in stored(good.trace_id)] == [good.span_id.hex()]


def test_o35_a_link_with_an_invalid_id_costs_nothing(
    transport: str, send: Send, stored: Stored
) -> None:
    span = a_span(links=[Span.Link(trace_id=b"short", span_id=b"")])
    assert send(encoded(request_of([span]), transport)).rejected == 0
    assert beside(stored(span.trace_id)[0], "links") == 1


def test_o43_schema_urls_and_entities_are_accepted(
    transport: str, send: Send, stored: Stored
) -> None:
    span = a_span()
    request = request_of([span])
    group = request.resource_spans[0]
    group.schema_url = group.scope_spans[0].schema_url = "https://example.com/1.40.0"
    group.resource.entity_refs.add(type="service", id_keys=["service.name"])
    answer = send(encoded(request, transport))
    assert (answer.ok, answer.message) == (True, "")
    assert len(stored(span.trace_id)) == 1


@pytest.mark.parametrize("transport", ["protobuf", "grpc"])
@pytest.mark.parametrize("where", ["name", "attribute", "resource", "event", "status"])
def test_o44_text_that_is_not_utf8_fails_the_whole_request(
    where: str, transport: str, collector: Collector, stored: Stored
) -> None:
    good, mark = a_span(), "MARKMARK"
    bad = a_span(trace_id=good.trace_id)
    request = request_of([good, bad])
    if where == "name":
        bad.name = mark
    elif where == "attribute":
        bad.attributes.add(key="k").value.string_value = mark
    elif where == "event":
        bad.events.add(name=mark)
    elif where == "status":
        bad.status.message = mark
    else:
        request.resource_spans[0].resource.attributes[0].value.string_value = mark
    request.resource_spans[0].scope_spans[0].spans[1].CopyFrom(bad)
    body = request.SerializeToString().replace(mark.encode(), b"\xff" * len(mark))
    answer = over(transport, collector)(body)
    assert answer.code in (400, "INVALID_ARGUMENT")
    assert "UTF-8" in answer.message
    assert stored(good.trace_id) == []


def nested(levels: int, kind: str) -> Span:
    inner = AnyValue(string_value="leaf")
    for _ in range(levels - 1):
        outer = AnyValue()
        if kind == "list":
            outer.array_value.values.append(inner)
        else:
            outer.kvlist_value.values.add(key="k", value=inner)
        inner = outer
    return a_span(attributes=[KeyValue(key="k", value=inner)])


@pytest.mark.parametrize("kind", ["list", "map"])
def test_o44_values_of_32_levels_are_stored_and_deeper_ones_refused(
    kind: str, transport: str, send: Send, stored: Stored
) -> None:
    fits, too_deep = nested(32, kind), nested(33, kind)
    assert send(encoded(request_of([fits]), transport)).ok
    found = value(stored(fits.trace_id)[0])
    for _ in range(31):
        (found,) = found if kind == "list" else found.values()
    assert found == "leaf"

    answer = send(encoded(request_of([too_deep]), transport))
    assert answer.code in (400, "INVALID_ARGUMENT")
    assert "32 levels" in answer.message
    assert stored(too_deep.trace_id) == []


@pytest.mark.parametrize("transport", ["protobuf", "grpc"])
def test_o45_fields_of_the_future_are_ignored_at_every_level(
    transport: str, collector: Collector, stored: Stored
) -> None:
    span = mapped("a")
    span.attributes.add(key="list").value.array_value.values.add().int_value = 1
    span.events.add(name="happened", time_unix_nano=NANO).attributes.add(key="e")
    span.links.add(trace_id=b"x" * 16, span_id=b"y" * 8).attributes.add(key="l")
    span.status.code = Status.STATUS_CODE_OK
    answer = over(transport, collector)(with_future_fields(request_of([span])))
    assert (answer.ok, answer.rejected, answer.message) == (True, 0, "")
    (call,) = stored(span.trace_id)
    assert (value(call), call.attributes["list"]) == ({"a": 0}, [1])
    assert beside(call, "events")[0]["name"] == "happened"
    assert (call.service, beside(call, "links")) == ("bot", 1)
