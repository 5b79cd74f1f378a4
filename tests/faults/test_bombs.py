"""Small bodies that would become gigabytes, and large ones: refused soon, with flat memory."""

from __future__ import annotations

import functools
import gzip
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from bench.bodies import build
from bench.insist import Answer, post
from bench.servers import Collector

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MIB = 2**20
WITHIN_S = 2.0
GROWTH = 200 * MIB


def field(number: int, content: bytes) -> bytes:
    size, out = len(content), bytearray([number << 3 | 2])
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(out + bytes([size])) + content


@functools.cache
def zeros(size: int) -> bytes:
    """Return ``size`` zeros after gzip, without ever holding them."""
    packer = zlib.compressobj(1, wbits=31)
    piece = bytes(MIB)
    return b"".join(packer.compress(piece) for _ in range(size // MIB)) + packer.flush()


IDS = field(1, b"1" * 16) + field(2, b"2" * 8)


def spans(content: bytes) -> bytes:
    return field(1, field(2, content))


def in_json(inner: str) -> bytes:
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[' + inner + "]}]}]}").encode()


def json_value(value: str) -> bytes:
    ids = f'"traceId":"{"1" * 32}","spanId":"{"2" * 16}"'
    return in_json("{" + ids + ',"attributes":[{"key":"k","value":' + value + "}]}")


# Each: the body, its Content-Type, its Content-Encoding.
Bomb = Callable[[], tuple[bytes, str, str]]
BOMBS: dict[str, Bomb] = {
    "65 MB raw": lambda: (bytes(65 * 10**6), PROTOBUF, "identity"),
    "65 MB of JSON raw": lambda: (b" " * 65 * 10**6, JSON, "identity"),
    "1 GiB of zeros": lambda: (zeros(1024 * MIB), PROTOBUF, "gzip"),
    "1 GiB of zeros as JSON": lambda: (zeros(1024 * MIB), JSON, "gzip"),
    "a gzip of many members": lambda: (gzip.compress(b"") * 50_000, PROTOBUF, "gzip"),
    "64 MiB in 64 members": lambda: (zeros(MIB) * 64, PROTOBUF, "gzip"),
    "empty spans": lambda: (spans(field(2, b"") * (7 * MIB)), PROTOBUF, "identity"),
    "empty attributes": lambda: (
        spans(field(2, IDS + field(9, b"") * (7 * MIB))),
        PROTOBUF,
        "identity",
    ),
    "empty resources": lambda: (field(1, b"") * (7 * MIB), PROTOBUF, "identity"),
    "empty values": lambda: (
        spans(field(2, IDS + field(9, field(2, field(5, field(1, b"") * (7 * MIB)))))),
        PROTOBUF,
        "identity",
    ),
    "64 MiB of empty spans": lambda: (
        gzip.compress(spans(field(2, b"") * (32 * MIB)), 1),
        PROTOBUF,
        "gzip",
    ),
    "empty JSON spans": lambda: (in_json("{}," * (5 * MIB) + "{}"), JSON, "identity"),
    "JSON lists": lambda: (
        json_value('{"arrayValue":{"values":[' + "{}," * (5 * MIB) + "{}]}}"),
        JSON,
        "identity",
    ),
    "JSON resources": lambda: (
        ('{"resourceSpans":[' + "{}," * (5 * MIB) + "{}]}").encode(),
        JSON,
        "identity",
    ),
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Return one collector for all bombs: it must outlive them."""
    folder: Path = tmp_path_factory.mktemp("bombs")
    with Collector(f"sqlite:///{folder / 't.db'}") as running:
        assert post(running.http, build(20, 1).raw).status == 200
        yield running
        assert running.process.poll() is None
        assert post(running.http, build(20, 2).raw).status == 200


class Memory:
    """The most memory a process had while this was open."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._most = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def growth(self) -> int:
        """Stop watching and return how much it grew, bytes."""
        self._done.set()
        self._thread.join()
        return self._most - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._most = max(self._most, self._process.memory_info().rss)


def throw(collector: Collector, bomb: tuple[bytes, str, str]) -> Answer:
    body, kind, encoding = bomb
    return post(collector.http, body, kind, Content_Encoding=encoding)


@pytest.mark.parametrize("name", BOMBS)
def test_r13_a_bomb_is_refused_soon_and_memory_stays(collector: Collector, name: str) -> None:
    bomb = BOMBS[name]()
    memory = Memory(collector.process.pid)
    answer = throw(collector, bomb)
    grown = memory.growth()
    # A body that is too large may be cut off while it is still sent: then there is no answer.
    assert answer.status in {400, 413} or (answer.status == 0 and len(bomb[0]) > 16 * MIB)
    assert answer.waited_s <= WITHIN_S
    assert grown <= GROWTH


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1 GiB of zeros", "64 MiB of empty spans", "JSON lists"])
def test_r13_twenty_at_once_leave_it_alive_and_small(collector: Collector, name: str) -> None:
    bomb = BOMBS[name]()
    memory = Memory(collector.process.pid)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: throw(collector, bomb), range(20)))
    grown = memory.growth()
    assert {one.status for one in answers} <= {400, 413, 503}
    assert grown <= 2 * GROWTH
    began = time.monotonic()
    assert post(collector.http, build(5, 99).raw).status == 200
    assert time.monotonic() - began < 5
