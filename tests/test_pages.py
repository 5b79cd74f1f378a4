"""The generated pages tell the truth about the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import pages
from tidegauge.policy import Policy, Project, read_policy


@pytest.mark.parametrize("path", pages.written(), ids=lambda path: path.name)
def test_a_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages.written()[path], "run: make docs"


@pytest.mark.parametrize(
    "module", pages.modules(), ids=lambda path: str(path.relative_to(pages.ROOT))
)
def test_every_module_says_what_it_is(module: Path) -> None:
    assert pages.caption(module).endswith((".", "?")), "one line that ends with a full stop"


def test_the_example_policy_is_the_default_policy() -> None:
    assert read_policy(pages.ROOT / "examples" / "tidegauge.toml") == Policy(
        projects={"*": Project()}
    )
