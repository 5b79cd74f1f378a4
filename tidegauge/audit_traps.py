"""What certain libraries are known to leave out or get wrong, and how each is told to send content.

Seen on the wire at the version named, or read in the library's source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

_GENAI = (
    "Set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY ('true' for versions that "
    "send gen_ai.system, which then need their logs exported, too)."
)
_TRACELOOP = "Set TRACELOOP_TRACE_CONTENT=true."

#: How an application sends its messages, by dialect.
CONTENT: Mapping[str, str] = MappingProxyType(
    {
        "genai": _GENAI,
        "openllmetry": _TRACELOOP,
        "openinference": "Unset OPENINFERENCE_HIDE_INPUTS and OPENINFERENCE_HIDE_OUTPUTS, and what "
        "else of OPENINFERENCE_HIDE_* is set.",
        "anthropic_sdk": "Set ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE=content.",
        "haystack": "Set HAYSTACK_CONTENT_TRACING_ENABLED=true: without it there is no model and no "
        "token count either.",
        "semantic_kernel": "Set SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE="
        "true, and export logs: the messages are there.",
        "azure_ai": "Set AZURE_TRACING_GEN_AI_CONTENT_RECORDING_ENABLED=true.",
        "google_adk": "Set ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true, and export logs.",
        "ms_agent_framework": "Set ENABLE_SENSITIVE_DATA=true.",
        "pydantic_ai": "Leave include_content of InstrumentationSettings at true.",
        "vercel_ai": "Leave recordInputs and recordOutputs of experimental_telemetry at true.",
        "openlit": "Pass capture_message_content=True to openlit.init().",
        "litellm": "Unset litellm.turn_off_message_logging.",
        "langsmith": "Unset LANGSMITH_HIDE_INPUTS and LANGSMITH_HIDE_OUTPUTS.",
        "langfuse": "Take the mask out of the Langfuse client, if there is one.",
        "mlflow": "Update MLflow: it records inputs and outputs by itself.",
        "strands": "Update Strands, and send span events: the messages are there.",
        "spring_ai": "Spring AI logs prompts and completions and does not trace them "
        "(spring.ai.chat.observations.log-prompt).",
        "vllm": "vLLM does not send messages: instrument the client, too.",
    }
)
CONTENT_OF_OTHERS = (
    "Look for the instrumentation's switch for message content; by OpenTelemetry's conventions it "
    "is OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT."
)


class Trap(NamedTuple):
    """One known fault. ``before``: the first version without it, None: not known of any."""

    rule: str
    libraries: tuple[str, ...]  # how the scope's name begins, or all of it where it ends in "$"
    meaning: str
    fix: str
    before: str | None = None


_JS_OPENAI = "@opentelemetry/instrumentation-openai"

TRAPS: tuple[Trap, ...] = (
    Trap(
        "responses_incomplete_lost",
        ("opentelemetry.instrumentation.openai.",),
        "Traceloop never ends the span of a Responses call that is not streamed and ends "
        "incomplete (seen in 0.62.4): such cut answers are not here at all.",
        "Stream Responses calls that may reach max_output_tokens, or use "
        "opentelemetry-instrumentation-genai-openai.",
    ),
    Trap(
        "legacy_streams",
        ("opentelemetry.instrumentation.openai.", "opentelemetry.instrumentation.anthropic$"),
        "Old Traceloop: streams have no token counts, streams that break and Anthropic's errors "
        "send no span.",
        "Update to 0.55 or later.",
        before="0.54",
    ),
    Trap(
        "anthropic_stream_plus_one",
        ("opentelemetry.instrumentation.anthropic$",),
        "Traceloop counts one output token too many on Anthropic's streams (seen in 0.62.4).",
        "Nothing to do for alerts; for exact cost let the SDK's own spans count "
        "(anthropic 2 or later).",
    ),
    Trap(
        "responses_not_instrumented",
        ("opentelemetry.instrumentation.openai_v2",),
        "It does not instrument the Responses API (seen in 2.4b0): such calls are not here at all. "
        "It does not tell cached or reasoning tokens either.",
        "Use opentelemetry-instrumentation-genai-openai.",
    ),
    Trap(
        "js_truncation_lost",
        (_JS_OPENAI,),
        "A Responses call that was cut off says that it ended by itself (seen in 0.21.0): "
        "truncation is missed. No cached or reasoning tokens.",
        "Use Chat Completions where truncation matters, or another instrumentation.",
    ),
    Trap(
        "js_errors_lost",
        ("@traceloop/instrumentation-openai", "@arizeai/openinference-instrumentation-openai"),
        "Calls that fail send no span, and streams no token counts: the error rate reads 0.",
        "Watch errors at the caller, or use another instrumentation.",
    ),
    Trap(
        "no_reason_without_stream",
        ("langfuse",),
        "Langfuse sends no finish reason for calls that are not streamed: truncation is only "
        "inferred, from max_tokens.",
        "Set max_tokens on every request.",
    ),
    Trap(
        "closed_streams_lost",
        ("openlit.", "mlflow"),
        "A stream that the client closes sends nothing at all: such calls are not here.",
        "Read streams to their end.",
    ),
    Trap(
        "defaults_invented",
        ("openlit.",),
        "It writes parameters that nobody set (temperature 1.0, top_p 1.0, max_tokens -1), and "
        "estimates token counts where none were sent.",
        "Set stream_options={'include_usage': true}; do not read its parameters as choices.",
    ),
    Trap(
        "responses_stream_empty",
        ("openinference.instrumentation.openai$",),
        "A Responses stream that ends incomplete has no tokens, no finish reason and no output "
        "(seen in 0.1.66).",
        "Do not stream Responses calls that may reach max_output_tokens.",
    ),
    Trap(
        "automatic_function_calling",
        ("opentelemetry.instrumentation.google_genai",),
        "Automatic function calling makes several calls and one span, with the tokens of one.",
        "Switch automatic function calling off and call the functions yourself.",
    ),
    Trap(
        "no_model_in_server_spans",
        ("vllm.",),
        "vLLM's spans name no model and no finish reason.",
        "Instrument the client, too: its span and the server's are then one call.",
    ),
)


def traps_of(library: str | None, version: str | None) -> Iterator[Trap]:
    """Yield what is known of a library.

    >>> [trap.rule for trap in traps_of("openinference.instrumentation.openai", "0.1.66")]
    ['responses_stream_empty']
    """
    for trap in TRAPS if library else ():
        if any(_is(library or "", one) for one in trap.libraries) and _older(version, trap.before):
            yield trap


def _is(library: str, begins: str) -> bool:
    return library == begins[:-1] if begins.endswith("$") else library.startswith(begins)


def _older(version: str | None, than: str | None) -> bool:
    """Return whether a version is older; one that is not known is not said to be.

    >>> _older("0.38.7", "0.54"), _older("0.62.4", "0.54"), _older(None, "0.54"), _older(None, None)
    (True, False, False, True)
    """
    if than is None:
        return True
    return version is not None and _numbers(version) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    # Few digits and few parts: what a sender calls its version may be any text.
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", version[:40]))
