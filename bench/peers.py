"""Arize Phoenix and MLflow as a user would start them, each from its own virtual environment."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ClassVar, Self

from bench import gauges
from bench.servers import free_port

READY_WITHIN_S = 180.0
FIRST_ANSWER_S = 60.0  # MLflow loads half of itself with the first request
_QUIET = {"DO_NOT_TRACK": "true", "NO_COLOR": "1"}


class NotReady(RuntimeError):
    """A peer did not come up; the message has the end of its log."""


class Peer:
    """One peer on a free port and an empty SQLite database, started and ready."""

    name: ClassVar[str]
    package: ClassVar[str]  # as pip knows it
    health: ClassVar[str]  # a path that answers 200 once the peer is up
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    table: ClassVar[str] = "spans"

    def __init__(self, python: Path) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="peer")))
        self.port = free_port()
        self.http = f"127.0.0.1:{self.port}"
        log = self._stack.enter_context((self.folder / "log").open("wb"))
        self.process = subprocess.Popen(  # noqa: S603  (the peer that was asked for)
            [str(python), *self.command()],
            cwd=self.folder,
            env={**_outside(), **_QUIET, "HOME": str(self.folder), **self.environment()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Return where its database is."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return what its Python is started with."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return its settings."""
        raise NotImplementedError

    def kill(self) -> None:
        """End all of its processes with SIGKILL."""
        gauges.kill(self.process.pid)
        self.process.wait(30)

    def close(self) -> None:
        """Stop it and delete what it stored."""
        if self.process.poll() is None:
            gauges.end(self.process.pid)
        self.process.wait(30)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while not _answers(f"http://{self.http}{self.health}"):
            if self.process.poll() is not None or time.monotonic() > until:
                said = (self.folder / "log").read_text(errors="replace")[-600:]
                raise NotReady(f"{self.name} is not ready: {said}")
            time.sleep(0.2)


class Phoenix(Peer):
    """``phoenix serve`` with its defaults: a queue of 20,000 spans in memory before the database."""

    name = "Phoenix"
    package = "arize-phoenix"
    health = "/healthz"

    @property
    def url(self) -> str:  # noqa: D102
        return f"sqlite:///{self.folder / 'phoenix.db'}"

    def command(self) -> list[str]:  # noqa: D102
        return ["-m", "phoenix.server.main", "serve"]

    def environment(self) -> dict[str, str]:  # noqa: D102
        return {
            "PHOENIX_WORKING_DIR": str(self.folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self.port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }


class MLflow(Peer):
    """``mlflow server`` with one worker: on SQLite more of them get in each other's way."""

    name = "MLflow"
    package = "mlflow"
    health = "/health"
    headers = MappingProxyType({"x-mlflow-experiment-id": "0"})

    @property
    def url(self) -> str:  # noqa: D102
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def command(self) -> list[str]:  # noqa: D102
        return [
            *("-m", "mlflow", "server", "--backend-store-uri", self.url),
            *("--default-artifact-root", str(self.folder / "artifacts")),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
        ]

    def environment(self) -> dict[str, str]:  # noqa: D102
        return {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Workers for jobs that nobody starts here would only use the CPU that is measured.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }


def version(python: Path, package: str) -> str:
    """Return the version of ``package`` in the virtual environment of ``python``."""
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout.strip()


def _outside() -> dict[str, str]:
    """Return the environment without what is meant for us, or for another server."""
    ours = ("TIDEGAUGE_", "OTEL_", "PHOENIX_", "MLFLOW_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


# A proxy that the environment names must not be asked for our own loopback addresses.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
