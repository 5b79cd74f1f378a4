"""How many bytes of requests are in memory, and how long a new one would wait to be stored."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

MOST_WAIT_S = 2.0  # beyond it a new request is put off at once: its sender gives up after 10 s
RECENT_S = 5.0  # the pace of the writer is that of about this time
FIRST_BYTES_PER_S, FIRST_S = 12e6, 0.5  # what is taken for its pace at the start, and how firmly

T = TypeVar("T")


class Overloaded(Exception):
    """There is no room for this request now; the same request may be taken a second later."""


class InFlight:
    """The bytes of all requests that were read and not yet disposed of; for any thread.

    ``clock`` returns seconds that never go back.
    """

    def __init__(
        self,
        most: int,
        *,
        most_wait_s: float = MOST_WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self.bytes = 0
        self._most_wait_s = most_wait_s
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: OrderedDict[Held, float] = OrderedDict()  # since when each waits
        self._queued = 0  # bytes of those
        self._pace = _Pace()

    def open(self) -> Held:
        """Return the share of a new request: nothing yet.

        Raises Overloaded where it would wait too long: before its body is read, and at once.
        """
        self._check()
        return Held(self)

    def queue(self, held: Held, put: Callable[[], Future[T]]) -> Future[T]:
        """Return what ``put`` returns, and count the request as one that waits until it is done.

        Raises Overloaded once more: many may have arrived while its body did. ``held`` is given
        back then.
        """
        try:
            self._check()
        except Overloaded:
            held.release()
            raise
        self._enqueue(held, size := held.size)
        try:
            receipt = put()
        except BaseException:
            self._dequeue(held, size, served=False)
            raise
        receipt.add_done_callback(
            lambda done: self._dequeue(held, size, served=not done.cancelled())
        )
        return receipt

    def _check(self) -> None:
        wait_s = self.wait_s()
        if wait_s > self._most_wait_s:
            raise Overloaded(f"a request would wait {wait_s:.1f} s to be stored")

    def wait_s(self) -> float:
        """Return how long a request that came now would wait for the writer, seconds.

        At least as long as the first in the queue has waited already (the writer may be stuck), and
        as long as the queue takes at the writer's present pace (many may have come at once).
        """
        with self._lock:
            if not self._queue:
                return 0.0
            now = self._clock()
            oldest_s = now - next(iter(self._queue.values()))
            return max(oldest_s, self._pace.time_for(self._queued, now))

    def move(self, size: int) -> None:
        """Take ``size`` bytes, or give them back if negative. Raises Overloaded."""
        with self._lock:
            if size > 0 and self.bytes + size > self.most:
                raise Overloaded(f"more than {self.most:,} bytes of requests wait to be stored")
            self.bytes += size

    def _enqueue(self, held: Held, size: int) -> None:
        with self._lock:
            now = self._clock()
            if not self._queue:
                self._pace.begin(now)
            self._queue[held] = now
            self._queued += size

    def _dequeue(self, held: Held, size: int, *, served: bool) -> None:
        with self._lock:
            del self._queue[held]
            self._queued -= size
            self._pace.did(size if served else 0, self._clock())


class _Pace:
    """Bytes per second that left the queue, over the recent time in which it was not empty."""

    def __init__(self) -> None:
        # Until more is known: a crowd must not be let in whole because nobody was there before.
        self._bytes = FIRST_BYTES_PER_S * FIRST_S
        self._busy_s = FIRST_S
        self._since = 0.0

    def begin(self, now: float) -> None:
        """Say that the queue is no longer empty."""
        self._since = now

    def did(self, size: int, now: float) -> None:
        """Say that ``size`` bytes left the queue."""
        passed_s = now - self._since
        fade = math.exp(-passed_s / RECENT_S)
        self._bytes = self._bytes * fade + size
        self._busy_s = self._busy_s * fade + passed_s
        self._since = now

    def time_for(self, size: int, now: float) -> float:
        """Return how long ``size`` bytes take, seconds."""
        return size * (self._busy_s + now - self._since) / max(self._bytes, 1.0)


class Held:
    """What one request holds; whoever has the request last releases it."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._size = 0

    def add(self, size: int) -> None:
        """Take ``size`` bytes more. Raises Overloaded."""
        self._in_flight.move(size)
        self._size += size

    @property
    def size(self) -> int:
        """Return the bytes that are held."""
        return self._size

    def release(self) -> None:
        """Give everything back; a second time does nothing."""
        size, self._size = self._size, 0
        self._in_flight.move(-size)
