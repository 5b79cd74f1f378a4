"""``tidegauge send-test``: one known span through HTTP and one through gRPC, and where each went.

The span is an agent's: a GenAI span that is stored and shown in the trace view, and that is never
counted as a call, so no statistic and no alert is made of it. A mark that hides any span from the
statistics would do the same, and would be a way for every sender to hide its calls.
"""

from __future__ import annotations

import logging
import secrets
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from rich.console import Console
from rich.text import Text

from tidegauge.clock import EPOCH
from tidegauge.commands.ledger import named
from tidegauge.commands.tables import plain, printable
from tidegauge.settings import Settings
from tidegauge.store import keys, ledger, migrate, spans
from tidegauge.store.engine import Engine, open_engine, read
from tidegauge.up import reachable

SERVICE = "tidegauge-send-test"
CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0
_WHY_CHARS = 400

_AGAIN = "it cannot be stored now: the /readyz of the collector says why"
#: What to do, by a word in the exporter's own message; the first that is found.
_ADVICE = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its CA is not trusted here: OTEL_EXPORTER_OTLP_CERTIFICATE=FILE names the CA, as PEM",
    ),
    ("code: 401", "send a valid key with --key; `tidegauge keys create --name APP` makes one"),
    ("UNAUTHENTICATED", "send a valid key with --key"),
    ("code: 403", "this key is for something else; `tidegauge keys create --name APP` makes one"),
    ("PERMISSION_DENIED", "this key is for something else; `tidegauge keys create` makes one"),
    ("code: 404", "something else answers there; is it the OTLP/HTTP port?"),
    ("code: 405", "something else answers there; is it the OTLP/HTTP port?"),
    ("UNIMPLEMENTED", "something else answers there; is it the OTLP/gRPC port?"),
    ("http1.x", "something else answers there; is it the OTLP/gRPC port?"),
    ("Connection aborted", "something else answers there; is it the OTLP/HTTP port?"),
    ("UNAVAILABLE", _AGAIN),
    ("Service Unavailable", _AGAIN),
    ("timeout", _AGAIN),
    ("", "is it a collector that answers there, and over the same protocol?"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the way of a span: ``text`` says what was seen, or what to do."""

    name: str
    good: bool
    text: str


@dataclass(frozen=True, slots=True)
class Trip:
    """The way of one span; it ends at the first step that failed."""

    protocol: str
    endpoint: str
    steps: Sequence[Step]
    project: str

    @property
    def arrived(self) -> bool:
        """Return whether every step was good."""
        return all(step.good for step in self.steps)


@dataclass(frozen=True, slots=True)
class _Way:
    protocol: str
    endpoint: str
    option: str
    exporter: Callable[[], SpanExporter]


def send(
    settings: Settings, http: str | None, grpc: str | None, key: str | None, now: datetime
) -> list[Trip]:
    """Send a span each way, and follow it into the database.

    Addresses that are None are those of a collector that runs here with these ``settings``.
    """
    migrate.upgrade(settings.database_url)
    engine = open_engine(settings.database_url, pool_size=1)
    project = project_of(engine, settings.project, key)
    host = reachable(settings.host)
    ways = _ways(
        http or f"{settings.otlp_scheme}://{host}:{settings.otlp_http_port}",
        grpc or f"{settings.otlp_scheme}://{host}:{settings.otlp_grpc_port}",
        key,
    )
    trips = [
        Trip(way.protocol, way.endpoint, list(_follow(engine, project, way, now)), project)
        for way in ways
    ]
    engine.dispose()
    return trips


def _ways(http: str, grpc: str, key: str | None) -> list[_Way]:
    headers = {"x-tidegauge-key": key} if key else None
    url = http.rstrip("/") + "/v1/traces"
    target = grpc if "://" in grpc else f"http://{grpc}"
    return [
        _Way(
            "HTTP",
            http,
            "--endpoint",
            lambda: HttpExporter(endpoint=url, headers=headers, timeout=ANSWER_WITHIN_S),
        ),
        _Way(
            "gRPC",
            grpc,
            "--grpc",
            lambda: GrpcExporter(endpoint=target, headers=headers, timeout=ANSWER_WITHIN_S),
        ),
    ]


def project_of(engine: Engine, project: str, key: str | None) -> str:
    """Return the project that a key belongs to; without one that is known here, ``project``."""
    parts = keys.split(key) if key else None
    if parts is None:
        return project
    with read(engine) as db:
        found = [one for one in keys.every(db) if one.key_id == parts[0]]
    return found[0].project if found else project


def _follow(engine: Engine, project: str, way: _Way, now: datetime) -> Iterator[Step]:
    """Yield the steps up to the first that fails."""
    yield (reached := _reach(way))
    if not reached.good:
        return
    span = a_span(way.protocol, now)
    yield (answer := _export(way, span))
    if not answer.good:
        return
    yield (row := _find(engine, project, f"{span.context.trace_id:032x}"))
    if row.good:
        yield _count(engine, project, now)


def _reach(way: _Way) -> Step:
    address = urlsplit(way.endpoint if "://" in way.endpoint else f"//{way.endpoint}")
    try:
        where = (address.hostname or "", address.port or 0)
        socket.create_connection(where, CONNECT_WITHIN_S).close()
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error)
        todo = f"start `tidegauge up`, or name the right address with {way.option}"
        return Step("reach", False, f"nothing answers there ({why}); {todo}")
    return Step("reach", True, "something listens there")


def _export(way: _Way, span: ReadableSpan) -> Step:
    with _heard() as said:
        exporter = way.exporter()
        try:
            result = exporter.export([span])
        finally:
            exporter.shutdown()
    if result is SpanExportResult.SUCCESS:
        return Step("answer", True, "acknowledged: it is stored, says the collector")
    # The first names the cause; the last, after some tries, only that there were enough of them.
    why = printable(said[0]) if said else "the exporter gave no reason"
    todo = next(advice for word, advice in _ADVICE if word in why)
    return Step("answer", False, f"{why[:_WHY_CHARS]}; {todo}")


def _find(engine: Engine, project: str, trace_id: str) -> Step:
    with read(engine) as db:
        found = spans.trace(db, project, trace_id)
    if not found:
        return Step(
            "row",
            False,
            f"not in project {project} of this database: the collector writes to another one "
            "(--database-url, TIDEGAUGE_PROJECT), or it is none of ours that answered",
        )
    return Step("row", True, f"project {project}, trace {trace_id}, not counted as a call")


def _count(engine: Engine, project: str, now: datetime) -> Step:
    with read(engine) as db:
        lines = ledger.lines(db, project, now - timedelta(hours=1), service=SERVICE)
    if not lines:
        return Step("ledger", False, "its service has no line: the ledger has too many sources")
    newest = max(lines, key=lambda line: line.last_seen)
    rejected = f", rejected {named(newest.rejected)}" if newest.rejected else ""
    return Step(
        "ledger",
        True,
        f"{newest.source.service}: received {newest.received}, stored {newest.stored}, "
        f"duplicate {newest.duplicate}{rejected}",
    )


def a_span(protocol: str, now: datetime) -> ReadableSpan:
    """Return an agent's span that has just ended; no other has its ids."""
    end_ns = int((now - EPOCH) / timedelta(microseconds=1)) * 1000
    context = SpanContext(
        trace_id=secrets.randbits(128) or 1,
        span_id=secrets.randbits(64) or 1,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return ReadableSpan(
        name="invoke_agent send-test",
        context=context,
        resource=Resource.create({"service.name": SERVICE}),
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "send-test",
            "gen_ai.provider.name": "tidegauge",
            "tidegauge.sent_by": f"tidegauge send-test over {protocol}",
        },
        kind=SpanKind.INTERNAL,
        start_time=end_ns - 100_000_000,
        end_time=end_ns,
    )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what the exporters log; an exporter tells why it failed nowhere else."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, ear = logging.getLogger("opentelemetry"), Ear()
    before = logger.propagate
    logger.addHandler(ear)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(ear)
        logger.propagate = before


def show(trips: Sequence[Trip], console: Console) -> None:
    """Print the way of each span, and what to do where one ended too early."""
    table = plain("over", "step", "", names=("",))
    for trip in trips:
        table.add_row(trip.protocol, "to", Text(printable(trip.endpoint)))
        for step in trip.steps:
            mark = ("✓", "green") if step.good else ("✗", "bold red")
            table.add_row("", Text(f"{mark[0]} {step.name}", style=mark[1]), Text(step.text))
    console.print(table)
    if arrived := [trip for trip in trips if trip.arrived]:
        where = f"--project {shlex.quote(arrived[0].project)}"
        console.print(Text(f"See them with: tidegauge calls --all --service {SERVICE} {where}"))
