"""How long a request may take to arrive; at a stop, less."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """The slowest body that is waited for: within ``within_s`` seconds, and after the first
    ``grace_s`` at no less than ``bytes_per_s``."""

    within_s: float = 30.0
    grace_s: float = 5.0
    bytes_per_s: float = 1_000.0
    stop_s: float = 2.0  # seconds left to a body that is on its way when the collector stops
    quick_s: float = 0.25  # a gRPC message that takes longer is a slow one
    queue_s: float = 2.0  # how long a gRPC message waits until it may arrive

    def allowed_s(self, size: int) -> float:
        """Return how long after its start a body of which ``size`` bytes are here may go on.

        >>> Pace().allowed_s(0), Pace().allowed_s(10_000), Pace().allowed_s(10**6)
        (5.0, 15.0, 30.0)
        """
        return min(self.within_s, self.grace_s + size / self.bytes_per_s)


class Reading:
    """The bodies that arrive now. One for both edges, on the event loop only."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self._open: set[asyncio.Timeout] = set()
        self._latest = float("inf")

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Raise TimeoutError where the block takes longer, or the stop cuts it short."""
        async with asyncio.timeout_at(self.until(seconds)) as timeout:
            self._open.add(timeout)
            try:
                yield timeout
            finally:
                self._open.discard(timeout)

    def until(self, seconds: float) -> float:
        """Return the time of the event loop ``seconds`` from now, or that of the stop."""
        return self.no_later(asyncio.get_running_loop().time() + seconds)

    def no_later(self, at: float) -> float:
        """Return ``at``, or the time of the stop if that is earlier."""
        return min(at, self._latest)

    def stop(self) -> None:
        """Give what arrives now a last moment: who is too slow is told to send it again."""
        self._latest = self.until(self.pace.stop_s)
        for timeout in self._open:
            sooner(timeout, self._latest)


def sooner(timeout: asyncio.Timeout, at: float) -> None:
    """Let ``timeout`` run out at ``at``, unless it does so earlier."""
    when = timeout.when()
    if not timeout.expired() and when is not None and when > at:
        timeout.reschedule(at)


class TooMany(Exception):
    """So many wait for a place that one more could not get it in time."""


class _Message:
    """A gRPC message that arrives."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.timeout = timeout
        self.is_slow = False


class Places:
    """At most ``quick + slow`` gRPC messages arrive at once: their bytes count only at the end.

    A message that is not here after a moment gives its place to those that wait, and becomes one of
    the slow ones. Of these the oldest is put off where there is one too many: however many slow
    senders there are, they lock nobody out.
    """

    def __init__(self, reading: Reading, quick: int, slow: int, *, queue: int = 256) -> None:
        self._reading = reading
        self._free = quick
        self._most_slow = slow
        self._slow: dict[_Message, None] = {}  # the oldest first
        self._queue = queue
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def read(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Return what ``receive`` returns. Raises TimeoutError and TooMany."""
        await self._take_place()
        pace, later = self._reading.pace, asyncio.get_running_loop().call_later
        async with self._reading.within(pace.within_s) as timeout:
            message = _Message(timeout)
            demote = later(pace.quick_s, self._demote, message)
            try:
                return await receive()
            finally:
                demote.cancel()
                self._slow.pop(message, None)
                if not message.is_slow:
                    self._give_place()

    def _demote(self, message: _Message) -> None:
        message.is_slow = True
        self._give_place()
        if len(self._slow) >= self._most_slow:
            oldest = next(iter(self._slow))
            del self._slow[oldest]
            sooner(oldest.timeout, self._reading.until(0))
        self._slow[message] = None

    async def _take_place(self) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        if len(self._waiting) >= self._queue:
            raise TooMany
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with self._reading.within(self._reading.pace.queue_s):
                await place
        except BaseException:
            if place.done() and not place.cancelled():
                self._give_place()  # it came in the moment of giving up
            raise

    def _give_place(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
