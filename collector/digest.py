"""One log line a minute of what was not stored, in place of one for each bad request."""

from __future__ import annotations

import time

from collector.metrics import Metrics
from tidegauge import log

EVERY_S = 60.0
_COUNTERS = {
    "refused_requests": "tidegauge_refusals_total",
    "rejected_spans": "tidegauge_rejected_spans_total",
}


class Digest:
    """Says by how much the counters of refusals have risen since it last said so."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._said_at = time.monotonic()
        self._said = self._read()

    def tell_when_due(self) -> None:
        """Log a line where a minute has passed and something was not stored."""
        if time.monotonic() - self._said_at >= EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Log a line where something was not stored since the last one."""
        now, self._said_at = self._read(), time.monotonic()
        risen = {
            word: _risen(self._said[word], counts)
            for word, counts in now.items()
            if counts != self._said[word]
        }
        self._said = now
        if risen:
            log.get(__name__).warning("not stored", **risen)

    def _read(self) -> dict[str, dict[str, float]]:
        return {word: self._metrics.by_label(name) for word, name in _COUNTERS.items()}


def _risen(before: dict[str, float], now: dict[str, float]) -> dict[str, int]:
    """Return by how much each count has risen, where it has.

    >>> _risen({"a": 1.0, "b": 2.0}, {"a": 4.0, "b": 2.0})
    {'a': 3}
    """
    return {
        name: int(n - before.get(name, 0)) for name, n in now.items() if n > before.get(name, 0)
    }
