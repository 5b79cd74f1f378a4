from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from collector.reading import Pace, Places, Reading, TooMany

PACE = Pace(within_s=0.5, quick_s=0.05, queue_s=1.0, stop_s=0.1)


async def forever() -> bytes:
    await asyncio.Event().wait()
    return b""


async def at_once() -> bytes:
    return b"x"


def test_r12_a_body_may_take_longer_the_more_of_it_is_here() -> None:
    pace = Pace(within_s=30, grace_s=5, bytes_per_s=1_000)
    assert [pace.allowed_s(size) for size in (0, 10_000, 10**9)] == [5, 15, 30]


def test_r19_a_stop_cuts_short_what_arrives() -> None:
    async def run() -> None:
        reading = Reading(PACE)
        asyncio.get_running_loop().call_later(0.05, reading.stop)
        async with reading.within(5):
            await forever()

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(run(), 3))


def test_r19_what_comes_after_the_stop_has_no_longer() -> None:
    async def run() -> float:
        reading = Reading(PACE)
        reading.stop()
        return reading.until(30) - asyncio.get_running_loop().time()

    assert asyncio.run(run()) <= PACE.stop_s


def test_r12_slow_messages_lock_nobody_out() -> None:
    """More slow ones than places: the oldest are put off, and a quick one passes all the same."""

    async def run() -> tuple[bytes, float, list[object]]:
        loop = asyncio.get_running_loop()
        places = Places(Reading(PACE), 2, 2)
        slow = [asyncio.ensure_future(places.read(forever)) for _ in range(6)]
        await asyncio.sleep(0)
        began = loop.time()
        quick = await places.read(at_once)
        waited_s = loop.time() - began
        return quick, waited_s, await asyncio.gather(*slow, return_exceptions=True)

    quick, waited_s, slow = asyncio.run(asyncio.wait_for(run(), 3))
    assert quick == b"x"
    assert waited_s < PACE.within_s
    assert [type(one) for one in slow] == [TimeoutError] * 6


def test_places_are_given_back_whatever_happens() -> None:
    async def broken() -> bytes:
        raise KeyError

    async def run(receives: list[Callable[[], Awaitable[bytes]]]) -> list[object]:
        places = Places(Reading(PACE), 1, 1)
        reads = [asyncio.ensure_future(places.read(receive)) for receive in receives]
        await asyncio.sleep(0)
        reads[1].cancel()  # one that waits
        ends: list[object] = await asyncio.gather(*reads, return_exceptions=True)
        assert await places.read(at_once) == b"x"
        return ends

    ends = asyncio.run(asyncio.wait_for(run([forever, at_once, broken, at_once]), 3))
    assert [type(end) for end in ends[:3]] == [TimeoutError, asyncio.CancelledError, KeyError]
    assert ends[3] == b"x"


def test_r11_only_so_many_wait_for_a_place() -> None:
    async def run() -> None:
        places = Places(Reading(PACE), 1, 1, queue=1)
        reads = [asyncio.ensure_future(places.read(forever)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await places.read(at_once)
        for read in reads:
            read.cancel()

    asyncio.run(asyncio.wait_for(run(), 3))
