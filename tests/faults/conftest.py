"""A library that stands for a broken disk, and bodies that no other test has sent."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.bodies import Body, build
from bench.shim import NoCompiler
from bench.shim import build as build_shim

Bodies = Callable[[int, int], Sequence[Body]]


@pytest.fixture(scope="session")
def shim_library() -> Iterator[Path]:
    """Return the compiled bench/shim.c; without a compiler the tests that need it are skipped."""
    with open_folder() as folder:
        try:
            library = build_shim(folder)
        except NoCompiler as why:  # the summary names it; strace's test needs no compiler
            pytest.skip(str(why))
        yield library


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder that PostgreSQL's user may enter; those of pytest are for one user only."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def bodies() -> Bodies:
    """Return what makes ``count`` requests of ``spans`` spans each, every time new ones."""
    seeds = itertools.count(10_000)
    return lambda count, spans: [build(spans, next(seeds)) for _ in range(count)]
