"""``tidegauge ledger``: what became of everything that each exporter sent."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from tidegauge.commands.tables import plain, printable
from tidegauge.store import ledger
from tidegauge.store.ledger import Claim, Line

_NAMES = ("service", "SDK", "exporter", "key")
_ALWAYS = ("received", "stored", "duplicate")
_SOMETIMES = ("rejected", "refused", "late", "future", "skewed", "cut", "JSON", "dropped by SDK")
_FOLDING = ("rejected", "refused", "JSON", "dropped by SDK")
_WIDE = 200  # characters, from which on every column fits
_EXPORTER_CHARS = 60
EMPTY = (
    "No span was received in this time. Is the exporter's endpoint this collector? "
    "Send a first span with: tidegauge send-test"
)
NOT_READ = "(not read)"  # the service of a request that was refused before its body was


def print_jsonl(lines: Iterable[Line]) -> None:
    """Write one JSON object a source to standard output."""
    for line in lines:
        sys.stdout.write(orjson.dumps(record(line), option=orjson.OPT_UTC_Z).decode() + "\n")
    sys.stdout.flush()


def record(line: Line) -> Mapping[str, Any]:
    """Return what is known of one source; every number is of spans, unless its name says more."""
    source, counts = line.source, line.counts
    return {
        "project": source.project,
        "key_id": source.key_id,
        "service": source.service,
        "sdk": source.sdk,
        "user_agent": source.user_agent,
        "received": line.received,
        "stored": line.stored,
        "duplicate": line.duplicate,
        "rejected": line.rejected,
        "refused_requests": line.refused,
        "late": counts.get(ledger.LATE, 0),
        "future": counts.get(ledger.FUTURE, 0),
        "clock_skewed": counts.get(ledger.CLOCK_SKEWED, 0),
        "attributes_cut": counts.get(ledger.ATTRIBUTES_CUT, 0),
        "json_not_read": line.json.get("not_read", 0),
        "json_lenient": line.among(ledger.JSON_LENIENT),
        "dropped_by_sdk": line.sdk_dropped,
        "log_records": line.among(ledger.LOGS),
        "metric_points": line.among(ledger.METRICS),
        "first_seen": line.first_seen,
        "last_seen": line.last_seen,
    }


def print_table(lines: Sequence[Line], claim: Claim | None, console: Console) -> None:
    """Print a line a source, and whether what they were told is stored is there."""
    shown = [_cells(line) for line in lines if line.received or line.refused]
    if not shown:
        if claim is None or claim.stored == claim.rows:
            console.print(Text(EMPTY if claim is None or claim.since is None else _empty(claim)))
        else:
            console.print(Text(claim.text, style="bold red"))
        return
    # In a narrow terminal a column of nothing but dashes goes: it would cost the names their room.
    columns = [
        name
        for name in shown[0]
        if console.width >= _WIDE or (name != "exporter" and not _is_idle(name, shown))
    ]
    table = plain(*columns, names=(*_NAMES, *_FOLDING), numbers=_ALWAYS)
    for cells in shown:
        table.add_row(*(Text(cells[name]) for name in columns))
    console.print(table)
    if claim is not None:
        console.print(Text(claim.text, style="" if claim.stored == claim.rows else "bold red"))


def _empty(claim: Claim) -> str:
    return f"Since {claim.since:%Y-%m-%d %H:%M} UTC: {EMPTY} Further back, the ledger is not kept."


def _is_idle(column: str, shown: Sequence[Mapping[str, str]]) -> bool:
    return column in _SOMETIMES and all(cells[column] == "-" for cells in shown)


def _cells(line: Line) -> dict[str, str]:
    source = line.source
    return {
        "service": printable(source.service) or NOT_READ,
        "SDK": printable(source.sdk) or "-",
        "exporter": printable(source.user_agent)[:_EXPORTER_CHARS] or "-",
        "key": printable(source.key_id) or "-",
        "received": f"{line.received:,}",
        "stored": f"{line.stored:,}",
        "duplicate": f"{line.duplicate:,}",
        "rejected": named(line.rejected),
        "refused": named(line.refused),
        "late": _number(line, ledger.LATE),
        "future": _number(line, ledger.FUTURE),
        "skewed": _number(line, ledger.CLOCK_SKEWED),
        "cut": _number(line, ledger.ATTRIBUTES_CUT),
        "JSON": named(line.json),
        "dropped by SDK": named(line.sdk_dropped),
        "last seen (UTC)": _time(line.last_seen),
    }


def named(counts: Mapping[str, int]) -> str:
    """Return counts by reason, the largest first; a dash for none.

    >>> named({"bad_span_id": 2, "unreadable": 1_000})
    '1,000 unreadable, 2 bad_span_id'
    """
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number:,} {reason}" for reason, number in ordered) or "-"


def _number(line: Line, outcome: str) -> str:
    number = line.counts.get(outcome, 0)
    return f"{number:,}" if number else "-"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
