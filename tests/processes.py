"""The tidegauge command as a child process of a test: read, told to stop, ended by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO

import psutil


def until(true: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Return whether ``true`` became true in time."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Return whether none of them runs."""
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


class Running:
    """``python -m tidegauge ...`` in a process group of its own, as a terminal starts it."""

    def __init__(
        self, words: Sequence[str], env: Mapping[str, str], ports: Sequence[int] = ()
    ) -> None:
        self.ports = tuple(ports)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tidegauge", *words],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def read_until(self, words: str) -> str:
        """Return the lines up to the one that holds ``words``."""
        seen = ""
        for line in iter(self._out.readline, ""):
            seen += line
            if words in line:
                return seen
        raise AssertionError(f"it ended before it said {words!r}:\n{seen}")

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal to this process alone; return the exit code and the rest of the lines."""
        os.kill(self.pid, number)
        return self.wait()

    def press_ctrl_c(self) -> tuple[int, str]:
        """Interrupt the whole process group, as a terminal does."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait()

    def wait(self, within_s: float = 60.0) -> tuple[int, str]:
        """Return the exit code and the rest of the lines once it has ended."""
        rest, _ = self._process.communicate(timeout=within_s)
        return self._process.returncode, rest

    def end(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=30)

    @property
    def _out(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout
