"""OTLP requests as agents send them: agent, chat and tool spans, about 3.4 KB each."""

from __future__ import annotations

import base64
import gzip
import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")
_USE_CASES = ("answer", "triage", "summary", "extract")
_CONSONANTS, _VOWELS = "bcdfghklmnprstvwz", "aeiou"
_VOCABULARY = 3000


def _vocabulary() -> list[str]:
    """Return made-up words of one to four syllables, the same ones every time."""
    rng = random.Random(1)
    syllables = [a + b + c for a in _CONSONANTS for b in _VOWELS for c in ("", "", "n", "r", "s")]
    return ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(_VOCABULARY)]


# Few words said often and many said seldom, as in prose: else gzip makes too much or too little
# of them.
_WORDS = _vocabulary()
_HOW_OFTEN = list(itertools.accumulate(1 / (rank + 10) for rank in range(_VOCABULARY)))
_MESSAGE_WORDS = (75, 1200)  # 0.5 to 8 KB

Key = tuple[bytes, bytes]  # trace_id, span_id


@dataclass(frozen=True, slots=True)
class Body:
    """One request and what is in it."""

    raw: bytes  # protobuf, or JSON where that was asked for
    packed: bytes  # gzip of it
    keys: Sequence[Key]


def build(spans: int, seed: int, *, json: bool = False) -> Body:
    """Return a request of ``spans`` spans whose ids, of traces and of spans, no other seed has."""
    request = _request(spans, seed)
    keys = [(s.trace_id, s.span_id) for s in request.resource_spans[0].scope_spans[0].spans]
    raw = _as_json(request) if json else request.SerializeToString()
    return Body(raw, gzip.compress(raw, 6), keys)


def fresh(spans: int, size: int, seeds: Iterator[int], *, json: bool = False) -> list[Body]:
    """Return about ``spans`` spans in requests of ``size``, at least one; a seed for each."""
    return [build(size, next(seeds), json=json) for _ in range(max(spans // size, 1))]


def _request(spans: int, seed: int) -> ExportTraceServiceRequest:
    rng = random.Random(seed)
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(
        _attributes(
            {
                "service.name": f"shop-{seed % 4}",
                "service.version": "1.4.2",
                "deployment.environment.name": "production",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
                "telemetry.sdk.version": "1.38.0",
            }
        )
    )
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2"
    while len(scope.spans) < spans:
        scope.spans.extend(_trace(rng)[: spans - len(scope.spans)])
    return request


def _as_json(request: ExportTraceServiceRequest) -> bytes:
    """Return OTLP/JSON: protobuf's JSON, but with ids in hexadecimal."""
    found = MessageToDict(request, use_integers_for_enums=True)
    for one in found["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in one:
                one[name] = base64.b64decode(one[name]).hex()
    return orjson.dumps(found)


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
        "gen_ai.system_instructions": _text("system", "You help customers of a shop.", 60, rng),
        "gen_ai.input.messages": _text("user", "", _length(rng), rng),
        "gen_ai.output.messages": _text("assistant", "", rng.randrange(20, 110), rng),
    }


def _agent(rng: random.Random) -> dict[str, Any]:
    return {
        **_common(rng, "invoke_agent"),
        "gen_ai.agent.name": "shop",
        "gen_ai.agent.id": "a1",
        "gen_ai.agent.description": "Answers customers of a shop.",
        "gen_ai.agent.version": "7",
        "gen_ai.data_source.id": "orders",
        "gen_ai.input.messages": _text("user", "", rng.randrange(30, 90), rng),
        "gen_ai.output.messages": _text("assistant", "", rng.randrange(20, 60), rng),
    }


def _tool(rng: random.Random) -> dict[str, Any]:
    return {
        **_common(rng, "execute_tool"),
        "gen_ai.tool.name": "lookup",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Looks up an order by its number.",
        "gen_ai.tool.call.id": f"call_{rng.getrandbits(64):x}",
        "gen_ai.tool.call.arguments": _words(rng, 20),
        "gen_ai.tool.call.result": _words(rng, rng.randrange(40, 220)),
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
        "thread.name": f"worker-{rng.randrange(8)}",
        "code.function.name": "handle_message",
        "code.file.path": "shop/agents/support.py",
        "code.line.number": rng.randrange(20, 400),
        "app.tenant": f"tenant-{rng.randrange(20)}",
        "app.feature": "support-chat",
        "app.retry": 0,
        "app.cached": False,
        "app.region": "eu-west-1",
        "app.plan": "team",
        "app.queue_ms": round(rng.random() * 40, 3),
    }


def _length(rng: random.Random) -> int:
    """Return a number of words: most messages are short, a few are long."""
    shortest, longest = _MESSAGE_WORDS
    return int(shortest * (longest / shortest) ** rng.random() ** 1.4)


def _text(role: str, start: str, words: int, rng: random.Random) -> str:
    content = f"{start} {_words(rng, words)}"
    parts = [{"type": "text", "content": content}]
    return orjson.dumps([{"role": role, "parts": parts}]).decode()


def _words(rng: random.Random, number: int) -> str:
    return " ".join(rng.choices(_WORDS, cum_weights=_HOW_OFTEN, k=number))


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
