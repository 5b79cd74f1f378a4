"""Own spans and durations to an OTLP endpoint, through opentelemetry-sdk; loaded only when asked for.

Nothing here waits for the endpoint: spans are queued, and dropped where the queue is full.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from tidegauge import log

QUEUE = 2048  # spans that wait
SEND_EVERY_S = 5.0
COUNT_EVERY_S = 60.0
ANSWER_S = 10.0  # an endpoint that takes longer is down
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


@dataclass(frozen=True, slots=True)
class Opened:
    """A step that has begun."""

    span: trace.Span
    inside: context.Context  # for the steps inside it
    token: Token[context.Context]
    name: str


class Pipeline:
    """Keeps the steps of one process and sends them."""

    def __init__(self, endpoint: str, service: str, sample: float, user_agent: str) -> None:
        # What the SDK says of an endpoint that is down, line after line, is said once by _Heard.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        release = version("tidegauge")
        headers = {"user-agent": f"{user_agent}/{release}"}
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": release,
                "service.instance.id": str(uuid.uuid4()),
            }
        )
        self._spans = _Spans(_at(endpoint, "traces"), headers)
        self._durations = _Durations(_at(endpoint, "metrics"), headers)
        self._tracers = TracerProvider(
            ParentBased(TraceIdRatioBased(sample)), resource, shutdown_on_exit=False
        )
        self._tracers.add_span_processor(
            BatchSpanProcessor(self._spans, QUEUE, SEND_EVERY_S * 1000, QUEUE // 4)
        )
        reader = PeriodicExportingMetricReader(self._durations, COUNT_EVERY_S * 1000)
        self._meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._tracer = self._tracers.get_tracer("tidegauge", release)
        self._lasted = self._meters.get_meter("tidegauge", release).create_histogram(
            "tidegauge.step.duration",
            "s",
            "How long each step of Tidegauge's own work took; all of them, whatever is sampled.",
            explicit_bucket_boundaries_advisory=_BOUNDS_S,
        )

    def open(self, name: str, attributes: Mapping[str, Any], parent: Opened | None) -> Opened:
        """Begin a step; those begun after it in this thread or task are inside it."""
        around = parent.inside if parent else context.get_current()
        span = self._tracer.start_span(name, around, attributes=named(attributes))
        inside = trace.set_span_in_context(span, around)
        return Opened(span, inside, context.attach(inside), name)

    def note(self, opened: Opened, attributes: Mapping[str, Any]) -> None:
        """Add attributes to a step that has begun."""
        opened.span.set_attributes(named(attributes))

    def close_step(self, opened: Opened, lasted_s: float, error: str | None) -> None:
        """End a step. ``error`` is the class of what stopped it."""
        context.detach(opened.token)
        labels = {"step": opened.name}
        if error:
            labels["error.type"] = error
            opened.span.set_attribute("error.type", error)
            opened.span.set_status(trace.StatusCode.ERROR)
        opened.span.end()
        self._lasted.record(lasted_s, labels)

    def keep(self, name: str, attributes: Mapping[str, Any], parent: Opened, began_ns: int) -> None:
        """Keep a step that ends now."""
        span = self._tracer.start_span(
            name, parent.inside, attributes=named(attributes), start_time=began_ns
        )
        span.end()

    def flush(self) -> None:
        """Send what waits, and wait for the answer."""
        self._tracers.force_flush()

    def close(self, within_s: float) -> None:
        """Send what is left, and give up after ``within_s``."""
        ending = threading.Thread(target=self._shut, name="telemetry end", daemon=True)
        ending.start()
        ending.join(within_s)
        if ending.is_alive():  # else it would try again until ANSWER_S
            self._spans.shutdown()  # type: ignore[no-untyped-call]
            self._durations.shutdown()

    def _shut(self) -> None:
        self._tracers.shutdown()
        self._meters.shutdown()


class _Heard:
    """Says once that an endpoint does not take a signal, and once that it does again."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._well = True

    def heard(self, *, well: bool) -> None:
        before, self._well = self._well, well
        logger = log.get(__name__)
        if before and not well:
            logger.warning("own telemetry is not taken and is dropped", signal=self._signal)
        elif well and not before:
            logger.info("own telemetry is taken again", signal=self._signal)


class _Spans(OTLPSpanExporter):
    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        super().__init__(endpoint, headers=headers, timeout=ANSWER_S, compression=Compression.Gzip)
        self._state = _Heard("spans")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._state.heard(well=result is SpanExportResult.SUCCESS)
        return result


class _Durations(OTLPMetricExporter):
    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        super().__init__(
            endpoint, headers=dict(headers), timeout=ANSWER_S, compression=Compression.Gzip
        )
        self._state = _Heard("metrics")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._state.heard(well=result is MetricExportResult.SUCCESS)
        return result


def named(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes under names of our own; None is left out.

    >>> named({"bytes": 3, "looked_at": None})
    {'tidegauge.step.bytes': 3}
    """
    return {
        f"tidegauge.step.{name}": value for name, value in attributes.items() if value is not None
    }


def _at(endpoint: str, signal: str) -> str:
    """Return where a signal goes, by OpenTelemetry's rule for a base address.

    >>> _at("https://otel.example/in/", "traces")
    'https://otel.example/in/v1/traces'
    """
    return f"{endpoint.rstrip('/')}/v1/{signal}"
