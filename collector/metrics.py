"""What the collector counts about itself, as Prometheus text."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

_HELP = {
    "tidegauge_requests_total": "Requests answered, by protocol, signal and answer.",
    "tidegauge_refusals_total": "Requests that were not stored, by reason.",
    "tidegauge_spans_total": "Spans committed (accepted) or there already (duplicate).",
    "tidegauge_rejected_spans_total": "Spans that were left out of a stored request, by reason.",
    "tidegauge_noted_spans_total": "Spans stored, but not as they were sent, by kind.",
    "tidegauge_commits_total": "Transactions committed by the writer.",
    "tidegauge_committed_requests_total": "Requests that those transactions held.",
    "tidegauge_commit_seconds_total": "Time spent in those transactions, seconds.",
    "tidegauge_in_flight_bytes": "Bytes of requests that wait to be stored.",
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """The counters of one process; for any thread.

    Label values are words of our own code. A value that a client could choose would let it fill
    the memory of the collector and of whoever scrapes it.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Raise a counter. Raises KeyError for a name without a help text."""
        _HELP[name]
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount  # type: ignore[assignment]

    def value(self, name: str, /, **labels: str) -> float:
        """Return a counter; 0 where it was never raised."""
        with self._lock:
            return self._counts[name, tuple(sorted(labels.items()))]

    def render(self, gauges: Mapping[str, float]) -> str:
        """Return everything in Prometheus' text format 0.0.4."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines: list[str] = []
        for name, text in _HELP.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [
                f"{n}{_braces(labels)} {_number(v)}" for (n, labels), v in counts if n == name
            ]
            if name in gauges:
                lines.append(f"{name} {_number(gauges[name])}")
        return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"


def _braces(labels: Labels) -> str:
    """Return ``{a="x",b="y"}``.

    >>> _braces((("reason", "bad_json"),))
    '{reason="bad_json"}'
    """
    inner = ",".join(f'{key}="{value}"' for key, value in labels)
    return f"{{{inner}}}" if inner else ""
