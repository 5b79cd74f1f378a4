"""The cases of the corpus of recorded payloads, read through every step up to what is stored."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from collector import otlp_logs, wire_walk
from collector.dialects import normalise
from collector.enrich import enrich
from collector.json_budget import JsonBudget
from collector.limits import DEFAULT, inflate, walk_json
from collector.otlp import read_spans
from collector.raw import RawSpan
from collector.wire import Group
from tidegauge.call import Call
from tidegauge.log_event import LogEvent
from tidegauge.pricing import cost_usd
from tidegauge.settle import settle

Truth = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One recorded scenario: what was sent, and what the model server really did."""

    meta: Path

    @cached_property
    def told(self) -> dict[str, Any]:
        """Return the description of the case."""
        told: dict[str, Any] = json.loads(self.meta.read_text(encoding="utf-8"))
        return told

    @property
    def instrumentation(self) -> str:
        """Return the name of its folder."""
        return self.meta.parent.name

    @property
    def name(self) -> str:
        """Return ``instrumentation/case``."""
        return f"{self.instrumentation}/{self.meta.name.removesuffix('.meta.json')}"

    @property
    def truth(self) -> Truth:
        """Return what the model server did."""
        truth: Truth = self.told["truth"]
        return truth

    @property
    def readable(self) -> bool:
        """Return whether anything of its calls was sent: of some only the metrics were."""
        return "reference_reading" in self.told

    def reference(self, name: str) -> list[int]:
        """Return [right, asked] of a careful reading of this payload."""
        fields = (self.told.get("reference_reading") or {}).get("fields", {})
        return list(fields.get(name, [0, 0]))

    def bodies(self, signal: str) -> Iterator[tuple[bytes, bool]]:
        """Return each request of a signal, inflated, and whether it is JSON."""
        for payload in self.told["payloads"]:
            if payload["signal"] == signal:
                sent = (self.meta.parent / payload["file"]).read_bytes()
                yield inflate(sent, payload["content_encoding"]), payload["file"].endswith(".json")

    def spans(self) -> list[RawSpan]:
        """Return all spans of the case, in the order in which they came."""
        found: list[RawSpan] = []
        for body, is_json in self.bodies("traces"):
            if is_json:
                walk_json(body)
            decoded = read_spans(body, json=is_json)
            assert decoded.rejected == [], self.name
            budget = JsonBudget(DEFAULT.fields)  # one for each request
            found += [budget.checked(raw) for raw in decoded.spans]
        return found

    def logs(self) -> list[Group[LogEvent]]:
        """Return what the log records of the case tell: events, and calls that no span tells of."""
        found: list[Group[LogEvent]] = []
        for body, is_json in self.bodies("logs"):
            if is_json:
                walk_json(body)
            else:
                wire_walk.walk(body, wire_walk.LOGS, DEFAULT)
            found += otlp_logs.read(body, "bench", json=is_json)
        return found

    def events(self) -> list[LogEvent]:
        """Return all events of the case, in the order in which they came."""
        return [event for group in self.logs() for event in group.kept]

    def raws(self) -> list[RawSpan]:
        """Return all spans of the case, and the calls that log records alone tell of."""
        return self.spans() + [raw for group in self.logs() for raw in group.calls]

    def records(self) -> list[Call]:
        """Return every span of the case as it is stored at last, wrappers too."""
        told = [normalise(raw, "bench", cost_usd) for raw in self.raws()]
        return settle(joined(told, self.events()))

    def calls(self) -> list[Call]:
        """Return the model calls of the case, each once."""
        return [call for call in self.records() if call.not_counted is None]


def joined(calls: Iterable[Call], events: Iterable[LogEvent]) -> list[Call]:
    """Return the calls with what the log events of their spans say."""
    by_span: dict[tuple[str, str], dict[str, LogEvent]] = defaultdict(dict)
    for number, event in enumerate(events):
        by_span[event.trace_id, event.span_id][f"{number:06}"] = event
    return [_enriched(call, by_span.get((call.trace_id, call.span_id), {})) for call in calls]


def _enriched(call: Call, events: dict[str, LogEvent]) -> Call:
    enriched = enrich(call, events) if events else call
    assert enriched is not None  # all its events are there
    return enriched


def cases(directory: Path, only: Sequence[str] = ()) -> list[Case]:
    """Return the cases of a folder, or of some of its instrumentations."""
    metas = sorted(directory.glob("*/*.meta.json"))
    return [Case(meta) for meta in metas if not only or meta.parent.name in only]
