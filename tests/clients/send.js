// A program that sends known spans through an exporter: what send.py is, for Node.
"use strict";

const readline = require("node:readline");
const api = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");

const options = JSON.parse(process.argv[2]);
// SDK 3 has one package for what SDK 2 has in two, and another name for the provider.
const sdk = require(options.sdk);
const TracerProvider = sdk.TracerProvider ?? sdk.BasicTracerProvider;

function exporter() {
  const name = { "http/json": "http", "http/protobuf": "proto", grpc: "grpc" }[options.protocol];
  const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${name}`);
  return new OTLPTraceExporter({ url: options.endpoint, compression: options.compression });
}

function hrTime(ns) {
  return [Number(BigInt(ns) / 1_000_000_000n), Number(BigInt(ns) % 1_000_000_000n)];
}

function record(tracer) {
  const began = hrTime(options.began_ns);
  const ended = hrTime(options.ended_ns);
  const linked = { traceId: "abc".padStart(32, "0"), spanId: "def".padStart(16, "0"), traceFlags: 1 };
  const agent = tracer.startSpan("invoke_agent shop", {
    startTime: began,
    attributes: { "gen_ai.operation.name": "invoke_agent" },
  });
  const chat = tracer.startSpan(
    "chat gpt-4o",
    {
      kind: api.SpanKind.CLIENT,
      startTime: began,
      attributes: options.attributes,
      links: [{ context: linked, attributes: { why: "retry" } }],
    },
    api.trace.setSpan(api.ROOT_CONTEXT, agent),
  );
  if (options.bytes) chat.setAttribute("app.bytes", Uint8Array.from(Buffer.from(options.bytes, "hex")));
  chat.addEvent("cache.miss", { tries: 2, keys: ["a", "ß"] }, [began[0], began[1] + 1_000]);
  chat.setStatus({ code: api.SpanStatusCode.ERROR, message: "kaputt: 壊れた" });
  chat.end(ended);
  agent.end(ended);
}

function spans(service) {
  const ended = [];
  const collect = {
    onStart() {},
    onEnd: (span) => ended.push(span),
    forceFlush: async () => {},
    shutdown: async () => {},
  };
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": service, ...options.resource }),
    spanProcessors: [collect],
  });
  record(provider.getTracer("known.client", "1.2.3"));
  return ended;
}

async function main() {
  const through = exporter();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const batch = spans(line.trim());
    const result = await new Promise((resolve) => through.export(batch, resolve));
    const traceId = batch[0].spanContext().traceId;
    console.log(JSON.stringify({ ok: result.code === 0, trace_id: traceId }));
  }
  await through.shutdown();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
