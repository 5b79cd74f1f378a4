from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.world import NOON, a_call
from tidegauge.audit import Counts, Group, Metered, Twice
from tidegauge.call import Audit, Call, NotCounted, Operation, UseCaseFrom
from tidegauge.store import audits, spans, token_metrics
from tidegauge.store.engine import Engine, read, write
from tidegauge.token_count import TokenCount, TokenType

DAY = timedelta(days=1)
WHOLE: dict[str, Any] = {
    "library": "lib",
    "library_version": "1.0",
    "response_id": "r",
    "streaming": True,
    "time_to_first_token_s": 0.2,
    "input_checksum": "c",
    "use_case_from": UseCaseFrom.SAID,
    "cost_usd": Decimal("0.02"),
    "tokens_audit": Audit.OK,
}


def whole(seed: object, **fields: Any) -> Call:
    return a_call(seed, **(WHOLE | fields))


def told(engine: Engine, now: datetime, *calls: Call, service: str | None = None) -> Any:
    with write(engine) as db:
        spans.insert(db, calls, received_at=now)
    with read(engine) as db:
        return audits.told(db, "default", now - DAY, now, service)[0]


def counts(engine: Engine, now: datetime, **fields: Any) -> dict[str, int]:
    (one,) = told(engine, now, whole(1, **fields))
    return {name: number for name, number in one.counts._asdict().items() if number}


BARE = {"calls": 1, "answered": 1, "texts": 1, "streams": 1}


def test_a_call_that_tells_all_counts_nowhere_else(engine: Engine, now: datetime) -> None:
    assert counts(engine, now) == BARE


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({"output_tokens": None}, {"no_usage_on_streams": 1}),
        ({"input_tokens": None, "output_tokens": None}, {"no_usage_on_streams": 1}),
        ({"finish_reasons": ()}, {"no_finish_reason": 1}),
        ({"finish_reasons": ("unknown",)}, {"no_finish_reason": 1}),
        ({"response_model": None}, {"no_response_model": 1}),
        ({"response_id": None}, {"no_response_id": 1}),
        ({"time_to_first_token_s": None}, {"no_first_token": 1}),
        ({"input_checksum": None}, {"no_content": 1}),
        ({"cost_usd": None}, {"unpriced": 1}),
        ({"app_cost_usd": Decimal("0.021")}, {"priced_by_app": 1}),
        ({"app_cost_usd": Decimal("0.0211")}, {"priced_by_app": 1, "app_cost_differs": 1}),
        ({"app_cost_usd": Decimal("0.0189")}, {"priced_by_app": 1, "app_cost_differs": 1}),
        ({"use_case_from": None}, {"no_use_case": 1}),
        ({"clock_invalid": True, "started_at": NOON - 9000 * DAY}, {"clock_invalid": 1}),
    ],
)
def test_what_is_missing_is_counted(
    engine: Engine, now: datetime, fields: dict[str, Any], more: dict[str, int]
) -> None:
    assert counts(engine, now, **fields) == BARE | more


def test_a_call_that_does_not_stream_or_does_not_say_so(engine: Engine, now: datetime) -> None:
    less = {"calls": 1, "answered": 1, "texts": 1}
    silent = {"streaming": False, "time_to_first_token_s": None, "output_tokens": None}
    assert counts(engine, now, **silent) == less | {"no_usage": 1}
    unknown = {"streaming": None, "time_to_first_token_s": None, "service": "other"}
    (one,) = told(engine, now, whole(2, **unknown), service="other")
    assert one.counts == Counts(calls=1, answered=1, texts=1, streaming_unknown=1)


def test_a_failed_call_and_an_embedding_owe_less(engine: Engine, now: datetime) -> None:
    nothing = {"output_tokens": None, "finish_reasons": (), "response_id": None, "streaming": None}
    failed = whole(1, error_type="timeout", input_tokens=None, cost_usd=None, **nothing)
    embeds = whole(2, operation=Operation.EMBEDDINGS, **nothing)
    (one,) = told(engine, now, failed, embeds)
    assert one.counts == Counts(calls=2, answered=1)


