"""What one run measures, and what it found: the rows of the table of bench.ingest."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

STORES = ("SQLite", "PostgreSQL")
SIZES = (512, 50)  # spans in a request
Store = Literal["SQLite", "PostgreSQL"]
Wire = Literal["http", "http-json", "grpc"]
WIRES: tuple[Wire, ...] = ("http", "http-json", "grpc")
OURS = "Tidegauge"


@dataclass(frozen=True, slots=True)
class Case:
    """A server and what it is sent."""

    server: str
    store: str
    wire: Wire
    packed: bool  # with gzip
    size: int  # spans in a request

    @property
    def json(self) -> bool:
        """Return whether bodies are JSON."""
        return self.wire == "http-json"

    @property
    def basic(self) -> bool:
        """Return whether it is what most exporters send, and what the peers are sent."""
        return self.wire == "http" and self.packed

    @property
    def request(self) -> str:
        """Return what it is sent, in words.

        >>> Case("Tidegauge", "SQLite", "http-json", False, 50).request
        '50, JSON over HTTP, plain'
        """
        said = {"http": "protobuf over HTTP", "http-json": "JSON over HTTP", "grpc": "gRPC"}
        return f"{self.size}, {said[self.wire]}, {'gzip' if self.packed else 'plain'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of a case measured; None: not measured."""

    spans: int  # acknowledged
    put_off: int  # requests that were answered "later", and sent again
    acked_per_s: float
    committed_per_s: float  # those that a reader finds in the database
    p50_ms: float  # of the wait for an acknowledgement, all senders busy
    p99_ms: float
    cpu_us: float  # of the server, all its processes, a span committed
    database_cpu_us: float | None  # of PostgreSQL, likewise
    peak_rss_mb: float
    bytes_per_span: float  # in the database
    load: float  # average of the machine over the last minute, at the end of the run
    open_per_s: float | None = None  # offered in the open loop
    open_p50_ms: float | None = None
    open_p99_ms: float | None = None
    idle_p50_ms: float | None = None  # one request of 50 spans at a time


@dataclass(frozen=True, slots=True)
class Killed:
    """What kill -9 under load did to a server's acknowledged spans."""

    acked: int
    lost: int  # of them, not in the database afterwards

    @property
    def durable(self) -> bool:
        """Return whether everything that was acknowledged was there."""
        return not self.lost


def cases(
    *,
    stores: Collection[str] = STORES,
    sizes: Collection[int] = SIZES,
    wires: Collection[str] = WIRES,
    packings: Collection[bool] = (True, False),
    full: bool = False,
) -> Iterator[Case]:
    """Yield the runs of Tidegauge: what most exporters send, and each way to differ from it.

    With ``full`` yield every combination.

    >>> len(list(cases())), len(list(cases(full=True)))
    (16, 24)
    """
    for store, size, wire, packed in itertools.product(stores, sizes, WIRES, (True, False)):
        one = Case(OURS, store, wire, packed, size)
        differs = (wire != "http") + (not packed)
        if wire in wires and packed in packings and (full or differs < 2):
            yield one
