"""Tokens to US dollars, by model and date, from the price list of genai-prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as Counts
from genai_prices import data_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from tidegauge.call import Call, Operation, Usage

_INPUT_ONLY = (Operation.EMBEDDINGS, Operation.RERANK)
_MANY = 1_000_000  # tokens that a rate is asked for: the list's own unit
_NAME_CHARS = 200  # a longer name of a model is none


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per token. A cached token costs its rate instead of the input's."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal


def price(call: Call) -> Call:
    """Return the call with its cost in US dollars; None where tokens or a price are not known."""
    cost = None if call.not_counted is not None else cost_usd(call.usage)
    return call if cost is None else replace(call, cost_usd=cost)


def cost_usd(call: Usage) -> Decimal | None:
    """Return what a call cost in US dollars; None where tokens or a price are not known.

    The price is the one of the day of the call, of the model that answered where it is known.
    Prices come from the installed package; nothing is fetched.
    """
    if call.input_tokens is None:
        return None
    if call.output_tokens is None and call.operation not in _INPUT_ONLY:
        return None
    found = _listed(call.provider, call.response_model, call.request_model)
    if found is None:
        return None
    provider, model = found
    try:
        prices = model.get_prices(call.started_at)
        rates = _rates_of(prices)
        return _by_list(call, provider, model) if rates is None else _by_rates(call, rates)
    except (ValueError, LookupError, ArithmeticError, TypeError):
        return None  # counts that contradict each other, or a unit that the list does not price


def _by_rates(call: Usage, rates: Rates) -> Decimal | None:
    read, written = call.cached_input_tokens or 0, call.cache_write_tokens or 0
    plain = (call.input_tokens or 0) - read - written
    if plain < 0:
        return None
    return (
        plain * rates.input
        + read * rates.cache_read
        + written * rates.cache_write
        + (call.output_tokens or 0) * rates.output
    )


def _by_list(call: Usage, provider: Provider, model: ModelInfo) -> Decimal:
    """Return the cost by the list's own rules: prices that depend on how long the input is."""
    usage = Counts(
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens or 0,
        cache_read_tokens=call.cached_input_tokens or 0,
        cache_write_tokens=call.cache_write_tokens or 0,
    )
    return model.calc_price(usage, provider, genai_request_timestamp=call.started_at).total_price


# The list needs 65 us for one price, so each set of prices is asked once. It is keyed by identity:
# prices have no hash, and the value holds them, so that the identity stays theirs.
_RATES: dict[int, tuple[ModelPrice, Rates | None]] = {}


def _rates_of(prices: ModelPrice) -> Rates | None:
    """Return flat rates; None where a price depends on how much was sent."""
    known = _RATES.get(id(prices))
    if known is None:
        known = _RATES[id(prices)] = (prices, _asked(prices))
    return known[1]


def _asked(prices: ModelPrice) -> Rates | None:
    if any(isinstance(value, TieredPrices) for value in vars(prices).values()):
        return None
    return Rates(
        input=_per_token(prices, Counts(input_tokens=_MANY)),
        cache_read=_per_token(prices, Counts(input_tokens=_MANY, cache_read_tokens=_MANY)),
        cache_write=_per_token(prices, Counts(input_tokens=_MANY, cache_write_tokens=_MANY)),
        output=_per_token(prices, Counts(output_tokens=_MANY)),
    )


def _per_token(prices: ModelPrice, usage: Counts) -> Decimal:
    return prices.calc_price(usage)["total_price"] / _MANY


@lru_cache(maxsize=4_096)
def _listed(
    provider: str | None, response_model: str | None, request_model: str | None
) -> tuple[Provider, ModelInfo] | None:
    """Return the list's entry for a model.

    A provider that the list does not know (a framework, a gateway) is left out of the search. One
    that it knows is believed: a local model behind an OpenAI-compatible server has no price.
    """
    snapshot = data_snapshot.get_snapshot()
    known = provider and data_snapshot.find_provider_by_id(snapshot.providers, provider)
    for model in (response_model, request_model):
        if model and len(model) <= _NAME_CHARS:
            try:
                return snapshot.find_provider_model(model, None, provider if known else None, None)
            except LookupError:
                continue
    return None
