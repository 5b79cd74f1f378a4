"""Senders that keep a collector busy and remember exactly what was acknowledged."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import grpc

from bench.bodies import Body, Key

Send = Callable[[Body], str]  # "": acknowledged, else what it was answered with
Connect = Callable[[], AbstractContextManager[Send]]

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_ANSWER_S = 30.0


@dataclass(slots=True)
class Sent:
    """What became of the bodies."""

    acknowledged: list[Body] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)  # for each acknowledgement
    refused: list[Body] = field(default_factory=list)  # answered with something else than 2xx
    refusals: Counter[str] = field(default_factory=Counter)  # with what
    unanswered: list[Body] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def keys(self) -> set[Key]:
        """Return the spans that were acknowledged."""
        return {key for body in self.acknowledged for key in body.keys}


class Senders:
    """Threads that send bodies until those run out, the collector dies, or stop() is called.

    With ``again_s`` a body that is refused is sent again after that time, as exporters do.
    """

    def __init__(
        self,
        bodies: Iterable[Body],
        connect: Connect,
        threads: int,
        *,
        again_s: float | None = None,
    ) -> None:
        self.sent = Sent()
        self._again_s = again_s
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

    def _next(self) -> tuple[Body, float] | None:
        """Return a body, and the moment from which its wait counts; None where none is left."""
        try:
            return self._bodies.get_nowait(), time.perf_counter()
        except queue.Empty:
            return None

    def _send_all(self, send: Send) -> None:
        while not self._stopped.is_set() and (taken := self._next()) is not None:
            body, began = taken
            try:
                refusal = self._last_answer(send, body)
            except (OSError, http.client.HTTPException) as error:
                self.sent.unanswered.append(body)  # the collector has gone
                self.sent.errors.append(f"{type(error).__name__}: {error}")
                return
            if refusal:
                self.sent.refused.append(body)
            else:
                self.sent.acknowledged.append(body)
                self.sent.waits_s.append(time.perf_counter() - began)

    def _last_answer(self, send: Send, body: Body) -> str:
        while refusal := send(body):
            self.sent.refusals[refusal] += 1
            if self._again_s is None or self._stopped.wait(self._again_s):
                return refusal
        return ""


class Paced(Senders):
    """Senders at a fixed rate, whatever the answers take: an open loop.

    A wait is counted from the moment at which the request was due. Counted from when it was sent, a
    collector that stands still would also hold back those that should find it so.
    """

    def __init__(
        self,
        bodies: Iterable[Body],
        connect: Connect,
        threads: int,
        every_s: float,
        *,
        again_s: float | None = None,
    ) -> None:
        self._every_s = every_s
        self._number = 0
        self._turn = threading.Lock()
        self._began = time.perf_counter()
        super().__init__(bodies, connect, threads, again_s=again_s)

    def _next(self) -> tuple[Body, float] | None:
        with self._turn:
            due = self._began + self._number * self._every_s
            self._number += 1
            taken = super()._next()
        if taken and self._stopped.wait(max(due - time.perf_counter(), 0)):
            self._bodies.put(taken[0])  # for join() to find: it was never sent
            return None
        return taken and (taken[0], due)


def over_http(
    address: str,
    *,
    json: bool = False,
    packed: bool = True,
    headers: Mapping[str, str] = MappingProxyType({}),
    answer_s: float = _ANSWER_S,
) -> Connect:
    """Return what connects to ``host:port`` and posts bodies, packed with gzip or plain."""
    sent = {"Content-Type": "application/json" if json else "application/x-protobuf", **headers}
    if packed:
        sent["Content-Encoding"] = "gzip"

    @contextmanager
    def connect() -> Iterator[Send]:
        with closing(http.client.HTTPConnection(address, timeout=answer_s)) as connection:

            def send(body: Body) -> str:
                connection.request("POST", "/v1/traces", body.packed if packed else body.raw, sent)
                response = connection.getresponse()
                response.read()
                return "" if response.status == 200 else f"{response.status} {response.reason}"

            yield send

    return connect


def over_grpc(address: str, *, packed: bool = True) -> Connect:
    """Return what connects to ``host:port`` and exports over gRPC, packed with gzip or plain."""
    compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
    # Else all senders of this process share one connection.
    own = [("grpc.use_local_subchannel_pool", 1)]

    @contextmanager
    def connect() -> Iterator[Send]:
        with grpc.insecure_channel(address, own, compression=compression) as channel:
            export = channel.unary_unary(_EXPORT)

            def send(body: Body) -> str:
                try:
                    export(body.raw, timeout=_ANSWER_S)
                except grpc.RpcError as error:
                    return str(error.code())
                return ""

            yield send

    return connect
