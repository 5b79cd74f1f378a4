from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from bench import gauges
from tidegauge.store.migrate import upgrade

PARENT = """
import subprocess, sys
busy = "import time\\nwhile time.process_time() < 0.3: pass\\n"
subprocess.run([sys.executable, "-c", busy])
left = subprocess.Popen([sys.executable, "-c", busy + "print('ready', flush=True)\\ninput()"],
                        stdin=subprocess.PIPE)
left.wait()
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        if process.poll() is None:
            gauges.kill(process.pid)


def test_cpu_and_memory_are_of_all_processes_also_of_one_that_ended(
    family: subprocess.Popen[str],
) -> None:
    # 0.3 each: the child that ended, the one that waits; the kernel counts in ticks of 10 ms
    assert gauges.cpu_s(family.pid) > 0.55
    assert len(gauges.tree(family.pid)) == 2
    one = psutil.Process(family.pid).memory_info().rss / 2**20
    assert gauges.peak_rss_mb(family.pid) > one


def test_a_kill_leaves_no_child(family: subprocess.Popen[str]) -> None:
    child = gauges.tree(family.pid)[1]
    gauges.kill(family.pid)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_size_and_the_rows_of_a_database_are_read(url: str) -> None:
    upgrade(url)
    assert gauges.database_bytes(url) > 50_000
    assert gauges.span_ids(url, "span") == set()
