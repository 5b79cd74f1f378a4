"""What a key may send a second: never more over any longer time, and ten seconds' worth at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from collector.rates import BURST_S, OverLimit, Rates
from tidegauge.store.keys import Key, Limit, Scope


def a_key(spans_per_s: int | None = None, bytes_per_s: int | None = None, key_id: str = "k") -> Key:
    return Key(
        key_id=key_id,
        project="shop",
        name="bot",
        scope=Scope.INGEST,
        created_at=datetime(2026, 1, 15, tzinfo=UTC),
        limit=Limit(spans_per_s, bytes_per_s),
        secret_hash=bytes(32),
    )


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(clock)


def refusal(rates: Rates, key: Key) -> OverLimit | None:
    try:
        rates.check(key)
    except OverLimit as over:
        return over
    return None


def test_a_key_without_limits_is_never_refused(rates: Rates) -> None:
    key = a_key()
    for _ in range(3):
        assert refusal(rates, key) is None
        rates.charge("k", spans=10**9, size=10**12)


def test_what_is_over_the_limit_is_put_off_until_it_is_paid_back(
    rates: Rates, clock: Clock
) -> None:
    key = a_key(spans_per_s=100)
    assert refusal(rates, key) is None
    rates.charge("k", spans=1_250)  # 1,000 at once, and a debt of 250: 2.5 s

    over = refusal(rates, key)
    assert over is not None
    assert over.retry_after_s == 3
    assert "100 spans a second" in str(over)
    clock.now += 2.4
    assert refusal(rates, key) is not None
    clock.now += 0.1
    assert refusal(rates, key) is None


def test_a_long_pause_saves_up_ten_seconds_and_no_more(rates: Rates, clock: Clock) -> None:
    key = a_key(spans_per_s=100)
    rates.check(key)
    clock.now += 3_600
    rates.check(key)
    rates.charge("k", spans=1_001)
    assert refusal(rates, key) is not None


def test_spans_and_bytes_are_counted_apart(rates: Rates, clock: Clock) -> None:
    key = a_key(spans_per_s=100, bytes_per_s=1_000)
    rates.check(key)
    rates.charge("k", spans=500, size=10_001)
    over = refusal(rates, key)
    assert over is not None
    assert "1,000 bytes a second" in str(over)
    clock.now += 0.01
    assert refusal(rates, key) is None


def test_no_client_is_told_to_wait_for_longer_than_it_does(rates: Rates) -> None:
    key = a_key(spans_per_s=1)
    rates.check(key)
    rates.charge("k", spans=10_000)
    over = refusal(rates, key)
    assert over is not None
    assert over.retry_after_s == 5


def test_one_key_does_not_pay_for_another(rates: Rates) -> None:
    noisy, quiet = a_key(10, key_id="noisy"), a_key(10, key_id="quiet")
    rates.check(noisy)
    rates.check(quiet)
    rates.charge("noisy", spans=1_000)
    assert refusal(rates, noisy) is not None
    assert refusal(rates, quiet) is None


def test_a_limit_that_is_changed_or_lifted_holds_at_once(rates: Rates) -> None:
    rates.check(a_key(10))
    rates.charge("k", spans=1_000)
    assert refusal(rates, a_key(10)) is not None
    assert refusal(rates, a_key(20)) is None
    rates.charge("k", spans=1_000)
    assert refusal(rates, a_key(20)) is not None
    assert refusal(rates, a_key()) is None


def test_who_was_never_admitted_costs_no_memory(rates: Rates) -> None:
    for number in range(100):
        rates.charge(f"stranger {number}", spans=1, size=1)
    assert rates._buckets == {}


@given(some.lists(some.tuples(some.floats(0, 3), some.integers(1, 300)), max_size=60))
def test_over_any_time_the_rate_holds(requests: list[tuple[float, int]]) -> None:
    clock = Clock()
    rates, key, taken, largest = Rates(clock), a_key(spans_per_s=50), 0, 0
    began = clock.now
    for pause, spans in requests:
        clock.now += pause
        if refusal(rates, key) is None:
            rates.charge("k", spans=spans)
            taken, largest = taken + spans, max(largest, spans)
            assert taken <= 50 * (clock.now - began + BURST_S) + largest + 1e-6


def test_requests_that_were_admitted_at_once_put_a_key_off_for_ten_seconds_at_most(
    rates: Rates, clock: Clock
) -> None:
    key = a_key(spans_per_s=10)
    for _ in range(50):
        rates.check(key)
    for _ in range(50):
        rates.charge("k", spans=512)
    clock.now += BURST_S - 0.5
    assert refusal(rates, key) is not None
    clock.now += 0.5
    assert refusal(rates, key) is None
