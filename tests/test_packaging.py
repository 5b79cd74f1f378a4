"""The wheel: it builds, holds what it needs, and runs in an environment of its own."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest

from tests.ports import free_ports

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a freshly built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the installed command: the wheel from a bare environment, its needs from this one."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    # Without dependencies and index, so that no network is needed; they come by a path instead. A
    # .pth file inside that path (our own editable install) is not followed.
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", *install, str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "needs.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "bin" / "tidegauge"


@pytest.mark.parametrize("name", ["analysis", "collector", "dashboard", "migrations"])
def test_no_dependency_brings_a_package_of_our_name(name: str) -> None:
    assert set(packages_distributions().get(name, ["tidegauge"])) == {"tidegauge"}


def test_the_wheel_holds_the_packages_the_migrations_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"tidegauge", "collector", "analysis", "dashboard", "migrations"}
    assert "migrations/versions/0001_create_tables.py" in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_installed_wheel_runs_up_and_stops_when_told(command: Path, tmp_path: Path) -> None:
    with _running_up(command, tmp_path) as (process, http):
        assert httpx.get(f"http://127.0.0.1:{http}/healthz").status_code == 200
        post = httpx.post(f"http://127.0.0.1:{http}/v1/traces", json={"resourceSpans": []})
        assert (post.status_code, post.json()) == (200, {})
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (tmp_path / "data" / "tidegauge" / "tidegauge.db").exists()


class _running_up:  # noqa: N801 (reads as a verb)
    """``tidegauge up`` from another folder, ready, on free ports; ended by its own pid."""

    def __init__(self, command: Path, folder: Path) -> None:
        http, grpc, dashboard = free_ports(3)
        self._http = http
        ports = ["--otlp-http-port", str(http), "--otlp-grpc-port", str(grpc)]
        self._process = subprocess.Popen(
            [command, "up", *ports, "--dashboard-port", str(dashboard)],
            cwd=folder,
            env={**os.environ, "XDG_DATA_HOME": str(folder / "data"), "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> tuple[subprocess.Popen[str], int]:
        seen = []
        for line in self._lines():
            seen.append(line)
            if "OTEL_EXPORTER_OTLP_ENDPOINT" in line:
                return self._process, self._http
        raise AssertionError(f"up ended before it was ready:\n{''.join(seen)}")

    def _lines(self) -> Iterator[str]:
        assert self._process.stdout is not None
        return iter(self._process.stdout.readline, "")

    def __exit__(self, *_error: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate(timeout=30)
