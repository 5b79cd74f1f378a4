"""``tidegauge prices``: what each model costs, who says so, and which have no price."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from tidegauge.call import Usage
from tidegauge.commands.tables import console, plain, printable
from tidegauge.policy import read_policy
from tidegauge.pricing import Prices, Quote
from tidegauge.settings import Settings
from tidegauge.store import costs, migrate, traces
from tidegauge.store.costs import Spent
from tidegauge.store.engine import open_engine, read

_NAMES = ("model", "asked for as", "provider", "price from")
_RATES = ("input", "cached", "written", "output", "reasoning")
_NUMBERS = ("calls", *_RATES, "cost", "unpriced", "no tokens", "app / ours")
_COLUMNS = (
    *("model", "asked for as", "provider", "calls", *_RATES, "price from"),
    *("cost", "unpriced", "no tokens", "app / ours"),
)
_MILLION = 1_000_000
EMPTY = "No call was stored in this time."


@dataclass(frozen=True, slots=True)
class Line:
    """One model: what was used of it, and what it costs now. ``quote`` is None: no price."""

    spent: Spent
    quote: Quote | None


def print_prices(settings: Settings, since: datetime, now: datetime, *, jsonl: bool) -> None:
    """Print a line a model that was used since: what a million of its tokens costs, and who says so.

    The price is the one at its newest call.
    """
    prices = Prices(read_policy(settings.policy_file).prices)
    migrate.upgrade(settings.database_url)
    engine = open_engine(settings.database_url, pool_size=1)
    traces.settle_due(engine, cost=prices.cost_usd)  # else a call that two libraries tell is two
    with read(engine) as db:
        found = costs.spent(db, settings.project, since, now)
    engine.dispose()
    lines = [Line(one, prices.quote(_usage(one))) for one in found]
    if jsonl:
        for line in lines:
            sys.stdout.write(orjson.dumps(record(line), option=orjson.OPT_UTC_Z).decode() + "\n")
        sys.stdout.flush()
    else:
        print_table(lines, console())


def record(line: Line) -> dict[str, Any]:
    """Return what is known of one model; rates in US dollars per million tokens."""
    spent, quote = line.spent, line.quote
    rates = quote.rates if quote else None
    return {
        "provider": spent.provider,
        "request_model": spent.request_model,
        "response_model": spent.response_model,
        "service_tier": spent.service_tier,
        "calls": spent.calls,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "price_from": quote.source if quote else None,
        "price_name": quote.name if quote else None,
        "price_depends_on_length": quote.by_length if quote else None,
        "input_usd_per_mtok": _per_mtok(rates and rates.input),
        "cached_input_usd_per_mtok": _per_mtok(rates and rates.cache_read),
        "cache_write_usd_per_mtok": _per_mtok(rates and rates.cache_write),
        "output_usd_per_mtok": _per_mtok(rates and rates.output),
        "reasoning_usd_per_mtok": _per_mtok(rates and rates.reasoning),
        "usd_per_call": float(rates.call) if rates else None,
        "cost_usd": _float(spent.cost_usd),
        "unpriced_calls": spent.unpriced,
        "unpriced_tokens": spent.unpriced_tokens,
        "calls_without_tokens": spent.without_tokens,
        "calls_with_both_costs": spent.both,
        "ours_usd": _float(spent.ours_usd),
        "app_usd": _float(spent.app_usd),
        "app_to_ours": ratio(spent.app_usd, spent.ours_usd),
        "last_call": spent.last,
    }


def print_table(lines: Sequence[Line], console: Console) -> None:
    """Print the models, then what has no price, then how the applications' own cost compares."""
    if not lines:
        console.print(Text(EMPTY))
        return
    table = plain(*_COLUMNS, names=_NAMES, numbers=_NUMBERS)
    for line in lines:
        table.add_row(*(Text(printable(cell)) for cell in _cells(line)))
    console.print(table)
    for sentence in (_RATES_SAID, unpriced(lines), compared(lines)):
        if sentence:
            console.print(Text(sentence))


_RATES_SAID = (
    "Input to reasoning: US dollars per million tokens at the newest call; +: long inputs cost "
    "more. A stored cost keeps the price of its own day."
)


def unpriced(lines: Sequence[Line]) -> str:
    """Return what has no price, in a sentence; empty where everything has one."""
    without = [line.spent for line in lines if line.spent.unpriced]
    if not without:
        return ""
    calls, tokens = sum(one.unpriced for one in without), sum(o.unpriced_tokens for o in without)
    return (
        f"Without a price: {calls:,} calls with {tokens:,} tokens under {len(without):,} names. "
        'Give each a [prices."MODEL"] table in tidegauge.toml (docs/prices.md); it holds for calls '
        "that come in from then on."
    )


def compared(lines: Sequence[Line]) -> str:
    """Return how the costs that applications told compare to ours; empty where none was told."""
    both = [line.spent for line in lines if line.spent.both]
    if not both:
        return ""
    ours = sum((one.ours_usd or Decimal(0) for one in both), Decimal(0))
    told = sum((one.app_usd or Decimal(0) for one in both), Decimal(0))
    share = ratio(told, ours)
    said = "" if share is None else f", {share:.1%} of ours"
    calls = sum(one.both for one in both)
    return (
        f"Applications told the cost of {calls:,} priced calls: ${told:,.4f}{said} (${ours:,.4f})."
    )


def ratio(told: Decimal | None, ours: Decimal | None) -> float | None:
    """Return the first as a share of the second, where both are known and the second is not 0."""
    return float(told / ours) if told is not None and ours else None


def _usage(spent: Spent) -> Usage:
    return Usage(
        operation=None,
        provider=spent.provider,
        request_model=spent.request_model,
        response_model=spent.response_model,
        started_at=spent.last,
        input_tokens=None,
        output_tokens=None,
        cached_input_tokens=None,
        cache_write_tokens=None,
        service_tier=spent.service_tier,
    )


def _cells(line: Line) -> tuple[str, ...]:
    spent, quote = line.spent, line.quote
    model = spent.response_model or spent.request_model or ""
    asked = spent.request_model if spent.request_model != model else None
    share = ratio(spent.app_usd, spent.ours_usd)
    tier = f" ({printable(spent.service_tier)})" if spent.service_tier else ""
    return (
        (printable(model) or "-") + tier,
        printable(asked or "") or "-",
        printable(spent.provider or "") or "-",
        f"{spent.calls:,}",
        *_rates(quote),
        f"{quote.source}: {printable(quote.name)}" if quote else "no price",
        "-" if spent.cost_usd is None else f"{spent.cost_usd:,.4f}",
        f"{spent.unpriced:,}" if spent.unpriced else "-",
        f"{spent.without_tokens:,}" if spent.without_tokens else "-",
        "-" if share is None else f"{share:.1%}",
    )


def _rates(quote: Quote | None) -> tuple[str, ...]:
    """Return the five rates; a dash for one that is not known."""
    if quote is None:
        return ("-",) * len(_RATES)
    more = "+" if quote.by_length else ""
    known = map(_per_mtok, quote.rates[: len(_RATES)])
    return tuple("-" if rate is None else f"{rate:,.6g}{more}" for rate in known)


def _per_mtok(rate: Decimal | None) -> float | None:
    return None if rate is None else float(rate * _MILLION)


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
