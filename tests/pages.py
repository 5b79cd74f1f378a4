"""The pages and parts of pages that are written by the code: settings, the map.

``make docs`` writes them; tests/test_pages.py fails while they are out of date.
"""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

from pydantic_core import PydanticUndefined

from tests import calls_page
from tidegauge.policy import Project, knobs
from tidegauge.price_overrides import KEYS
from tidegauge.settings import Settings

ROOT = Path(__file__).parent.parent
PACKAGES = ("tidegauge", "collector", "analysis", "dashboard", "migrations")
BEGIN, END = "<!-- map: begin -->", "<!-- map: end -->"


def caption(module: Path) -> str:
    """Return the first line of a module's docstring; empty where it has none."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def modules() -> list[Path]:
    """Return every module of the project, packages before what they hold."""
    found = [path for name in (*PACKAGES, "bench") for path in (ROOT / name).rglob("*.py")]
    return sorted(found, key=lambda path: [p if p != "__init__.py" else "" for p in path.parts])


def folder_map() -> str:
    """Return the README's map: one line per folder."""
    lines = [
        f"| `{path.parent.relative_to(ROOT)}/` | {caption(path)} |"
        for path in modules()
        if path.name == "__init__.py" and path.parent.name != "versions"
    ]
    return "\n".join(["| folder | what is there |", "| --- | --- |", *lines])


def map_page() -> str:
    """Return docs/map.md: one line per module."""
    lines = ["# Map", "", "One line per module: the first line of its docstring.", ""]
    for path in modules():
        name = path.relative_to(ROOT)
        if path.name == "__init__.py":
            lines += ["", f"**`{name.parent}/`** {caption(path)}", ""]
        else:
            lines.append(f"- `{name}`: {caption(path)}")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def settings_page() -> str:
    """Return docs/settings.md: every setting and every policy, with unit and default."""
    lines = [
        "# Settings",
        "",
        (
            "Set by environment variables. A variable that starts with `TIDEGAUGE_` and is not listed"
            " here stops the start, so a misspelt one cannot go unnoticed."
        ),
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `TIDEGAUGE_{name.upper()}` | {_default(field)} | {field.description} |")
    lines += [
        "",
        "## Policy",
        "",
        (
            "What counts as a move, and how often people are told: the `[policy]` table of the file"
            " that `TIDEGAUGE_POLICY_FILE` names ([examples/tidegauge.toml](../examples/tidegauge.toml))."
        ),
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    meanings = _policy_meanings()
    lines += [
        f"| `{name}` | `{_toml(value)}` | {meanings[name]} |" for name, value in knobs().items()
    ]
    lines += [
        "",
        "## Projects",
        "",
        (
            "What is kept of a project's spans, and for how long: a `[projects.NAME]` table a project"
            ' in the same file, and `[projects."*"]` for the keys that a project does not name.'
            " See [redaction and retention](decisions/0010-what-is-kept.md)."
        ),
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| `{f.name}` | `{_toml(f.default)}` | {meanings[f.name]} |" for f in fields(Project)
    ]
    lines += [
        "",
        "## Prices",
        "",
        (
            'What a model costs: a `[prices."MODEL"]` table a model in the same file, or'
            ' `[[prices."MODEL"]]` for several that begin on different days. See'
            " [prices](prices.md)."
        ),
        "",
        "| key | example | meaning |",
        "| --- | --- | --- |",
    ]
    lines += [f"| `{key}` | `{_toml(KEYS[key])}` | {said} |" for key, said in _price_keys()]
    return "\n".join(lines) + "\n"


def example_policy() -> str:
    """Return examples/tidegauge.toml: every policy at its default."""
    meanings = _policy_meanings()
    lines = ["# Every key at its default; leave out what you do not change.", "[policy]"]
    lines += [f"{name} = {_toml(value)}  # {meanings[name]}" for name, value in knobs().items()]
    lines += ["", '[projects."*"]  # or [projects.NAME], for one project']
    lines += [f"{f.name} = {_toml(f.default)}  # {meanings[f.name]}" for f in fields(Project)]
    lines += ["", '# [prices."my-model"]  # or [prices."my-model*"], for all that begin so']
    lines += [f"# {key} = {_toml(KEYS[key])}  # {said}" for key, said in _price_keys()]
    return "\n".join(lines) + "\n"


def _default(field: object) -> str:
    default = getattr(field, "default", PydanticUndefined)
    if default is PydanticUndefined:
        return "a file in your data folder"
    if hasattr(default, "get_secret_value"):
        default = default.get_secret_value()
    return "empty" if default in ("", None, ()) else f"`{default}`"


def _price_keys() -> list[tuple[str, str]]:
    """Return each key of a price with what it means."""
    meanings = _policy_meanings("price_overrides.py")
    return [(key, meanings["begins" if key == "from" else key]) for key in KEYS]


def _policy_meanings(module: str = "policy.py") -> dict[str, str]:
    """Return the comment behind each field of Policy."""
    source = (ROOT / "tidegauge" / module).read_text(encoding="utf-8")
    pairs = [line.split("  # ") for line in source.splitlines() if "  # " in line]
    return {code.split(":")[0].strip(): comment.strip() for code, comment in pairs}


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value)) if isinstance(value, tuple) else str(value)


def written() -> dict[Path, str]:
    """Return every generated file with the text that it should have."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head, _, rest = readme.partition(BEGIN)
    tail = rest.partition(END)[2]
    return {
        ROOT / "README.md": f"{head}{BEGIN}\n{folder_map()}\n{END}{tail}",
        ROOT / "docs" / "calls.md": calls_page.filled(
            (ROOT / "docs" / "calls.md").read_text(encoding="utf-8")
        ),
        ROOT / "docs" / "map.md": map_page(),
        ROOT / "docs" / "settings.md": settings_page(),
        ROOT / "examples" / "tidegauge.toml": example_policy(),
    }


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
