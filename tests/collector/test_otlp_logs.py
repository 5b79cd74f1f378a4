from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.limits import BadOtlp, TooLarge
from collector.otlp_logs import CHOICE, DETAILS, read
from collector.wire import Group
from tests.collector import signals_corpus
from tidegauge.log_event import EVALUATION, LogEvent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def request(*records: LogRecord) -> bytes:
    made = ExportLogsServiceRequest()
    group = made.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    group.scope_logs.add().log_records.extend(records)
    return made.SerializeToString()


def record(name: str = CHOICE, **fields: Any) -> LogRecord:
    ids = {"trace_id": bytes.fromhex(TRACE), "span_id": bytes.fromhex(SPAN)}
    return LogRecord(**{"event_name": name, "time_unix_nano": 5, **ids, **fields})


def json_request(*records: Any) -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return json.dumps(
        {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    ).encode()


def json_record(**fields: Any) -> dict[str, Any]:
    ids = {"traceId": TRACE, "spanId": SPAN}
    return {**ids, "eventName": CHOICE, "timeUnixNano": "5", **fields}


def only(body: bytes, *, json: bool = False) -> Group[LogEvent]:
    (group,) = read(body, "p", json=json)
    return group


def test_a_record_becomes_an_event_of_its_span() -> None:
    sent = record()
    sent.body.kvlist_value.values.add(key="index").value.int_value = 1
    sent.attributes.add(key="gen_ai.system").value.string_value = "openai"
    group = only(request(sent))
    assert group.resource == {"service.name": "shop"}
    assert group.kept == [
        LogEvent(
            project="p",
            trace_id=TRACE,
            span_id=SPAN,
            name=CHOICE,
            time_ns=5,
            attributes={"gen_ai.system": "openai"},
            body={"index": 1},
        )
    ]
    assert (group.not_kept, group.rejected) == (0, [])


def test_o39_without_a_time_an_event_has_that_of_its_observation() -> None:
    found = only(
        request(
            record(time_unix_nano=0, observed_time_unix_nano=9),
            record(time_unix_nano=0),
            record(time_unix_nano=2**64 - 1),
        )
    )
    assert [event.time_ns for event in found.kept] == [9, 0, 2**63 - 1]


@pytest.mark.parametrize("key", ["event.name", "event_name"])
def test_older_senders_name_the_event_in_an_attribute(key: str) -> None:
    sent = record("")
    sent.attributes.add(key=key).value.string_value = DETAILS
    assert only(request(sent)).kept[0].name == DETAILS


def test_o35_a_record_with_ids_that_are_none_is_counted_and_not_rejected() -> None:
    found = only(
        request(
            record(trace_id=b""),
            record(trace_id=bytes(16)),
            record(span_id=bytes(8)),
            record(span_id=b"\x01" * 4),
            record(),
        )
    )
    assert (len(found.kept), found.not_kept, found.rejected) == (1, 4, [])


def test_o35_an_evaluation_without_a_span_is_kept() -> None:
    found = only(request(record(EVALUATION, trace_id=b"", span_id=b"")))
    assert [(one.trace_id, one.span_id) for one in found.kept] == [("", "")]


@pytest.mark.parametrize("name", ["", "app.started", "gen_ai.something.new"])
def test_any_other_record_is_counted(name: str) -> None:
    found = only(request(record(name)))
    assert (found.kept, found.not_kept) == ([], 1)


@pytest.mark.parametrize(
    ("body", "json"),
    [
        (b"", False),
        (b"{}", True),
        (b'{"resourceLogs":[]}', True),
        (b'{"resourceLogs":null}', True),
        (b'{"resource_logs":[]}', True),
    ],
)
def test_o12_an_empty_request_holds_nothing(body: bytes, json: bool) -> None:
    assert read(body, "p", json=json) == []


@pytest.mark.parametrize(
    ("body", "json"),
    [
        (b"\x0a\x05ab", False),
        (request(record())[:-1], False),
        (b"\x0a\x08\x12\x06\x12\x04\x62\x02\xff\xfe", False),  # an event name that is not UTF-8
        (b"{", True),
        (b"[]", True),
        (b'{"resourceLogs":{}}', True),
        (b'{"resourceLogs":[{"scopeLogs":[3]}]}', True),
        (b'{"resourceLogs":[{"scopeLogs":[{"logRecords":3}]}]}', True),
        (b"[" * 100_000, True),
    ],
)
def test_o17_what_is_no_request_is_refused(body: bytes, json: bool) -> None:
    with pytest.raises(BadOtlp):
        read(body, "p", json=json)


def test_o13_o17_a_json_record_of_the_wrong_form_is_rejected_alone() -> None:
    wrong = [
        json_record(timeUnixNano=-1),
        json_record(timeUnixNano=True),
        json_record(body={"intValue": "0x10"}),
        json_record(attributes=3),
        "text",
    ]
    found = only(json_request(json_record(), *wrong, json_record(timeUnixNano=6)), json=True)
    assert [event.time_ns for event in found.kept] == [5, 6]
    assert len(found.rejected) == len(wrong)
    assert not any("0x10" in why for why in found.rejected)  # nothing of what was sent


def test_o30_ids_in_json_are_hex_of_either_case() -> None:
    lower, upper = (
        json_record(),
        json_record(traceId=TRACE.upper(), spanId=SPAN.upper()),
    )
    found = only(json_request(lower, upper), json=True)
    assert found.kept[0] == found.kept[1]
    assert found.kept[0].trace_id == TRACE


def test_o31_o32_unknown_fields_snake_case_and_lone_surrogates_do_no_harm() -> None:
    odd = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "event_name": CHOICE,
        "time_unix_nano": 5,
        "severityNumber": "SEVERITY_NUMBER_INFO",
        "newField": {"a": [1]},
        "body": {"stringValue": "a\ud83d \x00b", "newKind": 1},
    }
    found = only(json_request(odd), json=True)
    assert found.rejected == []
    assert found.kept[0].body == "a\ufffd b"


@pytest.mark.parametrize("case", [*signals_corpus.CASES, "litellm/anthropic_basic"])
def test_json_and_protobuf_say_the_same(case: str) -> None:
    body = signals_corpus.body(f"{case}.logs-1.bin")
    told = MessageToDict(ExportLogsServiceRequest.FromString(body))
    for resource in told["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for one in scope["logRecords"]:
                one["traceId"] = _hex(one["traceId"])
                one["spanId"] = _hex(one["spanId"])
    ours = read(body, "p", json=False)
    assert read(json.dumps(told).encode(), "p", json=True) == ours
    assert ours[0].kept


def _hex(encoded: str) -> str:
    return base64.b64decode(encoded).hex()


def test_json_may_hold_as_many_records_as_is_allowed_and_no_more() -> None:
    body = json_request(*(json_record() for _ in range(5)))
    assert len(read(body, "p", json=True, most=5)[0].kept) == 5
    with pytest.raises(TooLarge, match="more than 4 records"):
        read(body, "p", json=True, most=4)


def test_random_bytes_are_read_or_refused() -> None:
    for size in range(200):
        for as_json in (False, True):
            try:
                read(os.urandom(size), "p", json=as_json)
            except BadOtlp:
                continue
