"""The operator's own prices hold wherever a call is priced: here, in a reader, at the joiner."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from bench.bodies import build
from collector.capture import Plans
from collector.enrich import enrich
from collector.limits import Limits
from collector.otlp_logs import DETAILS
from collector.readers import Job, Readers, Rulebook
from collector.sender import Sender
from tests.world import a_call
from tidegauge.log_event import LogEvent
from tidegauge.policy import Policy
from tidegauge.price_overrides import Own, prices_of
from tidegauge.store.rows import VALUES

OWN = prices_of({"gpt*": {"input_usd_per_mtok": 1_000, "output_usd_per_mtok": 1_000}})
JOB = Job(build(8, 1).raw, False, None, Sender("p"), datetime(2026, 6, 1, tzinfo=UTC))
_INPUT, _OUTPUT, _COST = map(VALUES.index, ("input_tokens", "output_tokens", "cost_usd"))
_MODEL = VALUES.index("request_model")


def costs(own: Own, processes: int) -> list[tuple[int, int]]:
    """Return tokens and cost (billionths of a dollar) of the calls of gpt models in a request."""
    policy = Policy(prices={name: tuple(one) for name, one in own.items()})
    readers = Readers(processes, Rulebook(policy, "", Limits(spans=20)))
    try:
        rows = readers.begin(JOB, lambda read: read()).take().rows
    finally:
        readers.close()
    ours = [row for row in rows if (row[_MODEL] or "").startswith("gpt")]
    return [(row[_INPUT] + row[_OUTPUT], row[_COST]) for row in ours]


def test_a_process_of_its_own_prices_as_the_collector_does() -> None:
    here, there = costs(OWN, 0), costs(OWN, 1)

    assert here
    assert here == there == [(tokens, tokens * 1_000_000) for tokens, _ in here]
    assert costs({}, 0) != here


def test_a_model_that_only_an_event_names_is_priced_by_them() -> None:
    said = LogEvent(
        project="default",
        trace_id="",
        span_id="",
        name=DETAILS,
        time_ns=1,
        attributes={"gen_ai.response.model": "gpt-of-ours"},
        body=None,
    )
    call = a_call(request_model=None, response_model=None)

    joined = enrich(call, {"1": said}, Plans(Policy(prices=OWN)).prices.cost_usd)

    assert joined is not None
    assert joined.cost_usd == Decimal("0.52")
