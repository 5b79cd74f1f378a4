"""Runs the dashboard as its users do: as a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import IO

_STARTS_WITHIN_S = 60.0
_ADDRESS = re.compile(r"url=\S*?(http://127\.0\.0\.1:\d+)")


@dataclass(frozen=True, slots=True)
class Served:
    """A running dashboard."""

    url: str
    process: subprocess.Popen[str]


def environment(url: str, port: int) -> dict[str, str]:
    """Return the environment of a dashboard over the database at ``url``."""
    kept = {name: value for name, value in os.environ.items() if "TIDEGAUGE" not in name}
    return kept | {
        "TIDEGAUGE_DATABASE_URL": url,
        "TIDEGAUGE_DASHBOARD_PORT": str(port),
        "TIDEGAUGE_REVIEWER": "ana",
    }


@contextmanager
def serving(url: str, healthy: int = 200) -> Iterator[Served]:
    """Run a dashboard, wait until its health answers ``healthy``, and end it by its own pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboard"],
        env=environment(url, 0),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        address = _address(process.stderr)
        # else the pipe fills up and the server waits for a reader
        Thread(target=process.stderr.read, daemon=True).start()
        _wait(f"{address}/api/healthz", healthy)
        yield Served(address, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        process.stderr.close()


def _address(log: IO[str]) -> str:
    for line in log:
        if found := _ADDRESS.search(line):
            return found[1]
    raise AssertionError("the dashboard ended before it told its address")


def _wait(url: str, healthy: int) -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until:
        if _status(url) == healthy:
            return
        time.sleep(0.1)
    raise AssertionError(f"{url} did not answer {healthy} in time")


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (our own address)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None
