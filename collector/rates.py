"""How much each key may send a second; what is over it is put off."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tidegauge.store.keys import Key, Limit

BURST_S = 10.0  # exporters gather spans for seconds and send them at once
WAIT_AT_MOST_S = 5  # a client that is told to wait for longer drops its batch at once


class OverLimit(Exception):
    """A key has sent too much; its owner may send again after ``retry_after_s`` seconds."""

    def __init__(self, key_id: str, what: str, per_s: float, wait_s: float) -> None:
        super().__init__(
            f"key {key_id} may send {per_s:,.0f} {what} a second and has sent more; send it later, "
            "or have the limit raised with `tidegauge keys limit`"
        )
        self.key_id = key_id
        self.retry_after_s = min(max(math.ceil(wait_s), 1), WAIT_AT_MOST_S)


@dataclass(slots=True)
class _Bucket:
    """Tokens that drip in; below zero is a debt that the next requests wait for."""

    what: str
    per_s: float
    tokens: float
    at: float  # monotonic, s

    def fill(self, now: float) -> None:
        full = self.per_s * BURST_S
        self.tokens = min(full, self.tokens + (now - self.at) * self.per_s)
        self.at = now


class Rates:
    """The rates of the keys that have limits, in this collector; for any thread.

    What a request holds is known only after it was read, so it is charged then and the next one
    is refused. A debt is at most one burst, so a key is put off for ``BURST_S`` seconds at most:
    requests that were admitted at once, before the first was charged, would otherwise block the
    key until long after its clients gave up. What is above that is forgiven; below it the rate
    holds over any longer time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # monotonic, seconds
        self._buckets: dict[str, tuple[Limit, list[_Bucket]]] = {}  # by key: never by stranger
        self._lock = threading.Lock()

    def check(self, key: Key) -> None:
        """Raise OverLimit where the key has sent too much."""
        with self._lock:
            now = self._clock()
            for bucket in self._of(key, now):
                bucket.fill(now)
                if bucket.tokens < 0:
                    wait_s = -bucket.tokens / bucket.per_s
                    raise OverLimit(key.key_id, bucket.what, bucket.per_s, wait_s)

    def charge(self, key_id: str, *, spans: int = 0, size: int = 0) -> None:
        """Take what a request held: its spans, the bytes of its body."""
        with self._lock:
            _, buckets = self._buckets.get(key_id, (None, []))
            for bucket in buckets:
                taken = spans if bucket.what == "spans" else size
                bucket.tokens = max(bucket.tokens - taken, -bucket.per_s * BURST_S)

    def _of(self, key: Key, now: float) -> list[_Bucket]:
        """Return the buckets of a key; new and full where its limits were changed."""
        limit, buckets = self._buckets.get(key.key_id, (None, []))
        if limit != key.limit:
            buckets = [
                _Bucket(what, per_s, per_s * BURST_S, now)
                for what, per_s in (
                    ("spans", key.limit.spans_per_s),
                    ("bytes", key.limit.bytes_per_s),
                )
                if per_s
            ]
            self._buckets[key.key_id] = (key.limit, buckets)
        return buckets
