"""Power loss and failing disks without either: a C library that is loaded into a server."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
WRITES, SYNCS = 1, 2
_CONTROL = struct.Struct("=qqiiqq")  # fail_at, fail_last, error, kinds, calls, failed
FOR_EVER = 2**62


class NoCompiler(Exception):
    """There is no C compiler on this machine."""


def build(folder: Path) -> Path:
    """Return the library, compiled into ``folder``. Raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no cc, gcc or clang: the power-loss library cannot be built")
    library = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o"]
    subprocess.run([*command, str(library), str(SOURCE), "-ldl"], check=True)  # noqa: S603
    return library


class Shim:
    """What a server is started with so that its files in ``folder`` are watched.

    ``shadow``, where given, is what a power loss would leave of them.
    """

    def __init__(self, library: Path, folder: Path, shadow: Path | None = None) -> None:
        self.environment = {"LD_PRELOAD": str(library), "SHIM_FOLDER": str(folder)}
        if shadow is not None:
            self.environment["SHIM_SHADOW"] = str(shadow)
        path = library.with_name(f"control-{os.urandom(4).hex()}")
        path.write_bytes(bytes(_CONTROL.size))
        path.chmod(0o666)  # PostgreSQL runs as another user
        self.environment["SHIM_CONTROL"] = str(path)
        with path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)

    @contextmanager
    def failing(
        self, at: int, *, times: int = 1, error: int = errno.EIO, kinds: int = WRITES | SYNCS
    ) -> Iterator[None]:
        """Let the ``at``-th call from now on fail, and ``times - 1`` after it; then none."""
        _CONTROL.pack_into(self._control, 0, at, at + times - 1, error, kinds, 0, 0)
        try:
            yield
        finally:
            struct.pack_into("=q", self._control, 0, 0)

    @property
    def failed(self) -> int:
        """Return how many calls failed since failing() began."""
        return int(_CONTROL.unpack_from(self._control)[5])

    @property
    def calls(self) -> int:
        """Return how many calls there were since failing() began."""
        return int(_CONTROL.unpack_from(self._control)[4])
