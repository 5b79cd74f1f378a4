"""Tables: numbers stay whole in a narrow terminal, and whole lines go into a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tidegauge.commands.tables import console, plain, printable


def printed(width: int) -> str:
    out = io.StringIO()
    table = plain("at", "name", "USD", names=("name",), numbers=("USD",))
    table.add_row("2026-01-15 12:00:00", "a-name-of-thirty-characters-all", "1,234.567890")
    Console(file=out, width=width).print(table)
    return out.getvalue()


def test_in_a_narrow_terminal_only_names_give_way_and_nothing_is_lost() -> None:
    said = printed(50)

    assert "2026-01-15 12:00:00" in said
    assert "1,234.567890" in said
    second = said.splitlines()[1:]
    name = "".join(line[21:].split("  ")[0].strip() for line in second)
    assert name == "a-name-of-thirty-characters-all"


def test_a_table_that_fits_has_one_line_per_row() -> None:
    assert len(printed(80).splitlines()) == 2


def test_into_a_pipe_lines_are_not_cut_unless_a_width_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == 1000
    monkeypatch.setenv("COLUMNS", "77")
    assert console().width == 77


def test_what_a_sender_chose_steers_no_terminal() -> None:
    assert printable("a\x1b[31mb\x07\u202e") == "a?[31mb??"
