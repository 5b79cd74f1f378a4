// Known spans from a web page: bundled with the SDK for browsers, started by the test.
import { ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { WebTracerProvider } from "@opentelemetry/sdk-trace-web";

// Returns the trace's id once the exporter was answered; fails where the exporter does.
window.send = async ({ url, headers, timeoutMillis, attributes }) => {
  const exporter = new OTLPTraceExporter({ url, headers, timeoutMillis });
  const answered = new Promise((resolve, reject) => {
    const send = exporter.export.bind(exporter);
    exporter.export = (spans, done) =>
      send(spans, (result) => {
        done(result);
        if (result.code === 0) resolve();
        else reject(result.error);
      });
  });
  const provider = new WebTracerProvider({
    resource: resourceFromAttributes({ "service.name": "page" }),
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer("known.page", "1.0.0");
  const span = tracer.startSpan("chat gpt-4o", { kind: SpanKind.CLIENT, attributes }, ROOT_CONTEXT);
  span.end();
  await answered;
  return trace.getSpanContext(trace.setSpan(ROOT_CONTEXT, span)).traceId;
};
