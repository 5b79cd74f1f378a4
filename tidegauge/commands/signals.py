"""``tidegauge ledger``, below the spans: log records, metric points, and tokens counted twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from tidegauge.clock import HOUR, floor
from tidegauge.commands.ledger import print_jsonl, print_table
from tidegauge.commands.tables import console, plain, printable
from tidegauge.policy import read_policy
from tidegauge.settings import Settings
from tidegauge.store import ledger, migrate, token_metrics
from tidegauge.store.engine import open_engine, read
from tidegauge.store.ledger import LOGS, METRICS
from tidegauge.store.token_metrics import TokenCheck

_KINDS = (("Log records", LOGS), ("Metric points", METRICS))
_COLUMNS = ("service", "model", "tokens", "by its metric", "by its calls", "calls / metric")
EXPLAINED = (
    "Below 100 %: spans are missing (sampled, dropped, or without usage). Above: a call is counted "
    "twice, or its metric is not sent for every call."
)


def print_ledger(
    settings: Settings, since: datetime, now: datetime, service: str | None, *, jsonl: bool
) -> None:
    """Print the ledger from the hour of ``since`` on: a line an exporter, then what is no span."""
    kept = read_policy(settings.policy_file).project(settings.project).numbers_days
    migrate.upgrade(settings.database_url)
    engine = open_engine(settings.database_url, pool_size=1)
    hours = (floor(since, HOUR), now + HOUR)
    with read(engine) as db:
        found = ledger.lines(db, settings.project, since, service=service)
        # Of one service it cannot be said: beyond the bound several are counted as one.
        claim = None
        if service is None:
            kept_since = ledger.both_since(now, kept)
            claim = ledger.claim(db, settings.project, since, kept_since=kept_since)
        counts = ledger.read_counts(db, settings.project, *hours) if service is None else {}
        checks = token_metrics.compare(db, settings.project, *hours)
    engine.dispose()
    if jsonl:
        print_jsonl(found)
        return
    out = console()
    print_table(found, claim, out)
    print_signals(counts, [one for one in checks if service in (None, one.service)], out)


def print_signals(
    counts: Mapping[str, int], checks: Sequence[TokenCheck], console: Console
) -> None:
    """Print what became of logs and metrics, and whether both ways to count tokens agree.

    Nothing is printed of what was not sent.
    """
    for words, prefix in _KINDS:
        if said := said_of(counts, prefix):
            console.print(Text(f"{words}: {said}."))
    if not checks:
        return
    table = plain(*_COLUMNS, names=_COLUMNS[:2], numbers=_COLUMNS[3:])
    for check in checks:
        table.add_row(*(Text(cell) for cell in cells(check)))
    console.print(table)
    console.print(Text(EXPLAINED))


def said_of(counts: Mapping[str, int], prefix: str) -> str:
    """Return the outcomes that begin with ``prefix`` in words, the most frequent first.

    >>> said_of({"logs:stored": 1_000, "logs:not_kept": 2, "accepted": 5}, "logs:")
    '1,000 stored, 2 not kept'
    """
    found = [
        (number, outcome.removeprefix(prefix).replace("_", " "))
        for outcome, number in counts.items()
        if outcome.startswith(prefix)
    ]
    ordered = sorted(found, key=lambda pair: (-pair[0], pair[1]))
    return ", ".join(f"{number:,} {words}" for number, words in ordered)


def cells(check: TokenCheck) -> tuple[str, ...]:
    """Return a line of the table; a dash for what nobody sent."""
    return (
        printable(check.service),
        printable(check.model),
        check.type.value,
        _number(check.by_metric),
        _number(check.by_calls),
        "-" if check.share is None else f"{check.share:.1%}",
    )


def _number(found: int | None) -> str:
    return "-" if found is None else f"{found:,}"
