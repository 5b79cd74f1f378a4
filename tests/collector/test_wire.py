from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector import wire
from collector.limits import BadOtlp, TooLarge
from collector.raw import DEPTH
from collector.wire import Room


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (AnyValue(), None),
        (AnyValue(string_value="a\x00b"), "ab"),
        (AnyValue(bool_value=False), False),
        (AnyValue(int_value=-(2**63)), -(2**63)),
        (AnyValue(double_value=0.5), 0.5),
        (AnyValue(double_value=float("nan")), None),
        (AnyValue(bytes_value=b"\x00\xff"), "AP8="),
        (AnyValue(array_value={"values": [{"int_value": 1}, {}]}), [1, None]),  # type: ignore[arg-type]
    ],
)
def test_o34_o41_every_kind_of_value_becomes_what_a_database_keeps(
    value: AnyValue, plain: Any
) -> None:
    assert wire.plain(value) == plain


def test_o41_of_equal_keys_the_last_stays() -> None:
    pairs = [KeyValue(key="a", value=AnyValue(int_value=number)) for number in (1, 2)]
    assert wire.attributes(pairs) == {"a": 2}


def test_a_value_is_read_as_deep_as_a_span_s() -> None:
    value = AnyValue(int_value=1)
    for _ in range(DEPTH + 5):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    found, levels = wire.plain(value), 0
    while isinstance(found, list):
        found, levels = found[0], levels + 1
    assert (found, levels) == (None, DEPTH - 1)


@pytest.mark.parametrize("body", [b"", b"3", b'"x"', b"null", b"\xff", b'{"a":}'])
def test_o17_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadOtlp):
        wire.json_root(body)


def test_the_message_of_a_refusal_holds_nothing_of_what_was_sent() -> None:
    with pytest.raises(BadOtlp) as caught:
        wire.json_root(b'{"a": "my prompt')
    assert "prompt" not in str(caught.value)
    with pytest.raises(BadOtlp) as caught:
        wire.message(LogRecord(), {"timeUnixNano": "my prompt"}, ["timeUnixNano"])
    assert "prompt" not in str(caught.value)


def test_o32_a_field_is_found_by_either_of_its_names() -> None:
    assert wire.get({"timeUnixNano": 1, "time_unix_nano": 2}, "timeUnixNano") == 1
    assert wire.get({"time_unix_nano": 2}, "timeUnixNano") == 2


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("0A" * 8, "0a" * 8),
        ("0" * 16, ""),
        ("0a", ""),
        ("0x" + "a" * 14, ""),
        (7, ""),
        (None, ""),
    ],
)
def test_o30_o35_an_id_is_hex_or_none(sent: Any, found: str) -> None:
    assert wire.hex_id({"spanId": sent}, "spanId", 16) == found


def test_room_is_taken_by_all_lists_together() -> None:
    room = Room(3)
    assert room.take([1, 2]) == [1, 2]
    with pytest.raises(TooLarge, match="more than 3 records"):
        room.take([1, 2])
