"""Tokens to US dollars: by the operator's own prices, else by the list of the day of the call."""

from __future__ import annotations

from bisect import bisect_left
from copy import copy
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from genai_prices import Usage as Counts
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from tidegauge.call import Call, Operation, Usage
from tidegauge.price_list import Listed, listed
from tidegauge.price_overrides import Own, OwnPrice, OwnPrices

_INPUT_ONLY = (Operation.EMBEDDINGS, Operation.RERANK)
_MANY = 1_000_000  # tokens that a rate is asked for: the list's own unit
#: Words for the tier at whose price everything is sold that nobody asked another for.
_STANDARD = frozenset(
    {"default", "standard", "standard_only", "auto", "on_demand", "on-demand", "regular", ""}
)
_BATCH = "batch"


class Rates(NamedTuple):
    """US dollars per token. Cached tokens and reasoning cost their own rate instead of the usual."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal | None  # None: not known
    reasoning: Decimal | None
    call: Decimal = Decimal(0)  # beside the tokens: some providers take a fee for each call


class Quote(NamedTuple):
    """What a model costs, and who says so."""

    source: str  # own, list
    name: str  # where it stands: a model of [prices], or provider/model of the list
    rates: Rates
    by_length: bool = False  # longer inputs cost another price; these are those of a short one


class Prices:
    """What calls cost: the list, and the operator's own prices before it."""

    def __init__(self, own: Own = MappingProxyType({})) -> None:
        """``own``: the prices of tidegauge.toml, as ``price_overrides.prices_of`` reads them."""
        self._own = OwnPrices(own) if own else None

    def cost_usd(self, call: Usage) -> Decimal | None:
        """Return what a call cost in US dollars; None where tokens or a price are not known.

        The price is the one of the day of the call, of the model that answered where it is known.
        Where the operator names a price for the model, only that one counts.
        """
        if call.input_tokens is None:
            return None
        if call.output_tokens is None and call.operation not in _INPUT_ONLY:
            return None
        if self._own is not None and (mine := self._own.of(_models(call), call.started_at)):
            rates = _own_rates(mine[1], _tier(call))
            return None if rates is None else _by_rates(call, rates)
        found = listed(call.provider, call.response_model, call.request_model)
        return None if found is None else _by_list(call, found)

    def quote(self, call: Usage) -> Quote | None:
        """Return what a token of such a call costs. If no price is known, return None."""
        if self._own is not None and (mine := self._own.of(_models(call), call.started_at)):
            own = _own_rates(mine[1], _tier(call))
            return None if own is None else Quote("own", mine[0], own)
        found = listed(call.provider, call.response_model, call.request_model)
        if found is None:
            return None
        provider, model = found
        prices = _prices_of(provider, model, call)
        if prices is None:
            return None
        try:
            bands = _bands_of(prices)
        except (ValueError, LookupError, ArithmeticError, TypeError):
            return None  # it is sold by pictures or seconds, not by tokens
        name = f"{provider.id}/{model.id}"
        return Quote("list", name, bands.rates[0], by_length=bool(bands.starts))


#: What the list says, without anything of the operator's own.
LIST = Prices()


def cost_usd(call: Usage) -> Decimal | None:
    """Return what a call cost by the list alone: see Prices.cost_usd."""
    return LIST.cost_usd(call)


def price(call: Call, prices: Prices = LIST) -> Call:
    """Return the call with its cost in US dollars; None where tokens or a price are not known."""
    cost = None if call.not_counted is not None else prices.cost_usd(call.usage)
    return call if cost is None else replace(call, cost_usd=cost)


def _models(call: Usage) -> tuple[str | None, str | None]:
    return call.response_model, call.request_model


def _tier(call: Usage) -> str | None:
    """Return the tier that has a price of its own. If the call is an ordinary one, return None."""
    if call.service_tier is None:
        return None
    tier = call.service_tier.strip().lower()
    if tier in _STANDARD:
        return None
    return tier.removeprefix("on_demand_")  # Vertex AI: ON_DEMAND_PRIORITY


def _own_rates(own: OwnPrice, tier: str | None) -> Rates | None:
    if tier is None:
        share = Decimal(1)
    elif tier == _BATCH and own.batch_share is not None:
        share = own.batch_share
    else:
        return None
    share /= _MANY
    sent, answered = own.input_usd_per_mtok, own.output_usd_per_mtok
    read, written = own.cached_input_usd_per_mtok, own.cache_write_usd_per_mtok
    thought = own.reasoning_usd_per_mtok if own.reasoning_usd_per_mtok is not None else answered
    return Rates(
        input=sent * share,
        cache_read=(sent if read is None else read) * share,
        cache_write=(sent if written is None else written) * share,
        output=None if answered is None else answered * share,
        reasoning=None if thought is None else thought * share,
    )


