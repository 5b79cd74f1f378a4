"""The supervisor with real processes: ready, restarted, stopped, and gone with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import until
from tidegauge.supervise import CannotStart, Part, Supervisor

SLEEP = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


def part(name: str, code: str, ready: Callable[[], bool] = lambda: True) -> Part:
    return Part(name, (sys.executable, "-c", code), ready)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(dict(os.environ), said.append, pass_on=said.append)
    yield supervisor
    supervisor.stop()


def test_a_part_that_dies_is_started_again_after_a_pause(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(part("one", SLEEP))
    first = supervisor.pids()["one"]

    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        supervisor.look()
        return supervisor.pids().get("one", first) != first

    assert until(restarted)
    assert "one ended (signal SIGKILL); it is started again in 1 s" in said


def test_lines_of_a_part_carry_its_name(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(part("one", SLEEP))

    assert until(lambda: "one       | here" in said)


def test_a_part_whose_lines_nobody_takes_goes_on(tmp_path: Path) -> None:
    def refuse(_line: str) -> None:
        raise BrokenPipeError

    done = tmp_path / "done"
    more_than_a_pipe_holds = f"print(('x' * 999 + chr(10)) * 200); open({str(done)!r}, 'w').close()"
    supervisor = Supervisor(dict(os.environ), refuse, pass_on=refuse)
    try:
        supervisor.start(part("one", more_than_a_pipe_holds))

        assert until(done.exists)
    finally:
        supervisor.stop()


def test_a_part_that_cannot_start_again_is_tried_until_it_can(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    sick = tmp_path / "sick"
    code = f"import os, sys; sys.exit(2) if os.path.exists({str(sick)!r}) else None; {SLEEP}"
    supervisor.start(part("one", code))
    supervisor.wait_ready()
    assert until(lambda: "one       | here" in said)
    sick.touch()

    os.kill(supervisor.pids()["one"], signal.SIGKILL)

    def refused() -> bool:
        supervisor.look()
        return "one ended (exit code 2); it is started again in 2 s" in said

    assert until(refused)
    sick.unlink()

    def back() -> bool:
        supervisor.look()
        return said.count("one       | here") == 2

    assert until(back)


def test_stop_ends_every_part(supervisor: Supervisor) -> None:
    supervisor.start(part("one", SLEEP))
    supervisor.start(part("two", SLEEP))
    pids = supervisor.pids().values()

    supervisor.stop()

    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_part_that_ignores_the_request_to_stop_is_killed_within_ten_seconds(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(part("one", STUBBORN))
    assert until(lambda: bool(said))
    pid, begun = supervisor.pids()["one"], time.monotonic()

    supervisor.stop()

    assert not psutil.pid_exists(pid)
    assert time.monotonic() - begun < 10


def test_a_part_that_refuses_to_start_stops_the_start(supervisor: Supervisor) -> None:
    supervisor.start(part("one", "raise SystemExit(2)", ready=lambda: False))

    with pytest.raises(CannotStart, match="one refused to start"):
        supervisor.wait_ready()


def test_a_part_that_never_gets_ready_is_named(supervisor: Supervisor) -> None:
    supervisor.start(part("one", SLEEP, ready=lambda: False))

    with pytest.raises(CannotStart, match="not ready after 0 s: one"):
        supervisor.wait_ready(within_s=0.3)


CHILD = "from tidegauge.supervise import end_with_stdin as e; import time; e(); time.sleep(600)"
PARENT = f"""
import os, sys, time
from tidegauge.supervise import Part, Supervisor
supervisor = Supervisor(dict(os.environ), print, pass_on=print)
supervisor.start(Part("one", (sys.executable, "-c", {CHILD!r}), lambda: True))
print(supervisor.pids()["one"], flush=True)
time.sleep(600)
"""


def test_the_parts_end_when_the_supervisor_is_killed() -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)

        parent.kill()

    assert until(lambda: not psutil.pid_exists(child))
