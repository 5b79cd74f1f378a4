"""What is said of OTLP/JSON alone (O-30 to O-34), and what we forgive."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from bench.servers import Collector
from collector.otlp_json import ADVICE, BASE64_IDS, ENUM_NAMES, SNAKE_CASE, UNREADABLE
from tests.conformance.conftest import Stored
from tests.conformance.wire import NO_TLS, Answer, Send, a_span, as_json, request_of, spans_of
from tidegauge.call import Call

NEW = {"newField": {"deep": [{"traceId": 1}]}, "another": None}


def a_body(**fields: Any) -> tuple[dict[str, Any], bytes]:
    """Return a request of one span that ``fields`` change, and the id of its trace."""
    made = a_span()
    whole = as_json(request_of([made]))
    spans_of(whole)[0].update(fields)
    return whole, made.trace_id


def valued(value: Any) -> dict[str, Any]:
    return {"attributes": [{"key": "k", "value": value}]}


def beside(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = call.attributes["tidegauge.span"]
    return found


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_o30_ids_are_hex_in_either_case(
    change: Callable[[str], str], send_json: Send, stored: Stored
) -> None:
    trace_id, span_id, parent = b"\xab" * 15 + bytes([len(change("aB"))]), b"\xcd" * 8, b"\xef" * 8
    made = a_span(trace_id=trace_id, span_id=span_id, parent_span_id=parent)
    made.links.add(trace_id=trace_id, span_id=parent)
    whole = as_json(request_of([made]))
    for name in ("traceId", "spanId", "parentSpanId"):
        spans_of(whole)[0][name] = change(spans_of(whole)[0][name])
    assert send_json(orjson.dumps(whole)) == Answer(200)
    # The same span three times is one row: the case of its ids makes no difference.
    (call,) = stored(trace_id)
    assert (call.span_id, call.parent_span_id) == (span_id.hex(), parent.hex())


def test_o31_unknown_fields_are_ignored_at_every_level(send_json: Send, stored: Stored) -> None:
    pair = {"key": "k", "value": {**NEW, "intValue": "1", **NEW}, **NEW}
    event = {"name": "e", "timeUnixNano": "1", "attributes": [pair], **NEW}
    status = {"code": 1, **NEW}
    link = {"traceId": "ab" * 16, "spanId": "cd" * 8, **NEW}
    fields = {"attributes": [pair], "events": [event], "links": [link], "status": status}
    whole, trace_id = a_body(**fields, **NEW)
    group = whole["resourceSpans"][0]
    for item in (whole, group, group["resource"], group["scopeSpans"][0]):
        item.update(NEW)
    group["scopeSpans"][0]["scope"].update(NEW)
    assert send_json(orjson.dumps(whole)) == Answer(200)
    (call,) = stored(trace_id)
    assert (call.attributes["k"], call.service) == (1, "bot")
    assert beside(call)["events"][0]["attributes"] == {"k": 1}


INTS: dict[str, tuple[Any, Any]] = {
    "text": ("1544712660000000000", 1_544_712_660_000_000_000),
    "a number": (1_544_712_660_000_000_000, 1_544_712_660_000_000_000),
    "a number with an exponent": (1.54471266e18, 1_544_712_660_000_000_000),
    "negative text": ("-7", -7),
    "more than a double holds": ("9007199254740993", 2**53 + 1),
    "more than 64 bits, as text": (str(2**64), 2**63 - 1),
    "more than 64 bits, as a number": (1e300, 1e300),  # so JavaScript sends a whole double
}
NO_INTS: dict[str, Any] = {"hex": "0x10", "nothing": "", "a bool": True, "a date": "2026-01-01"}


@pytest.mark.parametrize("name", INTS)
def test_o33_whole_numbers_may_be_text_or_numbers(
    name: str, send_json: Send, stored: Stored
) -> None:
    sent, kept = INTS[name]
    whole, trace_id = a_body(**valued({"intValue": sent}))
    assert send_json(orjson.dumps(whole)) == Answer(200)
    assert stored(trace_id)[0].attributes["k"] == kept


@pytest.mark.parametrize("name", NO_INTS)
def test_o33_a_time_that_is_no_whole_number_rejects_its_span(
    name: str, send_json: Send, stored: Stored
) -> None:
    whole, trace_id = a_body(startTimeUnixNano=NO_INTS[name])
    answer = send_json(orjson.dumps(whole))
    assert (answer.code, answer.rejected) == (200, 1)
    assert "startTimeUnixNano must be nanoseconds" in answer.message
    assert stored(trace_id) == []


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"bytesValue": base64.b64encode(bytes(range(256))).decode()}, None),
        ({"doubleValue": 0.1}, 0.1),
        ({"doubleValue": "0.1"}, 0.1),
        ({"doubleValue": 3}, 3.0),
    ],
)
def test_o34_bytes_stay_base64_and_doubles_may_be_text(
    value: dict[str, Any], kept: Any, send_json: Send, stored: Stored
) -> None:
    whole, trace_id = a_body(**valued(value))
    assert send_json(orjson.dumps(whole)) == Answer(200)
    assert stored(trace_id)[0].attributes["k"] == (kept or value["bytesValue"])


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("quote", ['"', ""], ids=["text", "bare"])
def test_o34_doubles_that_are_no_numbers_are_accepted_as_unknown(
    text: str, quote: str, send_json: Send, stored: Stored
) -> None:
    whole, trace_id = a_body(**valued({"doubleValue": "HERE"}))
    body = orjson.dumps(whole).replace(b'"HERE"', f"{quote}{text}{quote}".encode())
    assert send_json(body) == Answer(200)
    assert stored(trace_id)[0].attributes["k"] is None


def in_snake_case(item: Any) -> Any:
    if isinstance(item, dict):
        return {
            re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name): in_snake_case(value)
            for name, value in item.items()
        }
    return [in_snake_case(one) for one in item] if isinstance(item, list) else item


def with_base64_ids(whole: dict[str, Any]) -> dict[str, Any]:
    for name in ("traceId", "spanId", "parentSpanId"):
        span = spans_of(whole)[0]
        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return whole


def with_names_of_enums(whole: dict[str, Any]) -> dict[str, Any]:
    spans_of(whole)[0].update(kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"})
    return whole


def with_a_wrong_value(whole: dict[str, Any]) -> dict[str, Any]:
    wrong = {"key": "wrong", "value": {"intValue": "many"}}
    spans_of(whole)[0]["attributes"].append(wrong)
    return whole


FORGIVEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    SNAKE_CASE: in_snake_case,
    BASE64_IDS: with_base64_ids,
    ENUM_NAMES: with_names_of_enums,
    UNREADABLE: with_a_wrong_value,
}


def post(collector: Collector, whole: dict[str, Any], user_agent: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "User-Agent": user_agent}
    url = f"http://{collector.http}/v1/traces"
    answer = httpx.post(url, content=orjson.dumps(whole), headers=headers, verify=NO_TLS)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def noted(collector: Collector, kind: str) -> float:
    text = httpx.get(f"http://{collector.http}/metrics", verify=NO_TLS).text
    name = re.escape(f'tidegauge_noted_total{{kind="json_lenient:{kind}"}}')
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("kind", FORGIVEN)
def test_o32_what_some_senders_get_wrong_is_stored_counted_and_told_once_an_hour(
    kind: str, collector: Collector, stored: Stored
) -> None:
    assert set(FORGIVEN) == set(ADVICE)
    before = noted(collector, kind)
    told = []
    for _ in range(3):
        made = a_span(parent_span_id=b"\xef" * 8, kind=3, status={"code": 2})
        made.events.add(name="e", time_unix_nano=7).attributes.add(key="k").value.int_value = 1
        made.attributes.add(key="k").value.array_value.values.add().int_value = 5
        whole = FORGIVEN[kind](as_json(request_of([made])))
        told.append(post(collector, whole, f"sender of {kind}"))
        (call,) = stored(made.trace_id)
        assert (call.span_id, call.parent_span_id) == (made.span_id.hex(), "ef" * 8)
        assert (call.duration_s, call.failed, beside(call)["kind"]) == (1.0, True, 3)
        assert (call.attributes["k"], call.service) == ([5], "bot")
        assert beside(call)["events"] == [{"name": "e", "time_ns": 7, "attributes": {"k": 1}}]
    # A warning is no rejection: the count is not there, which is the same as 0.
    assert told[0] == {"partialSuccess": {"errorMessage": f"1 spans: {ADVICE[kind]}"}}
    assert told[1:] == [{}, {}]
    assert noted(collector, kind) == before + 3


def test_o32_another_sender_is_told_too(collector: Collector) -> None:
    said = [
        post(collector, with_names_of_enums(a_body()[0]), user_agent)
        for user_agent in ("one sender", "another sender")
    ]
    assert all("partialSuccess" in answer for answer in said)


@pytest.mark.parametrize(
    "trace_id",
    [
        base64.b64encode(bytes(16)).decode(),
        base64.b64encode(b"x" * 17).decode(),
        "!" * 24,
        [171] * 16,
        None,
    ],
)
def test_o30_what_is_neither_hex_nor_the_bytes_of_an_id_is_rejected(
    trace_id: Any, send_json: Send
) -> None:
    answer = send_json(orjson.dumps(a_body(traceId=trace_id)[0]))
    assert (answer.code, answer.rejected) == (200, 1)
    assert "traceId must be 32 hex digits" in answer.message


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "cut off": b'{"resourceSpans": [',
    "not UTF-8": b'{"resourceSpans": "\xff"}',
    "another type": b'{"resourceSpans": 7}',
    "a list of numbers": b'{"resourceSpans": [7]}',
    "scopes of another type": b'{"resourceSpans": [{"scopeSpans": {}}]}',
    "a resource of another type": b'{"resourceSpans": [{"resource": 5}]}',
    "nested 100,000 deep": b"[" * 100_000,
    "nested 100,000 deep in an unknown field": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5,000 digits": b'{"x": ' + b"1" * 5_000 + b"}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_o17_json_that_cannot_be_read_is_refused_for_good(name: str, send_json: Send) -> None:
    answer = send_json(BROKEN[name])
    assert answer.is_permanent
    assert answer.message


def test_o44_the_reason_of_a_refusal_holds_no_piece_of_the_body(send_json: Send) -> None:
    answer = send_json(b'{"resourceSpans": [{"key": "SECRET-VALUE" x]}')
    assert answer.code == 400
    assert "SECRET" not in answer.message
