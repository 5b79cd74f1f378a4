"""A PostgreSQL that is frozen, killed with all its processes, followed by a standby, promoted."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psutil
import psycopg

from bench.servers import Postgres, free_port

# Whoever adopted the children may reap them late: a zombie holds no memory and no file.
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
NOTHING: Mapping[str, str] = MappingProxyType({})


class Cluster(Postgres):
    """PostgreSQL with ``options`` of its configuration, and ``preload`` in its environment."""

    def __init__(self, *, options: Mapping[str, str] = NOTHING) -> None:
        self.preload: Mapping[str, str] = NOTHING
        self._options = options
        super().__init__()

    @property
    def data(self) -> Path:
        """Return the folder of its files."""
        return self._data

    @property
    def port(self) -> int:
        """Return the port of 127.0.0.1 that it listens on."""
        return self._port

    def kill_all(self) -> None:
        """Kill the server and every process of it with SIGKILL: nobody can say goodbye."""
        postmaster = psutil.Process(self._process.pid)
        family = [postmaster, *postmaster.children(recursive=True)]
        for one in family:
            one.suspend()  # else a child that sees its parent die would end in an orderly way
        for one in family:
            one.kill()
        self._process.wait(30)
        while any(_runs(one) for one in family[1:]):
            time.sleep(0.01)

    def stop_fast(self) -> None:
        """Stop as ``pg_ctl restart -m fast`` does: connections are cut, a checkpoint is written."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def freeze(self, frozen: bool) -> None:
        """Stop all its processes where they stand, or let them go on."""
        postmaster = psutil.Process(self._process.pid)
        for one in [postmaster, *postmaster.children(recursive=True)]:
            (one.suspend if frozen else one.resume)()

    def standby(self) -> Cluster:
        """Return a running standby that streams from this server."""
        other = Cluster.__new__(Cluster)
        other.preload, other._options = NOTHING, self._options
        other._folder = Path(tempfile.mkdtemp(prefix="tgpg"))
        if self._user:
            shutil.chown(other._folder, self._user)
        other._data, other._bin, other._user = other._folder / "data", self._bin, self._user
        other._port = free_port()
        other.url = f"postgresql://postgres@127.0.0.1:{other._port}/postgres"
        backup = [str(self._bin / "pg_basebackup"), "-D", str(other._data), "-d", self.url]
        quick = ["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf"]
        subprocess.run([*backup, *quick], user=self._user, check=True)  # noqa: S603
        other._process = other._spawn()
        return other

    def wait_for_standby(self) -> None:
        """Acknowledge no commit from now on that the standby does not have."""
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            db.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make this standby the primary."""
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("ALTER SYSTEM RESET synchronous_standby_names")  # it has no standby itself
            db.execute("SELECT pg_reload_conf()")
            db.execute("SELECT pg_promote()")

    def close(self) -> None:
        """Stop the server, if it runs, and delete what it stored."""
        if self._process.poll() is None:
            self.kill_all()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = [word for item in self._options.items() for word in ("-c", "=".join(item))]
        process = subprocess.Popen(  # noqa: S603  (the server of the installed wheel)
            [
                str(self._bin / "postgres"),
                *("-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1", "-k", ""),
                *settings,
            ],
            user=self._user,
            env={**dict(self._environment()), **self.preload},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_ready(process)
        return process

    @staticmethod
    def _environment() -> Mapping[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in _ENDED
    except psutil.NoSuchProcess:
        return False
