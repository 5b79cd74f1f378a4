"""What each step from the wire to the rows costs alone, on the bodies of the other runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import gauges
from bench.bodies import Body, build
from bench.servers import Postgres
from collector import dialects, limits, otlp
from collector.capture import Plan
from collector.intake import TOGETHER, Batch, take_in
from collector.redact import suspect
from collector.sender import Sender
from tidegauge import clock
from tidegauge.pricing import cost_usd
from tidegauge.store import contents, spans
from tidegauge.store.engine import Engine, open_engine, write
from tidegauge.store.migrate import upgrade
from tidegauge.store.rows import values_of

SIZE, BODIES = 512, 4  # spans in a request, requests a round
_SENDER = Sender("default")


@dataclass(slots=True)
class PartTime:
    """One step's cost in each round, microseconds a span."""

    name: str
    cpu_us: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)


class Times:
    """Collects the cost of the parts, in the order in which they first ran."""

    def __init__(self) -> None:
        self._found: dict[str, PartTime] = {}

    @property
    def parts(self) -> Sequence[PartTime]:
        """Return what was timed."""
        return list(self._found.values())

    @contextmanager
    def of(self, name: str, cpu_s: Callable[[], float] = time.process_time) -> Iterator[None]:
        """Time a round's work of one part; ``cpu_s`` says whose CPU time counts."""
        wall, cpu = time.perf_counter(), cpu_s()
        yield
        spent, passed = cpu_s() - cpu, time.perf_counter() - wall
        part = self._found.setdefault(name, PartTime(name))
        part.cpu_us.append(spent / (SIZE * BODIES) * 1e6)
        part.wall_us.append(passed / (SIZE * BODIES) * 1e6)


def measure(folder: Path, postgres: Postgres | None, *, rounds: int) -> Sequence[PartTime]:
    """Return the cost of each part; every round runs each of them once, on fresh bodies."""
    times = Times()
    with ExitStack() as stack:
        sqlite = _engine(f"sqlite:///{folder / 'parts.db'}", stack)
        server = _engine(postgres.url, stack) if postgres else None
        for number in range(rounds + 1):
            bodies = [build(SIZE, 20_000_000 + number * BODIES + n) for n in range(BODIES)]
            as_json = [
                build(SIZE, 30_000_000 + number * BODIES + n, json=True) for n in range(BODIES)
            ]
            # The first round fills caches and creates what is created once: it does not count.
            kept = times if number else Times()
            _wire(bodies, as_json, kept)
            _spans(bodies, kept)
            batches = _whole(bodies, kept)
            _store(batches, sqlite, "SQLite, synchronous=FULL", kept)
            if server and postgres:
                spent = partial(gauges.cpu_s, postgres.pid)
                with kept.of("PostgreSQL's own processes, of that", spent):
                    _store(batches, server, "PostgreSQL", kept)
    return times.parts


def _engine(url: str, stack: ExitStack) -> Engine:
    upgrade(url)
    engine = open_engine(url)
    stack.callback(engine.dispose)
    return engine


def _wire(bodies: Sequence[Body], as_json: Sequence[Body], times: Times) -> None:
    """Time what is done to bytes."""
    with times.of("inflate gzip"):
        for body in bodies:
            limits.inflate(body.packed, "gzip")
    with times.of("protobuf's own parse (upb), nothing read"):
        for body in bodies:
            ExportTraceServiceRequest.FromString(body.raw)
    with times.of("walk JSON for the budgets"):
        for body in as_json:
            limits.walk_json(body.raw)
    with times.of("decode JSON to raw spans"):
        for body in as_json:
            otlp.read_spans(body.raw, json=True)


def _spans(bodies: Sequence[Body], times: Times) -> None:
    """Time what is done to spans, each step on what the one before it made."""
    with times.of("decode protobuf to raw spans, budgets included"):
        raw = [span for body in bodies for span in otlp.read_spans(body.raw, json=False).spans]
    with times.of("normalise (dialects, audit, checksums, price)"):
        calls = [
            call
            for at in range(0, len(raw), TOGETHER)
            for call in dialects.normalise_all(raw[at : at + TOGETHER], _SENDER.project, cost_usd)
        ]
    with times.of("content to JSON"):
        kept = [contents.to_json(call) for call in calls]
    with times.of("look for secrets"):
        for content in kept:
            suspect(content)
    with times.of("content to compressed blocks (zstd)"):
        contents.pack(kept, [_SENDER.project] * len(kept))


def _whole(bodies: Sequence[Body], times: Times) -> Sequence[Batch]:
    """Time everything before the database."""
    with times.of("all of it, gzip protobuf to calls"):
        return [
            take_in(
                body.packed,
                json=False,
                encoding="gzip",
                sender=_SENDER,
                plan=Plan(),
                received_at=clock.now(),
            )
            for body in bodies
        ]


def _store(batches: Sequence[Batch], engine: Engine, name: str, times: Times) -> None:
    """Time the insert with its commit, a transaction a request."""
    kept = [[contents.to_json(call) for call in batch.calls] for batch in batches]
    with times.of(f"insert and commit, {SIZE} at a time, {name} (compression included)"):
        for batch, content in zip(batches, kept, strict=True):
            rows = [values_of(call) for call in batch.calls]
            with write(engine) as db:
                spans.insert_each(db, rows, content, received_at=clock.now())
