"""OTLP requests as agents send them: agent, chat and tool spans, about 3 KB each."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")
_USE_CASES = ("answer", "triage", "summary", "extract")
_WORDS = (  # noqa: SIM905  (as a list they would fill the page)
    "order invoice customer refund delivery please check the status of my last payment and tell "
    "when it will arrive because the tracking page has shown nothing since Monday morning thank "
    "you we looked into it parcel left warehouse tomorrow according carrier policy allows return"
).split()

Key = tuple[bytes, bytes]  # trace_id, span_id


@dataclass(frozen=True, slots=True)
class Body:
    """One request and what is in it."""

    raw: bytes  # protobuf
    packed: bytes  # gzip of it
    keys: Sequence[Key]


def build(spans: int, seed: int) -> Body:
    """Return a request of ``spans`` spans whose ids no other seed has."""
    rng = random.Random(seed)
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(
        _attributes(
            {
                "service.name": f"shop-{seed % 4}",
                "service.version": "1.4.2",
                "deployment.environment.name": "production",
            }
        )
    )
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2"
    while len(scope.spans) < spans:
        scope.spans.extend(_trace(rng)[: spans - len(scope.spans)])
    raw = request.SerializeToString()
    keys = [(span.trace_id, span.span_id) for span in scope.spans]
    return Body(raw, gzip.compress(raw, 6), keys)


def _trace(rng: random.Random) -> list[Span]:
    """Return an agent with two model calls and a tool."""
    trace_id, agent_id = rng.randbytes(16), rng.randbytes(8)
    began = time.time_ns() - rng.randrange(3_600_000_000_000)
    made = [("invoke_agent shop", agent_id, b"", _agent(rng))]
    made += [(f"chat {(a := _chat(rng))['gen_ai.request.model']}", b"", agent_id, a)]
    made += [("execute_tool lookup", b"", agent_id, _tool(rng))]
    made += [(f"chat {(a := _chat(rng))['gen_ai.request.model']}", b"", agent_id, a)]
    return [
        Span(
            trace_id=trace_id,
            span_id=span_id or rng.randbytes(8),
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=began,
            end_time_unix_nano=began + rng.randrange(200_000_000, 9_000_000_000),
            attributes=_attributes(attributes),
        )
        for name, span_id, parent, attributes in made
    ]


def _chat(rng: random.Random) -> dict[str, Any]:
    model = rng.choice(_MODELS)
    return {
        **_common(rng, "chat"),
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": f"{model}-2026-01-01",
        "gen_ai.response.id": f"chatcmpl-{rng.getrandbits(64):x}",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.usage.input_tokens": rng.randrange(200, 4000),
        "gen_ai.usage.output_tokens": rng.randrange(20, 900),
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.output.type": "text",
        "gen_ai.system_instructions": _text("system", "You help customers of a shop.", 200, rng),
        "gen_ai.input.messages": _text("user", "", rng.randrange(100, 600), rng),
        "gen_ai.output.messages": _text("assistant", "", rng.randrange(20, 150), rng),
    }


def _agent(rng: random.Random) -> dict[str, Any]:
    return {**_common(rng, "invoke_agent"), "gen_ai.agent.name": "shop", "gen_ai.agent.id": "a1"}


def _tool(rng: random.Random) -> dict[str, Any]:
    return {
        **_common(rng, "execute_tool"),
        "gen_ai.tool.name": "lookup",
        "gen_ai.tool.call.arguments": _words(rng, 20),
        "gen_ai.tool.call.result": _words(rng, 150),
    }


def _common(rng: random.Random, operation: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": operation,
        "tidegauge.use_case": rng.choice(_USE_CASES),
        "gen_ai.conversation.id": f"conv-{rng.randrange(1000)}",
        "user.id": f"user-{rng.randrange(1000)}",
        "server.address": "api.example.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "thread.id": rng.randrange(64),
        "code.function.name": "handle_message",
        "app.tenant": f"tenant-{rng.randrange(20)}",
        "app.feature": "support-chat",
        "app.retry": 0,
        "app.region": "eu-west-1",
    }


def _text(role: str, start: str, words: int, rng: random.Random) -> str:
    content = f"{start} {_words(rng, words)}"
    parts = [{"type": "text", "content": content}]
    return orjson.dumps([{"role": role, "parts": parts}]).decode()


def _words(rng: random.Random, number: int) -> str:
    return " ".join(rng.choices(_WORDS, k=number))


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
    whole = AnyValue()
    whole.array_value.values.extend(_any(item) for item in value)
    return whole
