"""The findings of bench.ingest as Markdown tables and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.cases import OURS, Case, Killed, Sample
from bench.parts import PartTime

BEGIN, END = "<!-- ingest: begin -->", "<!-- ingest: end -->"
Get = Callable[[Sample], float | None]
_BUSY: tuple[tuple[str, Get, bool], ...] = (  # heading, figure, with its range
    ("committed spans/s", lambda one: one.committed_per_s, True),
    ("acked spans/s", lambda one: one.acked_per_s, False),
    ("put off", lambda one: one.put_off, False),
    ("p50 ms", lambda one: one.p50_ms, False),
    ("p99 ms", lambda one: one.p99_ms, False),
    ("CPU us/span", lambda one: one.cpu_us, True),
    ("database CPU us/span", lambda one: one.database_cpu_us, False),
    ("peak RSS MB", lambda one: one.peak_rss_mb, False),
    ("stored B/span", lambda one: one.bytes_per_span, False),
)
_CALM: tuple[tuple[str, Get, bool], ...] = (
    ("offered spans/s", lambda one: one.open_per_s, False),
    ("p50 ms", lambda one: one.open_p50_ms, True),
    ("p99 ms", lambda one: one.open_p99_ms, True),
    ("one request of 50 at a time, p50 ms", lambda one: one.idle_p50_ms, True),
)


@dataclass(slots=True)
class Findings:
    """Everything that one start of the benchmark found."""

    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    body: Mapping[str, float]
    samples: dict[Case, dict[int, Sample]] = field(default_factory=dict)  # by round
    killed: dict[tuple[str, str], list[Killed]] = field(default_factory=dict)  # server, store
    parts: Sequence[PartTime] = ()

    failed: list[str] = field(default_factory=list)  # what was to be measured, and why it was not

    def rounds(self) -> Iterator[tuple[Case, list[Sample]]]:
        """Yield every case that was measured, with its samples."""
        return ((case, list(found.values())) for case, found in self.samples.items() if found)

    def as_json(self) -> dict[str, Any]:
        """Return all that was measured, each round by itself."""
        return {
            "versions": dict(self.versions),
            "machine": dict(self.machine),
            "body": dict(self.body),
            "runs": [
                {**asdict(case), "rounds": [asdict(one) for one in found]}
                for case, found in self.rounds()
            ],
            "killed": [
                {"server": server, "store": store, "rounds": [asdict(one) for one in found]}
                for (server, store), found in self.killed.items()
            ],
            "parts": [asdict(one) for one in self.parts],
            "failed": self.failed,
        }


def machine() -> dict[str, Any]:
    """Return what the figures depend on and the code does not decide."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "fdatasync_ms": round(_fdatasync_ms(), 3),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def _fdatasync_ms(times: int = 50) -> float:
    """Return the median time to make 4 KiB durable where temporary files lie."""
    waits = []
    with tempfile.TemporaryFile() as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            waits.append((time.perf_counter() - began) * 1000)
    return statistics.median(waits)


def markdown(found: Findings) -> str:
    """Return every table that has rows, and above them what they were measured on."""
    parts = [
        _preface(found),
        _section("All senders busy", _busy(found), words=3),
        _section("Half of that rate, whatever the answers take; and idle", _calm(found), words=2),
        _section("kill -9 of the server under load", _kills(found), words=2),
        _section("What the parts cost alone, one core", _parts(found.parts), words=1),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def put_into(page: str, tables: str) -> str:
    """Return a page with ``tables`` between its marks. Raises ValueError where it has none."""
    head, found, rest = page.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n\n{tables}\n{END}{tail}"


def _preface(found: Findings) -> str:
    on, body = found.machine, found.body
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    loads = [one.load for _, each in found.rounds() for one in each]
    load = f"{min(loads):.1f} to {max(loads):.1f}" if loads else f"{on['load_at_start']}"
    return (
        f"{versions}. Python {on['python']}, {on['cores']} cores ({on['architecture']}) shared with "
        f"the load generator, load average {load}, fdatasync {on['fdatasync_ms']:.2f} ms. A span: "
        f"{body['attributes']:.0f} attributes, {body['protobuf']:,.0f} B protobuf, "
        f"{body['protobuf_gzip']:,.0f} B gzip; {body['json']:,.0f} B JSON. Medians (lowest to "
        "highest of the rounds)."
    )


def _busy(found: Findings) -> list[list[str]]:
    peers = sorted({case.server for case in found.samples} - {OURS})
    head = ["server", "store", "request", *(name for name, _, _ in _BUSY)]
    head += [f"x {name}" for name in peers]
    rows = [
        [case.server, case.store, case.request]
        + [_cell(map(get, rounds), ranged=ranged) for _, get, ranged in _BUSY]
        + [_times(found, case, name) for name in peers]
        for case, rounds in found.rounds()
    ]
    return [head, *rows] if rows else []


def _times(found: Findings, case: Case, name: str) -> str:
    """Return how many times faster than a peer, sent requests of that size in the same round."""
    theirs = {
        number: sample.committed_per_s
        for other, rounds in found.samples.items()
        for number, sample in rounds.items()
        if other.server == name and other.size == case.size and case.server != name
    }
    mine = found.samples[case]
    both = [mine[number].committed_per_s / theirs[number] for number in mine.keys() & theirs.keys()]
    return _cell(both, ranged=True)


def _calm(found: Findings) -> list[list[str]]:
    head = ["store", "request", *(name for name, _, _ in _CALM)]
    rows = [
        [case.store, case.request]
        + [_cell(map(get, rounds), ranged=ranged) for _, get, ranged in _CALM]
        for case, rounds in found.rounds()
        if any(one.open_per_s is not None for one in rounds)
    ]
    return [head, *rows] if rows else []


def _kills(found: Findings) -> list[list[str]]:
    head = ["server", "store", "kills", "acked spans", "of them missing", "durable when acked"]
    rows = [
        [
            *(server, store, str(len(rounds))),
            f"{sum(one.acked for one in rounds):,}",
            f"{sum(one.lost for one in rounds):,}",
            "yes" if all(one.durable for one in rounds) else "**no**",
        ]
        for (server, store), rounds in found.killed.items()
        if rounds
    ]
    return [head, *rows] if rows else []


def _parts(parts: Sequence[PartTime]) -> list[list[str]]:
    head = ["part", "CPU us/span", "elapsed us/span", "spans/s on a core"]
    rows = [
        [
            one.name,
            _cell(one.cpu_us, ranged=True),
            _cell(one.wall_us, ranged=True),
            f"{1e6 / statistics.median(one.cpu_us):,.0f}",
        ]
        for one in parts
    ]
    return [head, *rows] if rows else []


def _section(title: str, rows: Sequence[Sequence[str]], *, words: int) -> str:
    """Return a table whose first ``words`` columns are words and the others numbers."""
    if not rows:
        return ""
    rule = ["---"] * words + ["---:"] * (len(rows[0]) - words)
    lines = [rows[0], rule, *rows[1:]]
    return f"### {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(figures: Iterable[float | None], *, ranged: bool) -> str:
    """Return the median, and the range where several rounds give one.

    >>> _cell([1200.4, 980.0, 1500.0], ranged=True), _cell([2.5], ranged=True)
    ('1,200 (980 to 1,500)', '2.5')
    >>> _cell([None], ranged=False)
    '-'
    """
    known = [one for one in figures if one is not None]
    if not known:
        return "-"
    middle = _number(statistics.median(known))
    if not ranged or len(known) == 1:
        return middle
    return f"{middle} ({_number(min(known))} to {_number(max(known))})"


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
