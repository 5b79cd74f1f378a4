from __future__ import annotations

from collector.retry import Retry


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_r11_who_is_put_off_comes_back_after_a_second() -> None:
    clock = Clock()
    retry = Retry(clock)
    for clock.now in (0.0, 2.0, 4.0, 100.0):
        assert retry.after_s() == 1


def test_r11_under_sustained_overload_they_do_not_come_back_together() -> None:
    clock = Clock()
    retry = Retry(clock, seed=1)
    said = []
    for tenth in range(300):
        clock.now = tenth / 10
        said.append(retry.after_s())
    assert set(said[:100]) == {1}
    assert set(said[110:]) == {2, 3}
    clock.now = 60.0  # it was calm for a while
    assert retry.after_s() == 1
