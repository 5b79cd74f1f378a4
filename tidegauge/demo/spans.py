"""Turns as spans, each app in its own dialect, as the real instrumentations write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AnyValue, Attributes

from tidegauge.demo.traffic import (
    APPS,
    BILLING_BOT,
    CHECKOUT_BOT,
    SUPPORT_BOT,
    App,
    ModelCall,
    Turn,
)

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_RATE_LIMIT = "Error code: 429 - Rate limit reached for requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A span before the SDK: what an instrumentation would write, without ids and times."""

    scope: InstrumentationScope
    name: str
    kind: SpanKind
    attributes: Attributes
    error: str | None = None  # the exception's class; None: the call went well


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one instrumentation writes a turn: its wrapper span and its model calls."""

    wrapper: Callable[[App, Turn], Shape]
    call: Callable[[App, Turn, ModelCall], Shape]


def spans(app: App, turn: Turn) -> Iterator[ReadableSpan]:
    """Yield the finished spans of ``turn`` in the order in which they end: calls, then wrapper."""
    dialect = DIALECTS[app.service]
    parent = SpanContext(turn.trace_id, turn.span_id, is_remote=False, trace_flags=_SAMPLED)
    resource = RESOURCES[app.service, turn.calls[0].setup.release]
    for call in turn.calls:
        context = SpanContext(turn.trace_id, call.span_id, is_remote=False, trace_flags=_SAMPLED)
        shape = dialect.call(app, turn, call)
        yield _finished(shape, resource, context, parent, call.started_ns, call.ended_ns)
    shape = dialect.wrapper(app, turn)
    yield _finished(shape, resource, parent, None, turn.started_ns, turn.ended_ns)


def _finished(
    shape: Shape,
    resource: Resource,
    context: SpanContext,
    parent: SpanContext | None,
    started_ns: int,
    ended_ns: int,
) -> ReadableSpan:
    events = [Event("exception", _exception(shape), ended_ns)] if shape.error else []
    status = Status(StatusCode.ERROR, _RATE_LIMIT) if shape.error else Status()
    return ReadableSpan(
        name=shape.name,
        context=context,
        parent=parent,
        resource=resource,
        attributes=shape.attributes,
        events=events,
        kind=shape.kind,
        status=status,
        start_time=started_ns,
        end_time=ended_ns,
        instrumentation_scope=shape.scope,
    )


def _exception(shape: Shape) -> Attributes:
    return {
        "exception.type": str(shape.error),
        "exception.message": _RATE_LIMIT,
        "exception.escaped": "False",
    }


# OpenTelemetry's GenAI conventions, as opentelemetry-instrumentation-genai-openai 1.3b0 writes
# them; the prompt's name and version are set by the app itself.

_GENAI = InstrumentationScope("opentelemetry.instrumentation.genai.openai", "1.3b0")
_CHECKOUT_APP = InstrumentationScope("checkout_bot")


def _genai_wrapper(app: App, turn: Turn) -> Shape:
    return Shape(
        scope=_CHECKOUT_APP,
        name=f"invoke_agent {app.use_case}",
        kind=SpanKind.INTERNAL,
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.agent.name": app.use_case,
            "gen_ai.conversation.id": turn.session,
            "user.id": turn.user,
        },
    )


def _genai_call(app: App, turn: Turn, call: ModelCall) -> Shape:
    attributes: dict[str, AnyValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": app.model,
        "server.address": "api.openai.com",
        "server.port": 443,
        "gen_ai.request.max_tokens": call.setup.max_tokens,
        "gen_ai.request.temperature": 0.3,
        "gen_ai.request.stream": True,
        "gen_ai.prompt.name": app.use_case,
        "gen_ai.prompt.version": str(call.setup.prompt_version),
        "gen_ai.conversation.id": turn.session,
        "user.id": turn.user,
        "gen_ai.input.messages": _genai_messages(call),
    }
    if call.failed:
        return _failed(_GENAI, f"chat {app.model}", attributes, "openai.RateLimitError")
    reason = "length" if call.truncated else "stop"
    attributes |= {
        "gen_ai.response.finish_reasons": (reason,),
        "gen_ai.response.model": app.response_model,
        "gen_ai.response.id": f"chatcmpl-{call.response_id}",
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
        "gen_ai.response.time_to_first_chunk": call.first_token_s,
        "gen_ai.output.messages": _genai_answer(call, reason),
        "openai.response.service_tier": "default",
    }
    return Shape(
        scope=_GENAI, name=f"chat {app.model}", kind=SpanKind.CLIENT, attributes=attributes
    )


def _failed(
    scope: InstrumentationScope, name: str, attributes: dict[str, AnyValue], error: str
) -> Shape:
    return Shape(
        scope=scope,
        name=name,
        kind=SpanKind.CLIENT,
        attributes={**attributes, "error.type": error},
        error=error,
    )


def _part(text: str) -> list[dict[str, str]]:
    return [{"content": text, "type": "text"}]


def _genai_messages(call: ModelCall) -> str:
    said = (("system", call.setup.system), ("user", call.question))
    return json.dumps([{"role": role, "parts": _part(text)} for role, text in said])


def _genai_answer(call: ModelCall, reason: str) -> str:
    return json.dumps([{"role": "assistant", "parts": _part(call.answer), "finish_reason": reason}])


# OpenInference, as openinference-instrumentation-anthropic 3.1.0 writes it. The use case has no
# attribute there, so the app states it in its resource (OTEL_RESOURCE_ATTRIBUTES).

_OPENINFERENCE = InstrumentationScope("openinference.instrumentation.anthropic", "3.1.0")
_SUPPORT_APP = InstrumentationScope("support_bot")


def _openinference_wrapper(app: App, turn: Turn) -> Shape:
    return Shape(
        scope=_SUPPORT_APP,
        name=app.use_case,
        kind=SpanKind.INTERNAL,
        attributes={
            "openinference.span.kind": "CHAIN",
            "session.id": turn.session,
            "user.id": turn.user,
            "input.value": turn.calls[0].question,
            "output.value": turn.calls[-1].answer,
        },
    )


def _openinference_call(app: App, turn: Turn, call: ModelCall) -> Shape:
    asked = [{"role": "user", "content": call.question}]
    limit = {"max_tokens": call.setup.max_tokens}
    request = {"model": app.model, **limit, "system": call.setup.system, "messages": asked}
    attributes: dict[str, AnyValue] = {
        "openinference.span.kind": "LLM",
        "llm.provider": "anthropic",
        "llm.system": "anthropic",
        "input.value": json.dumps(request),
        "input.mime_type": "application/json",
        "llm.request.model_name": app.model,
        "llm.model_name": app.model,
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": call.setup.system,
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": call.question,
        "llm.invocation_parameters": json.dumps(limit),
        "session.id": turn.session,
        "user.id": turn.user,
    }
    if call.failed:
        return Shape(
            scope=_OPENINFERENCE,
            name="messages.create",
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            error="anthropic.RateLimitError",
        )
    reason = "max_tokens" if call.truncated else "end_turn"
    answer = "llm.output_messages.0.message"
    content = f"{answer}.contents.0.message_content"
    attributes |= {
        "llm.model_name": app.response_model,
        "llm.response.model_name": app.response_model,
        f"{answer}.role": "assistant",
        f"{content}.type": "text",
        f"{content}.text": call.answer,
        "llm.finish_reason": reason,
        "llm.token_count.prompt": call.input_tokens,
        "llm.token_count.completion": call.output_tokens,
        "llm.token_count.total": call.input_tokens + call.output_tokens,
        "output.value": _anthropic_answer(app, call, reason),
        "output.mime_type": "application/json",
    }
    return Shape(
        scope=_OPENINFERENCE,
        name="messages.create",
        kind=SpanKind.INTERNAL,
        attributes=attributes,
    )


def _anthropic_answer(app: App, call: ModelCall, reason: str) -> str:
    return json.dumps(
        {
            "id": f"msg_{call.response_id}",
            "content": [{"text": call.answer, "type": "text"}],
            "model": app.response_model,
            "role": "assistant",
            "stop_reason": reason,
            "type": "message",
            "usage": {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens},
        }
    )


# OpenLLMetry, as Traceloop's opentelemetry-instrumentation-openai 0.62.4 writes it.

_OPENLLMETRY = InstrumentationScope("opentelemetry.instrumentation.openai.v1", "0.62.4")
_TRACELOOP = InstrumentationScope("traceloop.tracer")


def _openllmetry_wrapper(app: App, turn: Turn) -> Shape:
    return Shape(
        scope=_TRACELOOP,
        name=f"{app.use_case}.workflow",
        kind=SpanKind.INTERNAL,
        attributes={
            **_associations(app, turn),
            "traceloop.span.kind": "workflow",
            "traceloop.entity.name": app.use_case,
        },
    )


def _associations(app: App, turn: Turn) -> dict[str, str]:
    return {
        "traceloop.workflow.name": app.use_case,
        "traceloop.association.properties.session_id": turn.session,
        "traceloop.association.properties.user_id": turn.user,
    }


def _openllmetry_call(app: App, turn: Turn, call: ModelCall) -> Shape:
    attributes: dict[str, AnyValue] = {
        **_associations(app, turn),
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": app.model,
        "gen_ai.request.max_tokens": call.setup.max_tokens,
        "gen_ai.is_streaming": False,
        "gen_ai.openai.api_base": "https://api.openai.com/v1/",
        "gen_ai.input.messages": _genai_messages(call),
    }
    if call.failed:
        return _failed(_OPENLLMETRY, "openai.chat", attributes, "RateLimitError")
    reason = "length" if call.truncated else "stop"
    attributes |= {
        "gen_ai.response.model": app.response_model,
        "gen_ai.response.id": f"chatcmpl-{call.response_id}",
        "gen_ai.response.finish_reasons": (reason,),
        "gen_ai.usage.total_tokens": call.input_tokens + call.output_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning_tokens": 0,
        "gen_ai.output.messages": _genai_answer(call, reason),
    }
    return Shape(
        scope=_OPENLLMETRY, name="openai.chat", kind=SpanKind.CLIENT, attributes=attributes
    )


DIALECTS = {
    CHECKOUT_BOT.service: Dialect(_genai_wrapper, _genai_call),
    SUPPORT_BOT.service: Dialect(_openinference_wrapper, _openinference_call),
    BILLING_BOT.service: Dialect(_openllmetry_wrapper, _openllmetry_call),
}


def _resource(app: App, release: str) -> Resource:
    stated = {"tidegauge.use_case": app.use_case} if app is SUPPORT_BOT else {}
    return Resource.create(
        {
            "service.name": app.service,
            "service.version": release,
            "deployment.environment.name": "production",
            **stated,
        }
    )


#: One resource object per release: exporters group spans by it.
RESOURCES = {
    (app.service, setup.release): _resource(app, setup.release)
    for app in APPS
    for setup in (app.before, app.after)
}
