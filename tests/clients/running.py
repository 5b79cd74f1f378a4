"""A client as a child process: told which batch to send, asked how that went."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Sent:
    """What the client's exporter said of one batch."""

    ok: bool
    trace_id: str


class Running:
    """``send.py`` or ``send.js`` in the environment of its exporter."""

    def __init__(
        self, command: Sequence[str], options: Mapping[str, Any], env: Mapping[str, str]
    ) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed on exit)
        self._process = subprocess.Popen(
            [*command, json.dumps(options)],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def begin(self, service: str) -> None:
        """Have a batch exported; ``ended`` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(service + "\n")
        self._process.stdin.flush()

    def ended(self) -> Sent:
        """Return how the oldest batch that was begun went."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the client ended: {self.log()}"
        return Sent(**json.loads(line))

    def export(self, service: str) -> Sent:
        self.begin(service)
        return self.ended()

    def log(self) -> str:
        """Return what it wrote to its standard error so far."""
        self._log.seek(0)
        return self._log.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate(timeout=20)
        self._log.close()
