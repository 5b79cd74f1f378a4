"""Senders that keep a collector busy and remember exactly what was acknowledged."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field

import grpc

from bench.bodies import Body, Key

Send = Callable[[Body], bool]  # True: acknowledged, False: answered with something else
Connect = Callable[[], AbstractContextManager[Send]]

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}


@dataclass(slots=True)
class Sent:
    """What became of the bodies."""

    acknowledged: list[Body] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)  # for each acknowledgement
    refused: list[Body] = field(default_factory=list)  # answered with something else than 2xx
    unanswered: list[Body] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def keys(self) -> set[Key]:
        """Return the spans that were acknowledged."""
        return {key for body in self.acknowledged for key in body.keys}


class Senders:
    """Threads that send bodies until those run out, the collector dies, or stop() is called."""

    def __init__(self, bodies: Iterable[Body], connect: Connect, threads: int) -> None:
        self.sent = Sent()
        self._bodies: queue.SimpleQueue[Body] = queue.SimpleQueue()
        for body in bodies:
            self._bodies.put(body)
        self._connect = connect
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing new."""
        self._stopped.set()

    def join(self) -> Sent:
        """Wait for the last answers; what was never sent counts as unanswered."""
        for thread in self._threads:
            thread.join()
        while not self._bodies.empty():
            self.sent.unanswered.append(self._bodies.get())
        return self.sent

    def join_within(self, most_s: float) -> Sent:
        """Wait for the last answers, but send nothing new after ``most_s`` seconds."""
        timer = threading.Timer(most_s, self.stop)
        timer.start()
        sent = self.join()
        timer.cancel()
        return sent

    def _run(self) -> None:
        with self._connect() as send:
            self._send_all(send)

    def _send_all(self, send: Send) -> None:
        while not self._stopped.is_set():
            try:
                body = self._bodies.get_nowait()
            except queue.Empty:
                return
            began = time.perf_counter()
            try:
                acknowledged = send(body)
            except (OSError, http.client.HTTPException) as error:
                self.sent.unanswered.append(body)  # the collector has gone
                self.sent.errors.append(f"{type(error).__name__}: {error}")
                return
            if acknowledged:
                self.sent.acknowledged.append(body)
                self.sent.waits_s.append(time.perf_counter() - began)
            else:
                self.sent.refused.append(body)


def over_http(address: str) -> Connect:
    """Return what connects to ``host:port`` and sends gzip protobuf."""

    @contextmanager
    def connect() -> Iterator[Send]:
        with closing(http.client.HTTPConnection(address, timeout=30)) as connection:

            def send(body: Body) -> bool:
                connection.request("POST", "/v1/traces", body.packed, _HEADERS)
                response = connection.getresponse()
                response.read()
                return response.status == 200

            yield send

    return connect


def over_grpc(address: str) -> Connect:
    """Return what connects to ``host:port`` and sends gzip gRPC."""

    @contextmanager
    def connect() -> Iterator[Send]:
        with grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
            export = channel.unary_unary(_EXPORT)

            def send(body: Body) -> bool:
                try:
                    export(body.raw, timeout=30)
                except grpc.RpcError:
                    return False
                return True

            yield send

    return connect
