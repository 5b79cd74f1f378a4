"""A program that sends known spans through an exporter: ``python send.py OPTIONS-AS-JSON``.

It runs in the environment of that exporter, so it uses nothing of ours. For every line of its
standard input it exports one batch, whose service has that line as its name, and prints a line of
JSON: ``{"ok": true, "trace_id": "..."}``.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

MODULES = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
    "http/json": "opentelemetry.exporter.otlp.json.http",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
}


def exporter(options: dict[str, Any]) -> SpanExporter:
    module = MODULES[options["protocol"]]
    if options["protocol"] == "grpc":
        import grpc

        pressed = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}
        extra = {"compression": pressed[options["compression"]], "insecure": True}
    else:
        home = "opentelemetry.exporter.otlp.common.http" if module.count("json") else module
        extra = {"compression": import_module(home).Compression(options["compression"])}
    kind = import_module(f"{module}.trace_exporter").OTLPSpanExporter
    made: SpanExporter = kind(endpoint=options["endpoint"], **extra)
    return made


def record(tracer: Tracer, options: dict[str, Any]) -> None:
    began, ended = int(options["began_ns"]), int(options["ended_ns"])
    linked = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    agent = tracer.start_span(
        "invoke_agent shop", start_time=began, attributes={"gen_ai.operation.name": "invoke_agent"}
    )
    chat = tracer.start_span(
        "chat gpt-4o",
        context=set_span_in_context(agent),
        kind=SpanKind.CLIENT,
        start_time=began,
        attributes=options["attributes"],
        links=[Link(linked, {"why": "retry"})],
    )
    if options["bytes"]:
        chat.set_attribute("app.bytes", bytes.fromhex(options["bytes"]))
    chat.add_event("cache.miss", {"tries": 2, "keys": ["a", "ß"]}, timestamp=began + 1_000)
    chat.set_status(Status(StatusCode.ERROR, "kaputt: 壊れた"))
    chat.end(end_time=ended)
    agent.end(end_time=ended)


def spans(service: str, options: dict[str, Any]) -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    resource = Resource.create({"service.name": service, **options["resource"]})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    record(provider.get_tracer("known.client", "1.2.3"), options)
    return list(memory.get_finished_spans())


def main() -> None:
    options = json.loads(sys.argv[1])
    through = exporter(options)
    for line in sys.stdin:
        batch = spans(line.strip(), options)
        ok = through.export(batch) is SpanExportResult.SUCCESS
        context = batch[0].context
        assert context is not None
        print(json.dumps({"ok": ok, "trace_id": f"{context.trace_id:032x}"}), flush=True)
    through.shutdown()


if __name__ == "__main__":
    main()
