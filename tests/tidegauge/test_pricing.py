from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, data_snapshot

from tests.world import a_call
from tidegauge import pricing
from tidegauge.call import NotCounted, Operation
from tidegauge.price_overrides import prices_of
from tidegauge.pricing import LIST, Prices, cost_usd, price

MODELS = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("gcp.gemini", "gemini-2.5-pro"),
    ("gcp.gemini", "gemini-2.5-flash"),
    ("deepseek", "deepseek-chat"),
    ("mistral_ai", "mistral-large-latest"),
    ("aws.bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
)
USED: dict[str, Any] = {
    "input_tokens": 300_000,
    "output_tokens": 1_234,
    "cached_input_tokens": 10_000,
    "cache_write_tokens": 2_000,
}


def of_list(provider: str, model: str, at: datetime, sent: int) -> Decimal:
    """Return the price by the list itself."""
    snapshot = data_snapshot.get_snapshot()
    found, entry = snapshot.find_provider_model(model, None, provider, None)
    usage = Usage(
        input_tokens=sent,
        output_tokens=1_234,
        cache_read_tokens=10_000,
        cache_write_tokens=2_000,
    )
    return entry.calc_price(usage, found, genai_request_timestamp=at).total_price


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize("hour", [3, 17])
@pytest.mark.parametrize("sent", [150_000, 200_000, 200_001, 300_000])
def test_a_call_costs_what_the_list_says(provider: str, model: str, hour: int, sent: int) -> None:
    at = datetime(2025, 11, 20, hour, tzinfo=UTC)
    used = USED | {"input_tokens": sent}
    call = a_call(
        provider=provider, request_model=model, response_model=None, started_at=at, **used
    )

    assert price(call).cost_usd == of_list(provider, model, at, sent)


def test_the_model_that_answered_is_the_one_that_is_paid() -> None:
    call = a_call(request_model="gpt-4o", response_model="gpt-4o-mini-2024-07-18")

    assert cost_usd(call.usage) == cost_usd(
        a_call(request_model="gpt-4o-mini", response_model=None).usage
    )


def test_a_model_that_answered_under_an_unlisted_name_is_priced_by_the_one_asked_for() -> None:
    assert cost_usd(a_call(response_model="of-our-own").usage) == cost_usd(a_call().usage)


def test_an_embedding_has_no_output_to_pay() -> None:
    call = a_call(
        operation=Operation.EMBEDDINGS,
        request_model="text-embedding-3-small",
        response_model=None,
        input_tokens=1_000_000,
        output_tokens=None,
    )

    assert cost_usd(call.usage) == Decimal("0.02")


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": None},
        {"output_tokens": None},
        {"not_counted": NotCounted.WRAPPER},
        {"request_model": "nobody-knows", "response_model": None},
        {"request_model": None, "response_model": None},
        {"request_model": "x" * 100_000, "response_model": ""},
        {"request_model": "\ud800 [odd]", "response_model": "gpt", "provider": "\0"},
        {"request_model": "llama-at-home", "response_model": None, "provider": "openai"},
        {"cached_input_tokens": 401},
    ],
)
def test_what_is_not_known_has_no_cost_and_raises_nothing(fields: dict[str, Any]) -> None:
    assert price(a_call(**fields)).cost_usd is None


def test_a_provider_that_the_list_does_not_know_is_left_out_of_the_search() -> None:
    assert cost_usd(a_call(provider="strands-agents").usage) == cost_usd(
        a_call(provider=None).usage
    )


AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def paid(prices: Prices = LIST, **fields: Any) -> Decimal | None:
    usual = {"input_tokens": 1_000_000, "output_tokens": 1_000_000, "started_at": AT}
    return prices.cost_usd(a_call(**(usual | fields)).usage)


@pytest.mark.parametrize("tier", ["default", "standard", "auto", "AUTO", " "])
def test_a_tier_that_nobody_pays_more_for_changes_nothing(tier: str) -> None:
    assert paid(service_tier=tier) == paid()


@pytest.mark.parametrize(
    ("provider", "model", "tier", "share"),
    [
        ("anthropic", "claude-opus-4-5", "batch", Decimal("0.5")),
        ("openai", "gpt-4o-mini", "batch", Decimal("0.5")),
        ("openai", "gpt-5-mini", "flex", Decimal("0.5")),
        ("openai", "gpt-4.1", "priority", Decimal("1.75")),
    ],
)
def test_a_tier_costs_what_the_list_says(
    provider: str, model: str, tier: str, share: Decimal
) -> None:
    asked: dict[str, Any] = {"provider": provider, "request_model": model, "response_model": None}
    usual, other = paid(**asked), paid(**asked, service_tier=tier)

    assert usual is not None
    assert other == usual * share


