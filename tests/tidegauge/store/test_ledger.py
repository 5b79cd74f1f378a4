from __future__ import annotations

from datetime import datetime

import pytest

from tidegauge.clock import HOUR, floor
from tidegauge.store import ledger
from tidegauge.store.engine import Engine, read, write


def test_counts_add_up_by_hour(engine: Engine, now: datetime) -> None:
    for at, accepted in ((now, 3), (now, 4), (now + HOUR, 10)):
        with write(engine) as db:
            ledger.count(db, "p", at, {"accepted": accepted, "rejected:bad_trace_id": 1})
    hour = floor(now, HOUR)
    with read(engine) as db:
        assert ledger.read_counts(db, "p", hour, hour + HOUR) == {
            "accepted": 7,
            "rejected:bad_trace_id": 2,
        }
        assert ledger.read_counts(db, "p", hour, hour + 2 * HOUR)["accepted"] == 17
        assert ledger.read_counts(db, "other", hour, hour + HOUR) == {}


def test_a_transaction_that_fails_counts_nothing(engine: Engine, now: datetime) -> None:
    def count_and_fail() -> None:
        with write(engine) as db:
            ledger.count(db, "p", now, {"accepted": 1})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        count_and_fail()
    with read(engine) as db:
        assert ledger.read_counts(db, "p", floor(now, HOUR), now + HOUR) == {}


def test_zeros_are_not_stored(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        ledger.count(db, "p", now, {"accepted": 0})
    with read(engine) as db:
        assert ledger.read_counts(db, "p", floor(now, HOUR), now + HOUR) == {}
