"""No call that renders Markdown is given text that somebody else wrote, unless it is escaped."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard

FOLDER = Path(dashboard.__file__).parent
#: Measured with Streamlit 1.67: each of these renders Markdown, and so loads remote images.
RENDERS = {
    *("markdown", "write", "caption", "error", "warning", "info", "success", "title", "header"),
    *("subheader", "toast", "expander", "tabs", "popover", "status", "progress", "button"),
    *("form_submit_button", "checkbox", "toggle", "radio", "selectbox", "multiselect", "pills"),
    *("segmented_control", "metric", "badge", "link_button", "page_link", "text_area"),
    *("text_input", "number_input", "slider", "chat_message", "download_button", "table"),
}
NEVER = {"html", "iframe", "ImageColumn", "MarkdownColumn", "LinkColumn", "image", "echo"}
NAMED = {"label", "body", "help", "delta", "delta_description", "value"}
#: What dashboard.words makes safe; `plain` and `number` are for tables and st.text.
SAFE = {"md", "short", "ago", "lasting", "moment", "hour", "plural", "times", "against", "size"}
OURS = {"reviews", "parts", "charts", "queries", "words", "signals", "scope"}


def sources() -> list[Path]:
    return sorted(FOLDER.rglob("*.py"))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            base = node.func.value
            if not (isinstance(base, ast.Name) and base.id in OURS):
                yield node.func.attr, node


def is_safe(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.JoinedStr):
        return all(is_safe(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return is_safe(node.value)
    if isinstance(node, ast.IfExp):
        return is_safe(node.body) and is_safe(node.orelse)
    if isinstance(node, ast.BoolOp):
        return all(is_safe(part) for part in node.values)
    func = node.func if isinstance(node, ast.Call) else None
    return (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Name)
        and func.value.id == "words"
        and func.attr in SAFE
    )


def unsafe(source: str) -> list[int]:
    """Return the lines of ``source`` that render text which may be anybody's."""
    found = []
    for name, call in calls(ast.parse(source)):
        shown = {"metric": call.args, "page_link": []}  # a page is no text
        texts = list(shown.get(name, call.args[:1]))
        texts += [word.value for word in call.keywords if word.arg in NAMED]
        bad = name in RENDERS and not all(is_safe(text) for text in texts)
        raw = any(word.arg == "unsafe_allow_html" for word in call.keywords)
        if bad or raw or name in NEVER:
            found.append(call.lineno)
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_nothing_that_renders_is_given_text_of_others(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "st.markdown(call.output)",
        "st.caption(f'{series.service}')",
        "column.metric('p95', name)",
        "st.button(model)",
        "st.selectbox('x', options, help=text)",
        "st.write(call.output)",
        "st.html('<b>x</b>')",
        "st.markdown('x', unsafe_allow_html=True)",
        "st.title(words.plain(name))",
        "st.column_config.ImageColumn('x')",
    ],
)
def test_the_rule_sees_what_it_must_see(line: str) -> None:
    assert unsafe(line) == [1]


@pytest.mark.parametrize(
    "line", ["st.code(call.output)", "st.text(name)", "st.caption(f'{words.md(name)} left')"]
)
def test_the_rule_leaves_what_is_safe(line: str) -> None:
    assert unsafe(line) == []