def test_groups_are_what_can_be_changed_at_once(engine: Engine, now: datetime) -> None:
    found = told(
        engine,
        now,
        *(whole(n) for n in range(3)),
        whole(3, tokens_audit=Audit.UNSURE, tokens_audit_rule="total_differs"),
        whole(4, library_version="2.0"),
        whole(5, project="other"),
        whole(6, not_counted=NotCounted.WRAPPER),
        whole(7, not_counted=NotCounted.DUPLICATE),
    )
    assert [(one.group.library_version, one.counts.calls) for one in found] == [
        ("1.0", 4),
        ("2.0", 1),
    ]
    assert found[0].group == Group("checkout-bot", "genai", "lib", "1.0", "gpt-4o-mini")
    assert found[0].rules == {("unsure", "total_differs"): 1}


def test_it_asks_when_a_call_was_received(engine: Engine, now: datetime) -> None:
    assert told(engine, now - 2 * DAY, whole(1, started_at=now)) != []
    with read(engine) as db:
        assert audits.told(db, "default", now - DAY, now) == ([], False)


def test_spans_nobody_reads_are_found_by_their_names(engine: Engine, now: datetime) -> None:
    unread = {"not_counted": NotCounted.WRAPPER, "dialect": "none", "operation": None}
    found = told(
        engine,
        now,
        whole(1, name="Chat.Completions.create", **unread),
        whole(2, name="GET /orders", **unread),
        whole(3, name="chat", **(unread | {"dialect": "genai"})),
    )
    assert [one.counts for one in found] == [Counts(looks_like_call=1)]


def test_two_libraries_that_tell_of_one_call(engine: Engine, now: datetime) -> None:
    call = whole(1)
    of: dict[str, Any] = {
        "not_counted": NotCounted.DUPLICATE,
        "duplicate_of": call.trace_id + call.span_id,
    }
    twin = replace(whole(2, library="sdk", library_version=None), **of)
    with write(engine) as db:
        spans.insert(db, [call, twin, whole(3)], received_at=now)
    with read(engine) as db:
        assert audits.twice(db, "default", now - DAY, now) == [
            Twice(
                service="checkout-bot",
                library="sdk",
                library_version=None,
                other_service="checkout-bot",
                other_library="lib",
                other_version="1.0",
                calls=1,
            )
        ]
        assert audits.twice(db, "default", now - DAY, now, "other") == []


def test_the_app_s_own_metric_stands_beside_its_calls(engine: Engine, now: datetime) -> None:
    began = int((now - timedelta(minutes=9)).timestamp()) * 10**9
    counted = TokenCount(
        project="default", instance=b"i", stream=b"s", began_ns=began,
        until_ns=began + 60 * 10**9, tokens=500, service="checkout-bot",
        request_model="gpt-4o-mini", response_model=None, type=TokenType.INPUT, metric="x",
    )  # fmt: skip
    with write(engine) as db:
        token_metrics.record(db, [counted])
        spans.insert(db, [whole(1, started_at=now - timedelta(minutes=5))], received_at=now)
    with read(engine) as db:
        hours = (now - DAY, now + DAY)
        assert audits.metered(db, "default", *hours) == [
            Metered(
                service="checkout-bot", model="gpt-4o-mini", type="input",
                by_metric=500, by_calls=400,
            )
        ]  # fmt: skip
        assert audits.metered(db, "default", *hours, "other") == []


def test_sqlite_reads_only_what_was_received_then(sqlite_engine: Engine, now: datetime) -> None:
    seen: list[str] = []
    with read(sqlite_engine) as db:
        db.connection.driver_connection.set_trace_callback(seen.append)  # type: ignore[union-attr]
        audits.told(db, "default", now - DAY, now)
        query = next(one for one in seen if one.startswith("SELECT"))
        plan = str(db.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
    assert "USING INDEX span_received" in plan
