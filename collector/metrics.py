"""What the collector counts about itself, as Prometheus text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from tidegauge.store import ledger

# Name, help and labels. The values of labels are words of our own code: one that a client could
# choose would let it fill the memory of the collector and of whoever scrapes it.
_COUNTERS = {
    "tidegauge_requests_total": (
        "Requests answered, by protocol, signal and answer.",
        ("protocol", "signal", "answer"),
    ),
    "tidegauge_refusals_total": ("Requests that were not stored, by reason.", ("reason",)),
    "tidegauge_spans_total": (
        "Spans committed (accepted) or there already (duplicate).",
        ("outcome",),
    ),
    "tidegauge_key_refusals_total": ("Requests whose key was not good, by why.", ("why",)),
    "tidegauge_connections_ended_total": (
        "HTTP connections that we closed: too slow, or to make room; by why.",
        ("why",),
    ),
    "tidegauge_over_limit_total": ("Requests beyond the limit of their key, by key id.", ("key",)),
    "tidegauge_rejected_spans_total": (
        "Spans that were left out of a stored request, by reason.",
        ("reason",),
    ),
    "tidegauge_noted_total": (
        "Spans stored late, skewed or not whole, by kind; sdk_dropped:* counts parts of spans.",
        ("kind",),
    ),
    "tidegauge_records_total": (
        "Log records and metric points, by signal and what became of them.",
        ("signal", "outcome"),
    ),
    "tidegauge_failed_commits_total": (
        "Transactions of the writer that were rolled back, by reason.",
        ("reason",),
    ),
}
_HISTOGRAMS = {
    "tidegauge_commit_seconds": (
        "Time of a transaction of the writer that was committed, seconds.",
        (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
    "tidegauge_group_requests": (
        "Requests in a transaction.",
        (1, 2, 4, 8, 16, 32, 64, 128, 256),
    ),
    "tidegauge_group_spans": (
        "Spans in a transaction.",
        (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000),
    ),
    "tidegauge_clock_lead_seconds": (
        "How far the newest start in a request lies ahead of our clock, seconds; it should not.",
        (-3_600, -600, -60, -10, -1, 0, 1, 10, 60, 600, 3_600),
    ),
}
_GAUGES = {
    "tidegauge_in_flight_bytes": "Bytes of requests that wait to be read.",
    "tidegauge_connections": "Open connections of the HTTP edge.",
    "tidegauge_in_flight_limit_bytes": "Bytes from which on new requests are put off.",
    "tidegauge_requests_in_flight": "Requests that were taken and wait for their answer.",
    "tidegauge_requests_waiting": "Of those, the ones that the writer has not begun to read.",
    "tidegauge_oldest_request_seconds": "Age of the oldest request without an answer, seconds.",
    "tidegauge_ready": "1: /readyz says ready; 0: not.",
    "tidegauge_database_bytes": "Size of the database, bytes; NaN: not known.",
    "tidegauge_wal_bytes": "Size of SQLite's write-ahead log, bytes; NaN: another database.",
    "tidegauge_disk_free_bytes": "Free bytes of SQLite's disk; NaN: another database.",
    "tidegauge_disk_used_ratio": "Share of SQLite's disk that is used; NaN: another database.",
}
_TROUBLES = (
    "tidegauge_trouble",
    "1: this kind of reason or warning stands in /readyz now; 0: it does not.",
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter is told a second time, as the time of its birth


class Metrics:
    """The numbers of one process; for any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, open files, CPU
        self._counters = {
            name: Counter(name, text, labels, registry=self._registry)
            for name, (text, labels) in _COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(name, text, buckets=buckets, registry=self._registry)
            for name, (text, buckets) in _HISTOGRAMS.items()
        }
        self._troubles = Gauge(*_TROUBLES, ("kind",), registry=self._registry)

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Raise a counter. Raises KeyError for a name that is not declared above."""
        self._counters[name].labels(**labels).inc(amount)

    def count_outcome(self, outcome: str, number: int) -> None:
        """Raise the counter that an outcome of the ledger belongs to."""
        if outcome in (ledger.ACCEPTED, ledger.DUPLICATE):
            self.add("tidegauge_spans_total", number, outcome=outcome)
        elif outcome.startswith(ledger.REJECTED):
            reason = outcome.removeprefix(ledger.REJECTED)
            self.add("tidegauge_rejected_spans_total", number, reason=reason)
        elif outcome.startswith((ledger.LOGS, ledger.METRICS)):
            signal, _, word = outcome.partition(":")
            self.add("tidegauge_records_total", number, signal=signal, outcome=word)
        else:
            self.add("tidegauge_noted_total", number, kind=outcome)

    def observe(self, name: str, value: float, /) -> None:
        """Count a value in its histogram. Raises KeyError like add()."""
        self._histograms[name].observe(value)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Tell what ``read`` returns whenever the numbers are asked for. Raises KeyError."""
        Gauge(name, _GAUGES[name], registry=self._registry).set_function(read)

    def show_troubles(self, now: Mapping[str, bool]) -> None:
        """Tell which kinds of trouble there are."""
        for kind, there in now.items():
            self._troubles.labels(kind=kind).set(there)

    def value(self, name: str, /, **labels: str) -> float:
        """Return a number; 0 where nothing was counted."""
        return self._registry.get_sample_value(name, labels) or 0.0

    def by_label(self, name: str) -> dict[str, float]:
        """Return a counter with one label, by the value of that label."""
        samples = (one for family in self._counters[name].collect() for one in family.samples)
        return {next(iter(one.labels.values())): one.value for one in samples}

    def render(self) -> bytes:
        """Return everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)
