"""What was acknowledged is on the disk: with the power cut, and by the calls that are made."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.insist import Line
from bench.power import OURS, POSTGRES_OFF, SQLITE_NORMAL, postgres_loss, sqlite_loss
from bench.servers import Collector
from tests.faults.conftest import Bodies

LOAD_S = 0.6


def test_r02_a_power_loss_costs_nothing_that_was_acknowledged(
    shim_library: Path, tmp_path: Path, bodies: Bodies
) -> None:
    loss = sqlite_loss(shim_library, tmp_path, bodies(60, 20), LOAD_S, OURS)
    assert loss.acknowledged > 0
    assert loss.lost == 0
    assert loss.whole


def test_r02_the_same_test_sees_that_synchronous_normal_loses(
    shim_library: Path, tmp_path: Path, bodies: Bodies
) -> None:
    loss = sqlite_loss(shim_library, tmp_path, bodies(60, 20), LOAD_S, SQLITE_NORMAL)
    assert loss.lost > 0


@pytest.mark.slow
def test_r02_a_postgres_that_defaults_to_no_sync_loses_nothing_of_ours(
    shim_library: Path, bodies: Bodies
) -> None:
    loss = postgres_loss(shim_library, bodies(60, 20), LOAD_S, OURS)
    assert loss.acknowledged > 0
    assert loss.lost == 0
    assert loss.whole


@pytest.mark.slow
def test_r02_the_same_test_sees_that_synchronous_commit_off_loses(
    shim_library: Path, bodies: Bodies
) -> None:
    assert any(
        postgres_loss(shim_library, bodies(60, 20), LOAD_S, POSTGRES_OFF).lost for _ in range(5)
    )


def test_r02_each_acknowledgement_comes_after_a_sync_of_the_log(
    tmp_path: Path, bodies: Bodies
) -> None:
    """The same without a compiler: in the calls of a collector a sync is before every 200."""
    strace = shutil.which("strace")
    if strace is None:
        # The tests above prove more, with a compiler; this one is for machines without.
        pytest.skip("no strace on this machine")
    trace = tmp_path / "trace"
    with Collector(f"sqlite:///{tmp_path / 't.db'}") as collector:
        watch = [strace, "-f", "-y", "-p", str(collector.process.pid), "-o", str(trace)]
        calls = ["-s", "40", "-e", "trace=fdatasync,fsync,write,send,sendto,sendmsg,writev"]
        tracer = subprocess.Popen([*watch, *calls], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.communicate()
            # A container may forbid it; again the tests above prove more.
            pytest.skip(f"strace may not attach here: {said.strip()}")
        with Line(collector.http) as line:
            answers = [line.post(body.raw).status for body in bodies(5, 4)]
        tracer.terminate()
        tracer.communicate()
    assert answers == [200] * 5
    synced_before: list[int] = []
    syncs = 0
    for call in trace.read_text().splitlines():
        syncs += bool(re.search(r"f(data)?sync\(\d+<.*t\.db-wal>", call))
        if "HTTP/1.1 200" in call:
            synced_before.append(syncs)
            syncs = 0
    assert len(synced_before) == 5
    assert all(synced_before)
