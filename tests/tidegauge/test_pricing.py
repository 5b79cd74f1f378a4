from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, data_snapshot

from tests.world import a_call
from tidegauge.call import NotCounted, Operation
from tidegauge.pricing import cost_usd, price

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


def of_list(provider: str, model: str, at: datetime) -> Decimal:
    """Return the price by the list itself."""
    snapshot = data_snapshot.get_snapshot()
    found, entry = snapshot.find_provider_model(model, None, provider, None)
    usage = Usage(
        input_tokens=300_000,
        output_tokens=1_234,
        cache_read_tokens=10_000,
        cache_write_tokens=2_000,
    )
    return entry.calc_price(usage, found, genai_request_timestamp=at).total_price


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize("hour", [3, 17])
def test_a_call_costs_what_the_list_says(provider: str, model: str, hour: int) -> None:
    at = datetime(2025, 11, 20, hour, tzinfo=UTC)
    call = a_call(
        provider=provider, request_model=model, response_model=None, started_at=at, **USED
    )

    assert price(call).cost_usd == of_list(provider, model, at)


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
