"""What we read of payloads with known truth: calls and tokens found, against what the model did.

    python bench/corpus.py DIRECTORY

``DIRECTORY`` holds one folder per instrumentation, as in the README of the corpus.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from collector.dialects import normalise
from collector.limits import inflate, walk_json
from collector.otlp import read_spans
from tidegauge.call import Call

_FIELDS = ("payloads", "spans", "crashes", "calls", "input", "output", "over")


def read_payload(path: Path, encoding: str | None) -> list[Call]:
    """Return the calls of one stored request, through every step before the database."""
    body = inflate(path.read_bytes(), encoding)
    is_json = path.suffix == ".json"
    if is_json:
        walk_json(body)
    return [normalise(raw, "bench") for raw in read_spans(body, json=is_json).spans]


def read_case(meta: Path, tally: Counter[str]) -> list[Call]:
    """Return the calls of every traces payload of a case, and count crashes."""
    calls: list[Call] = []
    for payload in json.loads(meta.read_text())["payloads"]:
        if payload["signal"] != "traces":
            continue
        tally["payloads"] += 1
        try:
            found = read_payload(meta.parent / payload["file"], payload["content_encoding"])
        except Exception:  # noqa: BLE001 - a crash is what is being counted
            traceback.print_exc()
            tally["crashes"] += 1
            continue
        tally["spans"] += len(found)
        calls += [call for call in found if call.not_counted is None]
    return calls


def tally_case(meta: Path, tally: Counter[str]) -> None:
    """Add one case to the sums of its instrumentation."""
    truth: dict[str, Any] = json.loads(meta.read_text())["truth"]
    calls = read_case(meta, tally)
    found = {
        "calls": len(calls),
        "input": sum(call.input_tokens or 0 for call in calls),
        "output": sum(call.output_tokens or 0 for call in calls),
    }
    true = {
        "calls": truth["inference_calls"],
        "input": truth["input_tokens_total"],
        "output": truth["output_tokens_total"],
    }
    for name, sum_found in found.items():
        tally[name] += sum_found
        tally["true " + name] += true[name]
    tally["over"] += any(found[name] > true[name] for name in ("input", "output"))


def table_of(tallies: dict[str, Counter[str]]) -> Table:
    """Return one line per instrumentation; "over" counts cases with more tokens than the truth."""
    table = Table("instrumentation", *_FIELDS, title="found / true")
    for name, tally in sorted(tallies.items()):
        table.add_row(name, *(_cell(tally, field) for field in _FIELDS))
    total = sum(tallies.values(), Counter[str]())
    table.add_section()
    table.add_row("all", *(_cell(total, field) for field in _FIELDS))
    return table


def _cell(tally: Counter[str], field: str) -> str:
    true = tally.get("true " + field)
    return f"{tally[field]:,}" if true is None else f"{tally[field]:,} / {true:,}"


def main(directory: Path) -> None:
    """Read the whole corpus and print the table."""
    tallies: dict[str, Counter[str]] = {}
    for meta in sorted(directory.glob("*/*.meta.json")):
        tally_case(meta, tallies.setdefault(meta.parent.name, Counter()))
    Console(width=120).print(table_of(tallies))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
