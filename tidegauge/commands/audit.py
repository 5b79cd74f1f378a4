"""``tidegauge audit``: what the instrumentations leave out or get wrong, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from tidegauge.audit import Audited, Group, Level, Remark, audited, problems
from tidegauge.clock import HOUR, floor
from tidegauge.commands.settling import settle
from tidegauge.commands.tables import console, printable
from tidegauge.settings import Settings
from tidegauge.store import audits, migrate
from tidegauge.store.engine import open_engine, read

EMPTY = (
    "No call was received in this time, so there is nothing to audit. "
    "Send a first span with: tidegauge send-test"
)
CUT = "only the groups with the most calls are looked at. Narrow it with --service or --since."
_MARKS = {Level.PROBLEM: "!", Level.NOTE: "-"}


def print_audit(
    settings: Settings, since: datetime, now: datetime, service: str | None, *, jsonl: bool
) -> int:
    """Print the audit of what was received since, and return how many problems it found."""
    migrate.upgrade(settings.database_url)
    engine = open_engine(settings.database_url, pool_size=1)
    settle(engine, settings)  # else a call that two libraries tell of is not yet known as one
    asked = (settings.project, since, now, service)
    with read(engine) as db:
        told, cut = audits.told(db, *asked)
        twice = audits.twice(db, *asked)
        hours = (floor(since, HOUR), now + HOUR)
        metered = audits.metered(db, settings.project, *hours, service)
    engine.dispose()
    found = audited(told, twice, metered)
    if jsonl:
        print_jsonl(found)
    else:
        print_text(found, console(), cut=cut)
    return problems(found)


def print_jsonl(found: Iterable[Audited]) -> None:
    """Write one JSON object a group to standard output; also of those without a remark."""
    for one in found:
        sys.stdout.write(orjson.dumps(record(one)).decode() + "\n")
    sys.stdout.flush()


def record(one: Audited) -> dict[str, Any]:
    """Return what is known of one group."""
    return {
        **one.group._asdict(),
        "calls": one.calls,
        "findings": [_remark(remark) for remark in one.remarks],
    }


def _remark(remark: Remark) -> dict[str, Any]:
    return {
        "rule": remark.rule,
        "level": remark.level,
        "calls": remark.calls,
        "of": remark.of,
        "share": round(remark.share, 4),
        "meaning": remark.meaning,
        "fix": remark.fix,
    }


def print_text(found: Sequence[Audited], out: Console, *, cut: bool = False) -> None:
    """Print each group with its remarks; a problem has an exclamation mark."""
    if not found:
        out.print(Text(EMPTY))
        return
    for one in found:
        out.print(Text(_head(one), style="bold"))
        for remark in one.remarks:
            out.print(Text(f"  {_MARKS[remark.level]} {said(remark)}"))
            out.print(Text(f"      {printable(remark.fix)}", style="dim"))
        if not one.remarks:
            out.print(Text("  Nothing is missing."))
    number = problems(found)
    of = f"{len(found):,} group{'' if len(found) == 1 else 's'}"
    out.print(Text(f"{number:,} problem{'' if number == 1 else 's'} in {of}."))
    if cut:
        out.print(Text(f"There are more: {CUT}", style="bold"))


def said(remark: Remark) -> str:
    """Return a remark in one line: its share, and of how many."""
    if remark.calls == remark.of:
        return f"all {remark.of:,}: {printable(remark.meaning)}"
    share = f"{remark.share:.1%} ({remark.calls:,} of {remark.of:,})"
    return f"{share}: {printable(remark.meaning)}"


def _head(one: Audited) -> str:
    calls = f"{one.calls:,} call{'' if one.calls == 1 else 's'}" if one.calls else ""
    return " | ".join(filter(None, (*map(printable, named(one.group)), calls)))


def named(group: Group) -> Sequence[str]:
    """Return what a group is known by, without what is not known."""
    library = " ".join(filter(None, (group.library, group.library_version)))
    return [part for part in (group.service, group.model, library, group.dialect) if part]
