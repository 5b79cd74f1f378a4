"""What the real OpenTelemetry exporters send is stored, with the answer they take for success."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from bench.servers import Collector
from tidegauge.call import Call
from tidegauge.store import spans
from tidegauge.store.engine import open_engine, read


class Recorded(SpanExporter):
    """Sends through a real exporter, and remembers its results."""

    def __init__(self, through: SpanExporter) -> None:
        self._through = through
        self.results: list[SpanExportResult] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._through.export(spans)
        self.results.append(result)
        return result

    def shutdown(self) -> None:
        self._through.shutdown()


def over_http(compression: Compression) -> Callable[[Collector], SpanExporter]:
    return lambda collector: HttpExporter(
        endpoint=f"http://{collector.http}/v1/traces", compression=compression
    )


def over_grpc(compression: grpc.Compression) -> Callable[[Collector], SpanExporter]:
    return lambda collector: GrpcExporter(
        endpoint=f"http://{collector.grpc}", insecure=True, compression=compression
    )


EXPORTERS = {
    "HTTP": over_http(Compression.NoCompression),
    "HTTP, gzip": over_http(Compression.Gzip),
    "HTTP, deflate": over_http(Compression.Deflate),
    "gRPC": over_grpc(grpc.Compression.NoCompression),
    "gRPC, gzip": over_grpc(grpc.Compression.Gzip),
}


def send(exporter: SpanExporter, service: str) -> list[SpanExportResult]:
    """Trace an agent with one model call."""
    recorded = Recorded(exporter)
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(recorded))
    tracer = provider.get_tracer("test")
    with (
        tracer.start_as_current_span("invoke_agent shop") as agent,
        tracer.start_as_current_span("chat gpt-4o") as chat,
    ):
        agent.set_attribute("gen_ai.operation.name", "invoke_agent")
        chat.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.output_tokens": 34,
                "gen_ai.response.finish_reasons": ["stop"],
            }
        )
    provider.shutdown()
    return recorded.results


def calls_of(url: str, service: str) -> list[Call]:
    engine = open_engine(url)
    with read(engine) as db:
        found = spans.calls(db, "default", spans.Filter(service=service, all_spans=True))
    engine.dispose()
    return found


def test_every_exporter_is_acknowledged_and_stored(url: str) -> None:
    with Collector(url) as collector:
        for name, exporter in EXPORTERS.items():
            assert send(exporter(collector), name) == [SpanExportResult.SUCCESS] * 2
    for name in EXPORTERS:
        agent, chat = sorted(calls_of(url, name), key=lambda call: call.not_counted is None)
        assert chat.parent_span_id == agent.span_id
        assert (chat.input_tokens, chat.output_tokens) == (120, 34)
        assert chat.request_model == "gpt-4o"
        assert agent.not_counted is not None


@pytest.mark.parametrize("name", ["HTTP", "gRPC"])
def test_an_exporter_delivers_once_a_locked_database_is_free(name: str, sqlite_url: str) -> None:
    from pysqlite3 import dbapi2 as sqlite

    with Collector(sqlite_url, answer_within_s="0.3") as collector:
        lock = sqlite.connect(
            sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
        )
        lock.execute("BEGIN IMMEDIATE")
        import threading

        unlock = threading.Timer(0.8, lock.close)
        unlock.start()
        results = send(EXPORTERS[name](collector), name)
        unlock.join()
        assert results == [SpanExportResult.SUCCESS] * 2
    assert len(calls_of(sqlite_url, name)) == 2
