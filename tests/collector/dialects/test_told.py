from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from collector.dialects.told import milliseconds, name_or_id, provider, usd, version
from tidegauge.store.rows import nano_usd


@pytest.mark.parametrize("value", [0, -1, 1e300, 9.3e9, 2**63 - 1, "inf", "n/a", None, True, [1]])
def test_what_no_call_costs_is_no_cost(value: Any) -> None:
    assert usd(value) is None


def test_a_cost_may_be_a_number_or_text() -> None:
    assert (usd(0.25), usd("0.25")) == (Decimal("0.25"), Decimal("0.25"))


def test_a_cost_that_no_column_holds_is_not_stored() -> None:
    assert nano_usd(Decimal("1e12")) is None
    assert nano_usd(Decimal("0.25")) == 250_000_000


def test_providers_have_one_spelling() -> None:
    sent = ("OpenAI", "openai.responses", "anthropic.messages", "az.ai.openai", "x" * 300)
    assert [provider(one) for one in sent][:4] == [
        "openai", "openai", "anthropic", "azure.ai.openai",
    ]  # fmt: skip


def test_names_and_versions_may_be_numbers() -> None:
    assert (name_or_id(7), version(1.5), milliseconds("250")) == ("7", "1.5", 0.25)
