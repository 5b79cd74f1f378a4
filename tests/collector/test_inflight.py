from __future__ import annotations

import pytest

from collector.inflight import InFlight, Overloaded


def test_what_is_over_the_limit_is_put_off_until_room_is_given_back() -> None:
    in_flight = InFlight(100)
    first, second = in_flight.open(), in_flight.open()
    first.add(60)
    with pytest.raises(Overloaded, match="100 bytes"):
        second.add(50)
    first.release()
    second.add(50)
    assert in_flight.bytes == 50


def test_a_second_release_does_nothing() -> None:
    in_flight = InFlight(100)
    held = in_flight.open()
    held.add(60)
    held.release()
    held.release()
    assert in_flight.bytes == 0
