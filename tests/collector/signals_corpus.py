"""Requests of logs and metrics that real libraries sent, with the spans of the same calls."""

from __future__ import annotations

from collections import defaultdict

from bench.corpus_archive import folder
from collector import otlp_logs
from collector.dialects import normalise
from collector.limits import inflate
from collector.otlp import read_spans
from tidegauge.call import Call
from tidegauge.log_event import LogEvent

CASES = (
    "otel-openai-v2/chat_tools",
    "otel-openai-v2/chat_length",
    "otel-openai-v2-latest/chat_length",
    "otel-botocore-bedrock/converse_tools",
    "google-adk/agent_tools",
)

Span = tuple[str, str]


def files(signal: str) -> list[str]:
    """Return the names of all requests of a signal that are protobuf."""
    return sorted(
        path.relative_to(folder()).as_posix() for path in folder().glob(f"*/*.{signal}-*.bin")
    )


def body(file: str) -> bytes:
    """Return a request as it was before it was compressed."""
    raw = (folder() / file).read_bytes()
    return inflate(raw, "gzip" if raw[:2] == b"\x1f\x8b" else None)


def calls(case: str) -> list[Call]:
    """Return the model calls of a case, as their spans alone make them."""
    spans = read_spans(body(f"{case}.traces-1.bin"), json=False).spans
    found = [normalise(raw, "p") for raw in spans]
    return sorted(
        (call for call in found if call.not_counted is None), key=lambda call: call.started_at
    )


def log_events(case: str) -> list[LogEvent]:
    """Return the events of a case, in the order in which they came."""
    groups = otlp_logs.read(body(f"{case}.logs-1.bin"), "p", json=False)
    return [event for group in groups for event in group.kept]


def by_span(events: list[LogEvent]) -> dict[Span, dict[str, LogEvent]]:
    """Return events by their span; their ids say nothing of their order."""
    found: dict[Span, dict[str, LogEvent]] = defaultdict(dict)
    for number, event in enumerate(events):
        found[event.trace_id, event.span_id][f"{number * 7919 % 997:03}"] = event
    return found
