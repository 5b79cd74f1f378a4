"""One simulated app as a process: history at full speed, then live traffic with its fault."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tidegauge import clock
from tidegauge.demo import traffic
from tidegauge.demo.spans import spans
from tidegauge.demo.traffic import APPS, CHECKOUT_BOT, App, Turn

BATCH = 512  # spans; what the SDK's own processor sends at most
_PATIENCE_S = 60.0


class NotStored(RuntimeError):
    """The collector did not acknowledge a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one app process is to do."""

    service: str
    seed: int
    http: str  # http://host:port
    grpc: str  # http://host:port
    since: datetime  # the history's start; its end is ``until``
    until: datetime
    scale: float  # of the history's traffic; 0: no history
    calls_per_s: float  # of the live traffic


@dataclass(frozen=True, slots=True)
class Sent:
    """An app's report: spans acknowledged since the last one, and how far the history is in."""

    service: str
    spans: int
    share: float  # of the history, 0 to 1


def app_of(service: str) -> App:
    """Return the app of this name."""
    return next(app for app in APPS if app.service == service)


def exporter(job: Job) -> SpanExporter:
    """Return the OTLP exporter that the app's instrumentation uses."""
    if job.service == CHECKOUT_BOT.service:
        return GrpcExporter(endpoint=job.grpc, insecure=True, timeout=_PATIENCE_S)
    return HttpExporter(endpoint=f"{job.http}/v1/traces", timeout=_PATIENCE_S)


def run(job: Job, talk: Connection) -> None:
    """Run one app until its parent ends it: send the history, wait for a start time, go live."""
    # The collector is on this machine: no proxy that the environment names may come between.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    out = exporter(job)
    app = app_of(job.service)
    with suppress(BrokenPipeError, EOFError):  # the parent is gone
        try:
            for sent in send_history(app, job, out) if job.scale else ():
                talk.send(sent)
        except NotStored as error:
            sys.exit(str(error))  # one line, and no traceback
        talk.send(Sent(app.service, 0, 1.0))
        start: datetime = talk.recv()
        go_live(traffic.live(app, job.seed, start, job.calls_per_s), app, out)


def send_history(app: App, job: Job, out: SpanExporter) -> Iterator[Sent]:
    """Send the history in order of time; yield after each acknowledged batch.

    Raises NotStored when the exporter gave a batch up.
    """
    turns = traffic.history(app, job.seed, job.since, job.until, job.scale)
    stream = (span for turn in turns for span in spans(app, turn))
    whole = job.until.timestamp() - job.since.timestamp()
    while batch := list(islice(stream, BATCH)):
        if out.export(batch) is not SpanExportResult.SUCCESS:
            raise NotStored(f"{app.service}: the collector did not acknowledge a batch")
        at = (batch[-1].start_time or 0) / 1e9
        yield Sent(app.service, len(batch), min((at - job.since.timestamp()) / whole, 1.0))


def go_live(turns: Iterable[Turn], app: App, out: SpanExporter) -> None:
    """Hand each span to the SDK's batch processor when it ends, until the parent process ends."""
    processor = BatchSpanProcessor(out, schedule_delay_millis=500)
    for span in as_they_end(turns, app):
        if not _sleep_until(span.end_time or 0):
            break
        processor.on_end(span)
    processor.shutdown()  # type: ignore[no-untyped-call]


def as_they_end(turns: Iterable[Turn], app: App) -> Iterator[ReadableSpan]:
    """Yield the spans of ``turns``, which start in order of time, in the order of their ends."""
    open_spans: list[tuple[int, int, ReadableSpan]] = []
    for turn in turns:
        while open_spans and open_spans[0][0] <= turn.started_ns:
            yield heappop(open_spans)[2]
        for span in spans(app, turn):
            heappush(open_spans, (span.end_time or 0, span.context.span_id, span))
    while open_spans:
        yield heappop(open_spans)[2]


def _sleep_until(at_ns: int) -> bool:
    """Wait until ``at_ns``; return whether the parent process is still there."""
    parent = parent_process()
    left = at_ns / 1e9 - clock.now().timestamp()
    if parent is None:
        time.sleep(max(left, 0))
        return True
    return not wait([parent.sentinel], timeout=max(left, 0))
