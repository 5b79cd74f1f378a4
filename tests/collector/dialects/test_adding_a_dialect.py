"""The page that says how to add a dialect: its steps name what exists, and its example runs."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from collector import dialects
from collector.dialects import Dialect
from tests.collector.dialects.spans import a_raw_span
from tidegauge.call import Call, NotCounted

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "adding-a-dialect.md").read_text(encoding="utf-8")
MODULE, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(source: str, **known: Any) -> dict[str, Any]:
    names: dict[str, Any] = dict(known)
    exec(compile(source, "docs/adding-a-dialect.md", "exec"), names)  # noqa: S102 - our own page
    return names


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Dialect:
    """Return the dialect of the example, registered as the page says."""
    made: Any = types.SimpleNamespace(**run(MODULE, __name__="acme"))
    monkeypatch.setattr(dialects, "DIALECTS", (made, *dialects.DIALECTS))
    monkeypatch.setattr(dialects, "_in_order", dialects._in_order.__wrapped__)  # not the cached
    return made  # type: ignore[no-any-return]


def called(dialect: Dialect, attributes: Mapping[str, Any]) -> Call:
    call = dialects.normalise(a_raw_span(dict(attributes)), "p")
    assert call.dialect == dialect.NAME
    return call


EXAMPLE = run(f"from __future__ import annotations\n{TESTS}", called=called, NotCounted=NotCounted)


@pytest.mark.parametrize("name", [name for name in EXAMPLE if name.startswith("test_")])
def test_the_tests_of_the_example_pass(name: str, acme: Dialect) -> None:
    EXAMPLE[name](acme)


def test_the_example_has_tests() -> None:
    assert sum(name.startswith("test_") for name in EXAMPLE) == 3


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:collector|tests|docs|bench)/[\w/.]+\.\w+)`", PAGE))
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).exists()] == []
    beside = re.findall(r"`(\w+\.py)`", PAGE)
    assert [name for name in beside if not (ROOT / "collector/dialects" / name).exists()] == []
    modules = re.findall(r"python -m (bench\.\w+)", PAGE)
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []
