"""Tables on the terminal, and whole lines where a program reads them."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.table import Table

_WHOLE = 1000  # columns; no line of ours is that long


def console() -> Console:
    """Return where tables go: as wide as the terminal, and uncut into a pipe or a file."""
    fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if fixed else _WHOLE)


def plain(*columns: str, names: tuple[str, ...] = (), numbers: tuple[str, ...] = ()) -> Table:
    """Return a table without lines. In a narrow terminal only the ``names`` give way: they fold."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column in numbers
        table.add_column(
            column,
            no_wrap=column not in names,
            overflow="fold",
            justify="right" if right else "left",
        )
    return table


def printable(text: str) -> str:
    """Return text that a sender chose without what would steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
