"""How many bytes of requests are in memory; beyond the limit new ones are put off."""

from __future__ import annotations

import threading


class Overloaded(Exception):
    """There is no room for this request now; the same request may be taken a second later."""


class InFlight:
    """The bytes of all requests that were read and not yet disposed of; for any thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0
        self._lock = threading.Lock()

    def open(self) -> Held:
        """Return the share of a new request: nothing yet."""
        return Held(self)

    def move(self, size: int) -> None:
        """Take ``size`` bytes, or give them back if negative. Raises Overloaded."""
        with self._lock:
            if size > 0 and self.bytes + size > self.most:
                raise Overloaded(f"more than {self.most:,} bytes of requests wait to be stored")
            self.bytes += size


class Held:
    """What one request holds; whoever has the request last releases it."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._size = 0

    def add(self, size: int) -> None:
        """Take ``size`` bytes more. Raises Overloaded."""
        self._in_flight.move(size)
        self._size += size

    def release(self) -> None:
        """Give everything back; a second time does nothing."""
        size, self._size = self._size, 0
        self._in_flight.move(-size)
