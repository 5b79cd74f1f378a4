"""The lists of what the clients need: exact, with hashes, and bound to no registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients.setup import HERE

REQUIREMENTS = sorted((HERE / "requirements").glob("*.txt"))
LOCKS = sorted((HERE / "node").glob("*/package-lock.json"))


def test_there_are_lists() -> None:
    assert (len(REQUIREMENTS), len(LOCKS)) == (4, 2)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_python_package_is_pinned_with_a_hash(path: Path) -> None:
    listed = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    packages = re.split(r"\n(?=\S)", listed.strip())
    assert all(re.match(r"[\w.-]+==\S+", package) for package in packages)
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in listed


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_every_node_package_is_pinned_with_a_hash_and_no_address(path: Path) -> None:
    packages = json.loads(path.read_text())["packages"]
    installed = [package for name, package in packages.items() if name]
    assert installed
    assert all(package["integrity"].startswith("sha512-") for package in installed)
    # Written with ``omit-lockfile-registry-resolved``: npm then asks the registry it is set to.
    assert not any("resolved" in package for package in installed)
