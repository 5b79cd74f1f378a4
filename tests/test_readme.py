"""The README's commands, settings and links exist, and what exists is in the README."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from tests.pages import ROOT
from tidegauge.cli import app
from tidegauge.settings import unknown_names

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
VERBS = set(getattr(get_command(app), "commands"))  # noqa: B009 (a Group; click's types say Command)


def test_the_two_first_commands_run_it_and_test_it() -> None:
    first = README.split("```bash\n")[1].split("```")[0].splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make demo", "make test"]


def test_every_verb_is_in_the_readme_and_no_other() -> None:
    rows = re.findall(r"^\| `tidegauge ([\w-]+)` \|", README, flags=re.MULTILINE)
    assert set(rows) == VERBS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_named_verb_exists(page: Path) -> None:
    named = re.findall(r"`tidegauge ([a-z-]+)", page.read_text(encoding="utf-8"))
    assert set(named) <= VERBS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_named_setting_exists(page: Path) -> None:
    named = re.findall(r"TIDEGAUGE_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8"))
    assert unknown_names(set(named)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in (one or other for one, other in links):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_benchmark_named_can_be_started(page: Path) -> None:
    for name in re.findall(r"python -m bench\.(\w+)", page.read_text(encoding="utf-8")):
        assert (ROOT / "bench" / f"{name}.py").exists()


def test_make_lists_its_targets() -> None:
    help_text = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for target in ("demo", "test", "up", "check", "bench"):
        assert f"make {target}" in help_text.stdout
