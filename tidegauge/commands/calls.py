"""``tidegauge calls``: the record of each call, as JSON lines or as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from tidegauge.call import Call
from tidegauge.commands.tables import plain, printable
from tidegauge.score import Score
from tidegauge.store import scores
from tidegauge.store.engine import Engine, read
from tidegauge.store.spans import Filter, pages

#: The record's fields in their order, and what stands there; docs/calls.md lists them.
RECORD = {
    "project": "of the key, or of `TIDEGAUGE_PROJECT`",
    "trace_id": "32 hex digits",
    "span_id": "16 hex digits",
    "parent_span_id": "16 hex digits",
    "started_at": "ISO 8601, UTC",
    "duration_s": "seconds",
    "library": "the instrumentation scope that wrote the span",
    "library_version": "its version",
    "service": "`service.name`",
    "service_version": "`service.version`",
    "environment": "`deployment.environment.name`; `default` where none is told",
    "use_case": "what the call is for; `default` where nothing names it",
    "use_case_from": "what named it: `said`, `prompt`, `agent`, `parent`, `root`",
    "user_id": "as the application says",
    "session_id": "session or conversation",
    "dialect": "the convention that the span speaks: docs/dialects.md",
    "operation": "`chat`, `text_completion`, `generate_content`, `embeddings`, `rerank`",
    "provider": "who served it, in the words of OpenTelemetry",
    "request_model": "the model asked for",
    "response_model": "the model that answered",
    "response_id": "the provider's id of the answer",
    "service_tier": "`batch`, `flex`, `priority`, ...: other prices",
    "attempts": "how often it was tried, where that is known",
    "duplicate_of": "of a span that is not counted: trace and span id of the one that is",
    "input_tokens": "with cached tokens and those written to the cache",
    "output_tokens": "with reasoning",
    "cached_input_tokens": "part of the input",
    "cache_write_tokens": "part of the input",
    "reasoning_tokens": "part of the output",
    "tokens_audit": "`ok`, `adjusted`, `unsure`",
    "tokens_audit_rule": "which rule said so",
    "streaming": "true, false",
    "time_to_first_token_s": "seconds",
    "time_per_output_token_s": "seconds, after the first token",
    "finish_reasons": "a list, one for each choice",
    "truncated": "true, false",
    "truncation_evidence": "what that rests on",
    "truncation_confidence": "0 to 1: how sure the evidence is that the answer was cut",
    "error_type": "null: no error",
    "status_code": "HTTP",
    "temperature": "as asked for",
    "top_p": "as asked for",
    "max_tokens": "as asked for",
    "stop_sequences": "as asked for",
    "output_type": "`json`, `text`: as asked for",
    "output_kind": "what the answer is, by the look of it",
    "output_script": "the script of most of its letters",
    "output_valid": "whether JSON that was asked for is JSON, and fits its schema",
    "repetition": "0 to 1",
    "prompt_name": "as the application says",
    "prompt_version": "as the application says",
    "prompt_checksum": "one for each prompt, whatever is filled in",
    "input_checksum": "one for each exact input",
    "cost_usd": "US dollars, by our prices",
    "app_cost_usd": "US dollars, as the application says",
    "input": "the messages sent",
    "output": "the messages received",
    "attributes": "all else that the span carried",
    "scores": "a list: `name`, `value`, `label`, `source`, `annotator`, `error_type`",
}
FIELDS = tuple(RECORD)
TABLE_ROWS = 50
_SCORED = 500  # calls whose scores are read at once
_NAMES, _NUMBERS = ("service", "use case", "model"), ("seconds", "in", "out", "USD")
_COLUMNS = ("started (UTC)", *_NAMES, *_NUMBERS, "ended")
_WIDE = 104  # characters, from which on ordinary names fit


def print_jsonl(engine: Engine, project: str, wanted: Filter, limit: int | None) -> None:
    """Write one JSON object a line to standard output, oldest first."""
    out = sys.stdout
    for call, judged in _with_scores(engine, pages(engine, project, wanted, limit=limit)):
        out.write(line(call, wanted.all_spans, judged) + "\n")
    out.flush()


def _with_scores(engine: Engine, calls: Iterator[Call]) -> Iterator[tuple[Call, Sequence[Score]]]:
    while some := list(islice(calls, _SCORED)):
        with read(engine) as db:
            found = scores.of_calls(db, some)
        for call in some:
            yield call, found.get(call.trace_id + call.span_id, ())


def line(call: Call, all_spans: bool, judged: Sequence[Score] = ()) -> str:
    """Return the record of ``call`` as JSON; with ``all_spans`` also why it does not count."""
    said = record(call, all_spans, judged)
    return orjson.dumps(said, default=_plain, option=orjson.OPT_UTC_Z).decode()


def record(call: Call, all_spans: bool, judged: Sequence[Score] = ()) -> Mapping[str, Any]:
    """Return the record's fields by name."""
    fields: dict[str, Any] = {name: getattr(call, name) for name in FIELDS if name != "scores"}
    fields["scores"] = [_score(one) for one in judged]
    return {**fields, "not_counted": call.not_counted} if all_spans else fields


def _score(one: Score) -> dict[str, Any]:
    said = {"name": one.name, "value": one.value, "label": one.label, "source": one.source}
    return {**said, "annotator": one.annotator, "error_type": one.error_type}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        # A JSON number. The table keeps nine decimals, so a cost below a million dollars has at
        # most fifteen digits, and these a double holds exactly.
        return float(value)
    return list(value) if isinstance(value, tuple | set) else str(value)


def print_table(calls: Iterable[Call], console: Console) -> None:
    """Print the fields that fit a line; fewer where the terminal is narrow."""
    left_out = () if console.width >= _WIDE else ("use case", "USD")
    columns = [name for name in _COLUMNS if name not in left_out]
    table = plain(*columns, names=_NAMES, numbers=_NUMBERS)
    for call in calls:
        cells = dict(zip(_COLUMNS, _cells(call), strict=True))
        table.add_row(*(Text(printable(cells[name])) for name in columns))
    console.print(table)


def _cells(call: Call) -> tuple[str, ...]:
    ended = call.not_counted or call.error_type or ", ".join(call.finish_reasons)
    return (
        _time(call.started_at),
        call.service,
        call.use_case,
        call.model,
        f"{call.duration_s:.2f}",
        _number(call.input_tokens),
        _number(call.output_tokens),
        "-" if call.cost_usd is None else f"{call.cost_usd:.6f}",
        ended or "-",
    )


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
