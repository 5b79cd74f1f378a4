"""Senders that send a body again until it is acknowledged, as an exporter does, and note each answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.bodies import Body, Key

PROTOBUF = "application/x-protobuf"
AGAIN_S = 0.2  # sooner than Retry-After says: a fault lasts seconds here


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the collector; status 0: there was none."""

    at: float  # when it came, time.monotonic()
    status: int
    waited_s: float
    retry_after: str | None = None


def post(address: str, body: bytes, kind: str = PROTOBUF, **headers: str) -> Answer:
    """Send one request on a connection of its own."""
    with Line(address) as line:
        return line.post(body, kind, **headers)


def get(address: str, path: str) -> tuple[int, str]:
    """Return the status and the text of a page of the collector."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Line:
    """One connection to a collector, opened anew when it is cut."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=30)

    def post(self, body: bytes, kind: str = PROTOBUF, **headers: str) -> Answer:
        """Send one request, and again on a new connection if this one had been closed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        began = time.monotonic()
        try:
            self._connection.request("POST", "/v1/traces", body, {"Content-Type": kind, **named})
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Answer(time.monotonic(), 0, time.monotonic() - began)
        now = time.monotonic()
        return Answer(now, response.status, now - began, response.getheader("Retry-After"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()


class Insisting:
    """Threads that send all bodies until each is acknowledged, or stop() is called."""

    def __init__(self, address: str, bodies: Iterable[Body], threads: int = 8) -> None:
        self.answers: list[Answer] = []
        self.acknowledged: set[Key] = set()
        self._address = address
        self._bodies = iter(bodies)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing new, and what was not acknowledged no more; wait for the last answers."""
        self._stopped.set()
        self.join()

    def join(self) -> None:
        """Wait until every body was acknowledged."""
        for thread in self._threads:
            thread.join()

    def refusals(self) -> list[Answer]:
        """Return every answer but the acknowledgements."""
        return [one for one in self.answers if one.status != 200]

    def _run(self) -> None:
        with Line(self._address) as line:
            while not self._stopped.is_set():
                with self._lock:
                    body = next(self._bodies, None)
                if body is None:
                    return
                while not self._try(line, body) and not self._stopped.wait(AGAIN_S):
                    pass

    def _try(self, line: Line, body: Body) -> bool:
        answer = line.post(body.packed, Content_Encoding="gzip")
        with self._lock:
            self.answers.append(answer)
            if answer.status == 200:
                self.acknowledged.update(body.keys)
        return answer.status == 200