def _by_list(call: Usage, found: Listed) -> Decimal | None:
    provider, model = found
    try:
        prices = _prices_of(provider, model, call)
        if prices is None:
            return None
        bands = _bands_of(prices)
        return _by_rates(call, bands.rates[bisect_left(bands.starts, call.input_tokens or 0)])
    except (ValueError, LookupError, ArithmeticError, TypeError):
        return None  # counts that contradict each other, or a unit that the list does not price


def _by_rates(call: Usage, rates: Rates) -> Decimal | None:
    read, written = call.cached_input_tokens or 0, call.cache_write_tokens or 0
    plain = (call.input_tokens or 0) - read - written
    thought = call.reasoning_tokens or 0
    spoken = (call.output_tokens or 0) - thought
    if plain < 0 or spoken < 0:
        return None
    sent = plain * rates.input + rates.call
    if read or written:  # few calls have any, and each sum of decimals takes a tenth of 1 us
        sent += read * rates.cache_read + written * rates.cache_write
    if not call.output_tokens:
        return sent
    if rates.output is None or rates.reasoning is None:
        return None
    sent += spoken * rates.output
    return sent + thought * rates.reasoning if thought else sent


def _prices_of(provider: Provider, model: ModelInfo, call: Usage) -> ModelPrice | None:
    """Return the list's prices for the time and the tier of a call.

    None where the list has none for that tier: what "priority" costs cannot be told from what is
    usual. None, too, for a model that it names without a price.
    """
    standard = model.get_prices(call.started_at)
    tier = _tier(call)
    prices: ModelPrice | None = standard
    if tier is not None:
        prices = _of_tier(provider, model, standard, tier, call)
    return prices if prices is not None and _is_priced(prices) else None


def _is_priced(prices: ModelPrice) -> bool:
    known = vars(prices)
    return known.get("input_mtok") is not None or known.get("output_mtok") is not None


# A set of prices for each tier, made once: by the identity of the usual prices, which the value
# holds, so that the identity stays theirs, and of the variants that are in force.
_TIERS: dict[tuple[int, str, tuple[int, ...]], tuple[ModelPrice, ModelPrice]] = {}


def _of_tier(
    provider: Provider, model: ModelInfo, standard: ModelPrice, tier: str, call: Usage
) -> ModelPrice | None:
    if not any(model is one for one in provider.models):
        return None  # the list lends it from its maker, whose tiers need not be sold here
    context = {"processing": tier, "service_tier": tier, "speed": tier}
    variants = tuple(
        id(one)
        for one in model.price_variants or ()
        if (one.constraint is None or one.constraint.active(call.started_at))
        and all(context.get(name) == value for name, value in one.when.items())
    )
    if not variants:
        return None
    key = (id(standard), tier, variants)
    known = _TIERS.get(key)
    if known is None:
        known = _TIERS[key] = (standard, model.get_prices(call.started_at, context))
    return known[1]


class _Bands(NamedTuple):
    """The rates by the length of the input: how long one is decides over all its tokens."""

    prices: ModelPrice
    starts: tuple[int, ...]  # tokens; an input longer than the first is in the second band
    rates: tuple[Rates, ...]


# The list needs 65 us for one price, so each set of prices is asked once. It is keyed by identity:
# prices have no hash, and the value holds them, so that the identity stays theirs.
_BANDS: dict[int, _Bands] = {}


def _bands_of(prices: ModelPrice) -> _Bands:
    known = _BANDS.get(id(prices))
    if known is None:
        tiered = [one for one in vars(prices).values() if isinstance(one, TieredPrices)]
        starts = tuple(sorted({tier.start for one in tiered for tier in one.tiers}))
        rates = [_asked(_for_input(prices, longest)) for longest in (0, *(s + 1 for s in starts))]
        known = _BANDS[id(prices)] = _Bands(prices, starts, tuple(rates))
    return known


def _for_input(prices: ModelPrice, tokens: int) -> ModelPrice:
    """Return the prices that hold for an input of so many tokens."""
    flat = copy(prices)
    for name, value in vars(prices).items():
        if isinstance(value, TieredPrices):
            reached = [tier.price for tier in value.tiers if tokens > tier.start]
            vars(flat)[name] = reached[-1] if reached else value.base
    return flat


def _asked(prices: ModelPrice) -> Rates:
    fee = prices.calc_price(Counts())["total_price"]

    def rate(**used: int) -> Decimal:
        return (prices.calc_price(Counts(**used))["total_price"] - fee) / _MANY

    return Rates(
        input=rate(input_tokens=_MANY),
        cache_read=rate(input_tokens=_MANY, cache_read_tokens=_MANY),
        cache_write=rate(input_tokens=_MANY, cache_write_tokens=_MANY),
        output=rate(output_tokens=_MANY),
        reasoning=rate(output_tokens=_MANY, output_reasoning_tokens=_MANY),
        call=fee,
    )
