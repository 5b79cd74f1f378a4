"""Both edges in a thread of the test, so that deadlines, room and the writer are the test's own."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import uvloop

from collector import edges
from collector.auth import Gate, Rule
from collector.capture import Plans
from collector.desk import Desk
from collector.edges import Timing
from collector.health import Doctor
from collector.inflight import InFlight
from collector.limits import Limits
from collector.metrics import Metrics
from collector.ports import listen
from collector.readers import Readers, Rulebook
from collector.signals import Signals
from collector.tls import Tls
from collector.writer import Writer
from tests.ports import free_ports
from tidegauge.policy import Policy
from tidegauge.settings import Settings
from tidegauge.store.engine import Engine

WITHIN_S = 20


class Edge:
    """A collector on free ports of the loopback address, without a process of its own."""

    def __init__(
        self,
        engine: Engine,
        now: datetime,
        *,
        timing: Timing | None = None,
        tls: Tls | None = None,
        in_flight: InFlight | None = None,
        answer_within_s: float = 5.0,
        **settings: Any,
    ) -> None:
        (grpc_port,) = free_ports(1)
        self.settings = Settings(
            otlp_grpc_port=grpc_port, answer_within_s=answer_within_s, **settings
        )
        self.metrics = Metrics()
        self.in_flight = in_flight or InFlight(self.settings.queue_bytes)
        self.writer = Writer(engine, "default", clock=lambda: now, metrics=self.metrics)
        self.desk = Desk(
            self.writer,
            self.in_flight,
            self.metrics,
            project="default",
            gate=Gate(engine, Rule.OPEN, clock=lambda: now, metrics=self.metrics),
            signals=Signals(
                engine,
                plan_of=Plans(Policy()).of,
                bounds=Limits(body_bytes=self.settings.max_body_bytes),
                clock=lambda: now,
                note=self.writer.note,
                metrics=self.metrics,
            ),
            readers=Readers(
                0, Rulebook(Policy(), "", Limits(body_bytes=self.settings.max_body_bytes))
            ),
            max_bytes=Limits(body_bytes=self.settings.max_body_bytes).body_bytes,
            answer_within_s=answer_within_s,
            clock=lambda: now,
        )
        self.doctor = Doctor(engine, self.writer, self.in_flight, self.metrics)
        self._timing = timing
        self._tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        with listen("127.0.0.1", 0) as listener:
            self.port = listener.getsockname()[1]
            self.http = f"127.0.0.1:{self.port}"
            self.grpc = f"127.0.0.1:{self.settings.otlp_grpc_port}"
            await edges.run(
                self.settings,
                self.desk,
                self.doctor,
                listener,
                self._stop,
                self._tls,
                timing=self._timing,
                ready=self._ready.set,
            )

    def connect(self) -> socket.socket:
        """Return a connection to the HTTP port, with a timeout."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN_S)

    def ended(self, why: str) -> float:
        """Return how many connections were ended for a reason."""
        return self.metrics.value("tidegauge_connections_ended_total", why=why)

    def refusals(self, reason: str) -> float:
        """Return how many requests were refused for a reason."""
        return self.metrics.value("tidegauge_refusals_total", reason=reason)

    def stop(self) -> None:
        """Begin to stop; a second time does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        """Wait until everything is answered and closed."""
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WITHIN_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()
        self.writer.close(WITHIN_S)
        self.doctor.close()


def read_all(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes, or resets what it did not read all of."""
    parts: list[bytes] = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_answer(connection: socket.socket) -> bytes:
    """Return one answer with a Content-Length; empty if the server closed instead."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = connection.recv(65536)
        if not part:
            return seen
        seen += part
    head, _, body = seen.partition(b"\r\n\r\n")
    size = next(
        int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
