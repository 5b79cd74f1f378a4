"""kill -9 of the collector under load; the same in full: python -m bench.kill --rounds 20."""

from __future__ import annotations

import pytest

from bench.kill import kill_rounds


@pytest.mark.slow
def test_r01_kill_9_under_load_loses_and_doubles_nothing(url: str) -> None:
    result = kill_rounds(url, rounds=1, seconds=1.0)
    assert result.acknowledged > 1_000
    assert result.lost == 0
    assert result.counted == result.stored == result.acknowledged
    assert result.ready_s <= 5
    assert result.whole
