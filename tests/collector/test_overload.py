"""The edges under a lack of room, of time and of luck; each request is still answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

import httpx
import pytest

from bench.bodies import build
from collector.app import create_app
from collector.auth import Gate, Rule
from collector.capture import Plans
from collector.desk import Desk
from collector.health import Doctor
from collector.inflight import InFlight
from collector.limits import DEFAULT as BOUNDS
from collector.metrics import Metrics
from collector.readers import Readers, Rulebook
from collector.reading import Pace, Reading
from collector.signals import Signals
from collector.writer import Writer
from tidegauge.policy import Policy
from tidegauge.store.engine import Engine, open_engine, write

PROTOBUF = {"Content-Type": "application/x-protobuf"}
ROOM = 100_000
WITHIN_S = 20


class Parts:
    """A collector without its ports; ``clock`` is what the writer asks for the time."""

    def __init__(self, engine: Engine, now: datetime) -> None:
        self.clock: Callable[[], datetime] = lambda: now
        self.metrics = Metrics()
        self.in_flight = InFlight(ROOM)
        self.writer = Writer(engine, "p", clock=lambda: self.clock(), metrics=self.metrics)
        self.desk = Desk(
            self.writer,
            self.in_flight,
            self.metrics,
            project="p",
            gate=Gate(engine, Rule.OPEN, clock=lambda: now, metrics=self.metrics),
            signals=Signals(
                engine,
                plan_of=Plans(Policy()).of,
                bounds=BOUNDS,
                clock=lambda: now,
                note=self.writer.note,
                metrics=self.metrics,
            ),
            readers=Readers(0, Rulebook(Policy(), "", BOUNDS)),
            max_bytes=BOUNDS.body_bytes,
            answer_within_s=5,
            clock=lambda: now,
        )
        self.doctor = Doctor(engine, self.writer, self.in_flight, self.metrics)

    def post(self, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
        async def send() -> httpx.Response:
            app = create_app(self.desk, self.doctor, reading=Reading(Pace(within_s=0.2)))
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.post("/v1/traces", content=content, headers=PROTOBUF)

        return asyncio.run(send())

    def refusals(self, reason: str) -> float:
        return self.metrics.value("tidegauge_refusals_total", reason=reason)


@pytest.fixture
def parts(sqlite_engine: Engine, now: datetime) -> Iterator[Parts]:
    parts = Parts(sqlite_engine, now)
    yield parts
    parts.writer.close(WITHIN_S)
    parts.doctor.close()


def test_a_request_over_the_bytes_in_flight_is_put_off(parts: Parts) -> None:
    other = parts.in_flight.open()
    other.add(ROOM - 100)
    answer = parts.post(build(4, 1).raw)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert parts.refusals("overloaded") == 1
    other.release()
    assert parts.post(build(4, 1).raw).status_code == 200
    assert parts.in_flight.bytes == 0


def test_a_body_that_does_not_arrive_is_cut_off(parts: Parts) -> None:
    async def never_ends() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = parts.post(never_ends())
    assert answer.status_code == 503
    assert answer.headers["connection"] == "close"
    assert parts.refusals("slow_body") == 1
    assert parts.in_flight.bytes == 0


def test_an_unexpected_error_is_temporary_and_logged_without_its_message(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> datetime:
        raise KeyError("a prompt")

    whole, parts.clock = parts.clock, broken
    answer = parts.post(build(4, 1).raw)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert parts.refusals("unexpected") == 1
    captured = capsys.readouterr()
    assert "KeyError" in captured.out + captured.err
    assert "prompt" not in captured.out + captured.err
    parts.clock = whole
    assert parts.post(build(4, 1).raw).status_code == 200


def test_a_collector_is_not_ready_without_its_schema(sqlite_url: str, now: datetime) -> None:
    engine = open_engine(sqlite_url)
    parts = Parts(engine, now)
    assert [r.split(";")[0] for r in asyncio.run(parts.doctor.examine()).reasons] == [
        "schema: empty"
    ]
    parts.writer.close(WITHIN_S)
    assert any("writer" in reason for reason in asyncio.run(parts.doctor.examine()).reasons)
    parts.doctor.close()
    engine.dispose()


def test_a_table_that_is_gone_is_temporary(parts: Parts, sqlite_engine: Engine) -> None:
    with write(sqlite_engine) as db:
        db.exec_driver_sql("ALTER TABLE span RENAME TO gone")
    assert parts.post(build(4, 1).raw).status_code == 503
    assert parts.refusals("store_busy") == 1
    with write(sqlite_engine) as db:
        db.exec_driver_sql("ALTER TABLE gone RENAME TO span")
    assert parts.post(build(4, 1).raw).status_code == 200
