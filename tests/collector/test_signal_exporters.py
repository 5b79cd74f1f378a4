"""What the real OpenTelemetry exporters of logs and metrics send is stored, and joined to its span."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from bench.servers import Collector
from tidegauge.call import Call
from tidegauge.store import token_metrics
from tidegauge.store.engine import open_engine, read

DAY = timedelta(days=1)
ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
}


def exporters(collector: Collector, protocol: str, **options: Any) -> tuple[Any, Any, Any]:
    """Return exporters of spans, logs and metrics; ``options`` are for the last."""
    if protocol == "http":
        base = f"http://{collector.http}/v1"
        spans, logs = HttpSpans(endpoint=f"{base}/traces"), HttpLogs(endpoint=f"{base}/logs")
        return spans, logs, HttpMetrics(endpoint=f"{base}/metrics", **options)
    to: dict[str, Any] = {"endpoint": collector.grpc, "insecure": True}
    return GrpcSpans(**to), GrpcLogs(**to), GrpcMetrics(**to, **options)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_sdks_events_reach_the_span_they_were_emitted_in(
    protocol: str, collector: Collector, stored: Callable[[bytes], Sequence[Call]]
) -> None:
    spans, logs, _ = exporters(collector, protocol)
    tracing, logging = TracerProvider(), LoggerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    logging.add_log_record_processor(SimpleLogRecordProcessor(logs))
    logger = logging.get_logger("app")
    with tracing.get_tracer("app").start_as_current_span("chat", attributes=ATTRIBUTES) as span:
        trace_id = span.get_span_context().trace_id.to_bytes(16, "big")
        records: tuple[tuple[str, Any], ...] = (
            ("gen_ai.user.message", {"content": "Capital of France?"}),
            ("gen_ai.choice", {"index": 0, "finish_reason": "length", "message": {"content": "P"}}),
            ("app.started", "nothing to us"),
        )
        for name, body in records:
            logger.emit(LogRecord(event_name=name, body=body, timestamp=time.time_ns()))
    tracing.shutdown()
    logging.shutdown()
    deadline = time.monotonic() + 20
    while not (found := stored(trace_id))[0].output and time.monotonic() < deadline:
        time.sleep(0.1)
    (call,) = found
    assert call.input == [{"role": "user", "content": "Capital of France?"}]
    assert call.output[0]["content"] == "P"
    assert (call.finish_reasons, call.truncated) == (("length",), True)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]
)
@pytest.mark.parametrize("exponential", [False, True])
def test_the_sdks_token_metric_adds_up(
    protocol: str,
    temporality: AggregationTemporality,
    exponential: bool,
    collector: Collector,
    database: str,
) -> None:
    service = f"{protocol} {temporality.name} {exponential}"
    _, _, exporter = exporters(collector, protocol, preferred_temporality={Histogram: temporality})
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=600_000)
    views = [
        View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation())
        for _ in range(exponential)
    ]
    meters = MeterProvider([reader], Resource.create({"service.name": service}), views=views)
    histogram = meters.get_meter("app").create_histogram("gen_ai.client.token.usage", "{token}")
    for tokens in (10, 20, 30):  # an export each, and one more at the end that says nothing new
        for kind in ("input", "output"):
            told = {**ATTRIBUTES, "gen_ai.token.type": kind}
            histogram.record(tokens if kind == "input" else 1, told)
        meters.force_flush()
    meters.shutdown()
    now = datetime.now(UTC)
    engine = open_engine(database)
    with read(engine) as db:
        found = token_metrics.compare(db, "default", now - DAY, now + DAY)
    engine.dispose()
    ours = {one.type.value: one.by_metric for one in found if one.service == service}
    assert ours == {"input": 60, "output": 3}
