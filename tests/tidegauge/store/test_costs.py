"""What models were used for and cost, in both databases."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.world import NOON, a_call
from tidegauge.call import NotCounted, Operation
from tidegauge.store import costs, spans
from tidegauge.store.engine import Engine, read, write

DAY = timedelta(days=1)


def test_calls_are_summed_by_the_names_they_give_the_model(engine: Engine) -> None:
    embeds = {"request_model": "e", "response_model": None, "operation": Operation.EMBEDDINGS}
    calls = [
        a_call(1, cost_usd=Decimal("0.01"), app_cost_usd=Decimal("0.03")),
        a_call(2, cost_usd=Decimal("0.02"), started_at=NOON + timedelta(hours=1)),
        a_call(3, app_cost_usd=Decimal("0.5")),
        a_call(4, output_tokens=None),
        a_call(5, **embeds, output_tokens=None, input_tokens=7),
        a_call(6, not_counted=NotCounted.DUPLICATE),
        a_call(7, project="other"),
        a_call(8, started_at=NOON + 2 * DAY),
    ]
    with write(engine) as db:
        spans.insert(db, calls, received_at=NOON)

    with read(engine) as db:
        chat, embedding = costs.spent(db, "default", NOON, NOON + DAY)

    assert chat == costs.Spent(
        provider="openai",
        request_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        service_tier=None,
        calls=4,
        input_tokens=1600,
        output_tokens=360,
        cost_usd=Decimal("0.03"),
        unpriced=1,
        unpriced_tokens=520,
        without_tokens=1,
        both=1,
        ours_usd=Decimal("0.01"),
        app_usd=Decimal("0.03"),
        last=NOON + timedelta(hours=1),
    )
    assert (embedding.unpriced, embedding.unpriced_tokens, embedding.cost_usd) == (1, 7, None)


def test_nothing_stored_is_no_line(engine: Engine) -> None:
    with read(engine) as db:
        assert costs.spent(db, "default", NOON, NOON + DAY) == []
