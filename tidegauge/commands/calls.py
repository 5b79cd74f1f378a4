"""``tidegauge calls``: the record of each call, as JSON lines or as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from tidegauge.call import Call
from tidegauge.commands.tables import plain
from tidegauge.store.engine import Engine
from tidegauge.store.spans import Filter, pages

#: The record's fields in the order of the documentation.
FIELDS = (
    "project",
    "trace_id",
    "span_id",
    "parent_span_id",
    "started_at",
    "duration_s",
    "service",
    "service_version",
    "environment",
    "use_case",
    "user_id",
    "session_id",
    "dialect",
    "operation",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "tokens_audit",
    "tokens_audit_rule",
    "streaming",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "finish_reasons",
    "truncated",
    "truncation_evidence",
    "error_type",
    "status_code",
    "temperature",
    "top_p",
    "max_tokens",
    "stop_sequences",
    "output_type",
    "output_valid",
    "repetition",
    "prompt_name",
    "prompt_version",
    "prompt_checksum",
    "input_checksum",
    "cost_usd",
    "input",
    "output",
    "attributes",
)
TABLE_ROWS = 50
_NAMES, _NUMBERS = ("service", "use case", "model"), ("seconds", "in", "out", "USD")
_COLUMNS = ("started (UTC)", *_NAMES, *_NUMBERS, "ended")
_WIDE = 104  # characters, from which on ordinary names fit


def print_jsonl(engine: Engine, project: str, wanted: Filter, limit: int | None) -> None:
    """Write one JSON object a line to standard output, oldest first."""
    out = sys.stdout
    for call in pages(engine, project, wanted, limit=limit):
        out.write(line(call, wanted.all_spans) + "\n")
    out.flush()


def line(call: Call, all_spans: bool) -> str:
    """Return the record of ``call`` as JSON; with ``all_spans`` also why it does not count."""
    return orjson.dumps(record(call, all_spans), default=_plain, option=orjson.OPT_UTC_Z).decode()


def record(call: Call, all_spans: bool) -> Mapping[str, Any]:
    """Return the record's fields by name."""
    fields = {name: getattr(call, name) for name in FIELDS}
    return {**fields, "not_counted": call.not_counted} if all_spans else fields


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
        table.add_row(*(Text(cells[name]) for name in columns))
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
