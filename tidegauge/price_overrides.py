"""Prices of the operator's own: the ``[prices."MODEL"]`` tables of tidegauge.toml."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

_MOST_USD = 100_000  # a million tokens; more is a mistake of units
_FROM = "from"  # a keyword in Python: the field is named begins


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """What a model costs from a day on: a ``[prices."MODEL"]`` table. US dollars per million tokens.

    >>> OwnPrice(input_usd_per_mtok=Decimal("0.5")).batch_share is None
    True
    """

    input_usd_per_mtok: Decimal  # of tokens sent
    output_usd_per_mtok: Decimal | None = None  # of tokens answered; needed unless it only embeds
    cached_input_usd_per_mtok: Decimal | None = None  # of input read from a cache; else as input
    cache_write_usd_per_mtok: Decimal | None = None  # of input written to a cache; else as input
    reasoning_usd_per_mtok: Decimal | None = None  # of output that is reasoning; else as output
    batch_share: Decimal | None = None  # of these prices, for batch calls; else those have none
    begins: datetime | None = None  # from this day on, UTC; else ever since


Own = Mapping[str, Sequence[OwnPrice]]  # by the model's name in lower case; the newest first

#: The keys of a table, with an example of each.
KEYS: Mapping[str, Any] = {
    "input_usd_per_mtok": 0.5,
    "output_usd_per_mtok": 1.5,
    "cached_input_usd_per_mtok": 0.05,
    "cache_write_usd_per_mtok": 0.6,
    "reasoning_usd_per_mtok": 1.5,
    "batch_share": 0.5,
    _FROM: date(2026, 1, 1),
}


class BadPrice(ValueError):
    """A price that is none; the message names the key and the fix."""


def prices_of(tables: Mapping[str, Any], where: str = "policy") -> dict[str, tuple[OwnPrice, ...]]:
    """Return each model's own prices, the newest first. Raises BadPrice.

    >>> [price.input_usd_per_mtok for price in prices_of({"m": {"input_usd_per_mtok": 2}})["m"]]
    [Decimal('2')]
    """
    found: dict[str, tuple[OwnPrice, ...]] = {}
    for model, given in tables.items():
        name = model.strip().lower()
        place = f'{where}: [prices."{model}"]'
        if name in ("", "*") or "*" in name[:-1]:
            raise BadPrice(f"{place}: name a model; a '*' may only stand at the end of its name")
        if name in found:
            raise BadPrice(f"{place}: the same model stands there twice; capitals do not matter")
        found[name] = _dated(given, place)
    return found


def _dated(given: object, where: str) -> tuple[OwnPrice, ...]:
    """Return one model's prices: of a table, or of a list of tables ([[prices."MODEL"]])."""
    entries = given if isinstance(given, list) else [given]
    read = [_price(one, where) for one in entries]
    days = [one.begins for one in read]
    if len(set(days)) < len(days):
        raise BadPrice(f"{where}: two entries begin on the same day; give each its own 'from'")
    ancient = datetime.min.replace(tzinfo=UTC)
    return tuple(sorted(read, key=lambda one: one.begins or ancient, reverse=True))


def _price(table: object, where: str) -> OwnPrice:
    if not isinstance(table, Mapping) or not table:
        raise BadPrice(f"{where} must be a table with a price, as input_usd_per_mtok = 0.5")
    for key, value in table.items():
        if key not in KEYS:
            raise BadPrice(f"{where}: unknown key '{key}'; known are {', '.join(sorted(KEYS))}")
        if fault := _fault(key, value):
            raise BadPrice(f"{where}: '{key}' must be {fault}, not {value!r}")
    if "input_usd_per_mtok" not in table:
        raise BadPrice(f"{where}: 'input_usd_per_mtok' is missing; a model that is free has 0")
    given: dict[str, Any] = {
        field.name: Decimal(str(table[field.name]))
        for field in fields(OwnPrice)
        if field.name in table
    }
    day = table.get(_FROM)
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None
    return OwnPrice(**given, begins=begins)


def _fault(key: str, value: object) -> str | None:
    """Return what a value should have been; None where it is right."""
    if key == _FROM:
        # A time is a date, too; but prices change with the day, in UTC.
        plain = isinstance(value, date) and not isinstance(value, datetime)
        return None if plain else "a day without quotes, as 2026-01-01"
    most, what = (1, "a share, 0 to 1") if key == "batch_share" else (_MOST_USD, "US dollars")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and math.isfinite(value) and 0 <= value <= most:  # type: ignore[arg-type,operator]
        return None
    return what if most == 1 else f"{what} per million tokens, 0 to {most:,}"


class OwnPrices:
    """The operator's prices, asked by name and time."""

    def __init__(self, own: Own) -> None:
        """Know the prices of ``prices_of``."""
        self._exact = {name: prices for name, prices in own.items() if not name.endswith("*")}
        starts = [(name[:-1], prices) for name, prices in own.items() if name.endswith("*")]
        self._starts = sorted(starts, key=lambda pair: -len(pair[0]))  # the longest is the nearest

    def of(self, models: Sequence[str | None], at: datetime) -> tuple[str, OwnPrice] | None:
        """Return the price that holds at a time, and the name it stands under.

        The first of ``models`` that has one decides. If none has, return None.
        """
        for model in models:
            if model and (found := self._named(model.lower(), at)):
                return found
        return None

    def _named(self, model: str, at: datetime) -> tuple[str, OwnPrice] | None:
        if price := _at(self._exact.get(model, ()), at):
            return model, price
        for start, prices in self._starts:
            if model.startswith(start) and (price := _at(prices, at)):
                return f"{start}*", price
        return None


def _at(prices: Sequence[OwnPrice], at: datetime) -> OwnPrice | None:
    return next((one for one in prices if one.begins is None or one.begins <= at), None)