@pytest.mark.parametrize(
    "fields",
    [
        {"service_tier": "scale"},
        {"service_tier": "flex", "request_model": "gpt-4o", "response_model": None},
        {"service_tier": "batch", "provider": "azure.ai.openai"},
        {"service_tier": "batch", "started_at": datetime(2024, 7, 20, tzinfo=UTC)},
        {"provider": "google", "request_model": "gemma-3-27b-it", "response_model": None},
    ],
)
def test_what_the_list_has_no_price_for_has_no_cost(fields: dict[str, Any]) -> None:
    assert paid(**fields) is None


def test_tiers_are_priced_once_and_not_anew_for_every_call() -> None:
    batch: dict[str, Any] = {"provider": "anthropic", "request_model": "claude-opus-4-5"}
    batch |= {"response_model": None, "service_tier": "batch"}
    paid(**batch)
    known = len(pricing._TIERS), len(pricing._BANDS)

    for seed in range(100):
        paid(**batch, started_at=AT + timedelta(hours=seed))

    assert (len(pricing._TIERS), len(pricing._BANDS)) == known


def test_reasoning_that_is_priced_apart_costs_its_own() -> None:
    asked: dict[str, Any] = {
        "provider": "perplexity",
        "request_model": "sonar-deep-research",
        "response_model": None,
        "input_tokens": 0,
    }

    assert paid(**asked, reasoning_tokens=600_000) == Decimal("0.6") * 3 + Decimal("0.4") * 8
    assert paid(**asked, reasoning_tokens=1_000_001) is None


def test_a_fee_for_each_call_is_paid_once() -> None:
    asked: dict[str, Any] = {"provider": "perplexity", "request_model": "sonar-pro"}

    assert paid(**asked, response_model=None, input_tokens=1, output_tokens=0) == Decimal(
        "0.014003"
    )


OWN = Prices(
    prices_of(
        {
            "gpt-4o-mini*": {
                "input_usd_per_mtok": 10,
                "output_usd_per_mtok": 20,
                "cached_input_usd_per_mtok": 1,
                "cache_write_usd_per_mtok": 30,
                "reasoning_usd_per_mtok": 40,
                "batch_share": 0.25,
                "from": date(2026, 1, 1),
            },
            "embedder": {"input_usd_per_mtok": 2},
            "free": {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0},
        }
    )
)


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({}, 30),
        ({"cached_input_tokens": 500_000}, Decimal("5.5") + 20),
        ({"cache_write_tokens": 500_000}, 20 + 20),
        ({"reasoning_tokens": 500_000}, 10 + 30),
        ({"service_tier": "batch"}, Decimal("7.5")),
        ({"service_tier": "priority"}, None),
        ({"started_at": datetime(2025, 12, 31, 23, tzinfo=UTC)}, Decimal("0.75")),
        ({"provider": "ollama"}, 30),
        ({"request_model": "free", "response_model": None}, 0),
        ({"request_model": "embedder", "response_model": None}, None),
        (
            {
                "request_model": "embedder",
                "response_model": None,
                "output_tokens": None,
                "operation": Operation.EMBEDDINGS,
            },
            2,
        ),
    ],
)
def test_a_price_of_ones_own_stands_before_the_list(
    fields: dict[str, Any], cost: Decimal | None
) -> None:
    assert paid(OWN, **fields) == cost


def test_a_deployment_with_a_price_of_its_own_keeps_it_whatever_model_answers() -> None:
    own = Prices(prices_of({"our-deployment": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}}))

    assert paid(own, request_model="our-deployment", response_model="gpt-4o") == 2


def test_a_quote_says_who_names_the_price() -> None:
    own, listed = OWN.quote(a_call(started_at=AT).usage), LIST.quote(a_call(started_at=AT).usage)
    long = a_call(provider="anthropic", request_model="claude-sonnet-4-5", response_model=None)

    assert own is not None
    assert listed is not None
    assert (own.source, own.name) == ("own", "gpt-4o-mini*")
    assert own.rates.input * 1_000_000 == 10
    assert (listed.source, listed.name) == ("list", "openai/gpt-4o-mini")
    assert listed.rates.input * 1_000_000 == Decimal("0.15")
    quote = LIST.quote(long.usage)
    assert quote is not None
    assert quote.by_length
    assert quote.rates.output == Decimal("0.000015")
    assert LIST.quote(a_call(provider="ollama").usage) is None
    assert LIST.quote(a_call(service_tier="scale").usage) is None
