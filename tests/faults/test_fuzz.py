"""Damaged requests; for longer: python -m bench.fuzz --minutes 10."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fuzz import is_bad, send
from bench.insist import Line
from bench.mutate import Sent, damage, seeds
from bench.servers import Collector

VALID = seeds()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Return a connection to a collector that must outlive all of it, without an odd word."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    collector = Collector(f"sqlite:///{folder / 't.db'}")
    with Line(collector.http) as line:
        yield line
        assert send(line, VALID[0]).status == 200
    code, log = collector.stop()
    assert code == 0
    assert "Traceback" not in log
    assert "unexpected" not in log


@pytest.mark.parametrize("valid", VALID)
def test_r18_what_is_damaged_comes_from_a_request_that_is_taken(line: Line, valid: Sent) -> None:
    assert send(line, valid).status == 200


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(valid=st.sampled_from(VALID), seed=st.integers(0, 2**32))
def test_r18_a_damaged_request_is_stored_or_refused_and_nothing_else(
    line: Line, valid: Sent, seed: int
) -> None:
    answer = send(line, damage(valid, random.Random(seed)))
    assert not is_bad(answer), answer
