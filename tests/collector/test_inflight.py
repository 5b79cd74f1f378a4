from __future__ import annotations

from concurrent.futures import Future

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


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """A request that waits for its answer."""

    def __init__(self, in_flight: InFlight, size: int) -> None:
        self.receipt: Future[None] = Future()
        self.held = in_flight.open()
        self.held.add(size)
        in_flight.queue(self.held, lambda: self.receipt)

    def answer(self) -> None:
        self.held.release()
        self.receipt.set_result(None)


def test_r11_an_empty_queue_lets_everybody_in() -> None:
    in_flight = InFlight(1000)
    assert in_flight.wait_s() == 0
    arriving = in_flight.open()
    arriving.add(900)  # it is not whole yet: nobody waits for it
    assert in_flight.wait_s() == 0


def test_r11_a_writer_that_is_stuck_is_seen_by_how_long_the_first_waits() -> None:
    clock = Clock()
    in_flight = InFlight(1000, most_wait_s=2, clock=clock)
    first = Asked(in_flight, 10)
    clock.now += 1.9
    second = Asked(in_flight, 10)
    clock.now += 0.2
    assert in_flight.wait_s() == pytest.approx(2.1)
    with pytest.raises(Overloaded, match=r"would wait 2\.1 s"):
        in_flight.open()
    first.answer()
    assert in_flight.wait_s() == pytest.approx(0.2)
    second.answer()
    assert in_flight.wait_s() == 0


def test_r11_a_crowd_is_seen_by_the_pace_of_the_writer() -> None:
    """A million bytes a second: the last of three million that came at once would wait 3 s."""
    clock = Clock()
    in_flight = InFlight(10**9, most_wait_s=2, clock=clock)
    for _ in range(300):
        one = Asked(in_flight, 100_000)
        clock.now += 0.1
        one.answer()
    crowd = [Asked(in_flight, 100_000) for _ in range(19)]
    assert in_flight.wait_s() == pytest.approx(1.9, rel=0.02)
    crowd.append(Asked(in_flight, 150_000))
    with pytest.raises(Overloaded):
        in_flight.open()
    for _ in range(2):
        clock.now += 0.1
        crowd.pop(0).answer()
    in_flight.open()


def test_r11_a_crowd_is_not_let_in_whole_before_the_pace_is_known() -> None:
    in_flight = InFlight(10**9, most_wait_s=2, clock=Clock())
    for _ in range(25):
        Asked(in_flight, 10**6)
    with pytest.raises(Overloaded):
        in_flight.open()


def test_r11_who_arrived_behind_a_crowd_is_put_off_and_gives_its_bytes_back() -> None:
    clock = Clock()
    in_flight = InFlight(10**9, most_wait_s=2, clock=clock)
    late = in_flight.open()
    late.add(500)
    Asked(in_flight, 1)
    clock.now += 3
    with pytest.raises(Overloaded):
        in_flight.queue(late, Future)
    assert in_flight.bytes == 1


def test_r11_what_is_given_up_says_nothing_of_the_pace() -> None:
    clock = Clock()
    in_flight = InFlight(10**9, most_wait_s=2, clock=clock)
    Asked(in_flight, 10**6).receipt.cancel()
    before = Asked(in_flight, 10**6)
    for _ in range(50):
        Asked(in_flight, 10**6).receipt.cancel()
    assert in_flight.wait_s() == pytest.approx(1 / 12)
    before.answer()


def test_what_cannot_be_queued_does_not_stay_in_the_queue() -> None:
    def put() -> Future[None]:
        raise KeyError

    clock = Clock()
    in_flight = InFlight(100, clock=clock)
    with pytest.raises(KeyError):
        in_flight.queue(in_flight.open(), put)
    clock.now += 100
    assert in_flight.wait_s() == 0
