"""What we read of payloads with known truth: calls and their fields, against what the model did.

    python -m bench.corpus [DIRECTORY] [INSTRUMENTATION ...] [--cases] [--page FILE]

``DIRECTORY`` holds one folder per instrumentation; without it both archives of the tests are read. A
cell says ``found/asked``, and in brackets how much that is above or below what a careful reading of
the same payload gets, where it is not equal. ``over`` counts cases in which we find more tokens than
were used. With ``--cases`` every miss is listed, too; ``--page`` writes the tables of both archives
into a page.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.corpus_archive import ARCHIVES, folder
from bench.corpus_cases import Case, cases
from bench.corpus_score import FIELDS, Score, scores

BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"  # with the name of an archive
PAGE = Path(__file__).parents[1] / "docs" / "dialects.md"
# What every sender has: not what makes the difference.
_SHARED = (
    "@opentelemetry/exporter",
    "@opentelemetry/sdk",
    "openinference-instrumentation ",
    "openinference-semantic",
    "opentelemetry-exporter",
    "opentelemetry-sdk",
    "opentelemetry-semantic",
    "opentelemetry-util",
)


def table(by_name: Mapping[str, Score]) -> list[list[str]]:
    """Return the lines of the table, its head first and the sums last."""
    total = Score()
    for one in by_name.values():
        total.add(one)
    rows = [*sorted(by_name.items()), *([("all", total)] if len(by_name) > 1 else [])]
    return [
        ["instrumentation", "cases", "over", "calls", *FIELDS],
        *([name, str(one.cases), str(one.over), *_cells(one)] for name, one in rows),
    ]


def _cells(one: Score) -> list[str]:
    return [_cell(one, name) for name in ("calls", *FIELDS)]


def _cell(one: Score, name: str) -> str:
    right, total = one.right[name], one.asked[name]
    if not (right or total):
        return ""
    more = right - one.reference[name]
    return f"{right}/{total}" + (f" ({more:+})" if more else "")


def as_text(rows: list[list[str]]) -> str:
    """Return rows as a table of Markdown whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def compact(rows: list[list[str]]) -> str:
    """Return rows as a table of Markdown for a page."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def versions(all_cases: list[Case]) -> list[list[str]]:
    """Return which libraries wrote the payloads, and the dialects that read them, with a head."""
    rows = [["instrumentation", "libraries", "dialects"]]
    for name in sorted({case.instrumentation for case in all_cases}):
        own = [case for case in all_cases if case.instrumentation == name]
        libraries = {f"{lib} {at}" for one in own for lib, at in one.told["versions"].items()}
        spoken = {call.dialect for one in own for call in one.calls()}
        shown = sorted(one for one in libraries if not one.startswith(_SHARED))
        rows.append([name, ", ".join(shown), ", ".join(sorted(spoken))])
    return rows


def archived(only: Sequence[str] = ()) -> dict[str, list[Case]]:
    """Return the cases of each archive of the tests."""
    return {name: cases(folder(name), only) for name in ARCHIVES}


def page(text: str, by_archive: Mapping[str, list[Case]]) -> str:
    """Return a page with the tables of each archive, between its two marks, as they are now."""
    for name, found in by_archive.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        tables = [compact(table(scores(found))), compact(versions(found))]
        text = "\n\n".join([before + begin, *tables, end + rest.partition(end)[2]])
    return text


def main() -> None:
    """Read the corpus and print the table, or write it into a page."""
    parser = argparse.ArgumentParser(prog="python -m bench.corpus", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="DIRECTORY, then INSTRUMENTATION")
    parser.add_argument("--cases", action="store_true", help="list what is missed")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the tables into this page")
    options = parser.parse_args()
    given = [Path(name) for name in options.names[:1] if Path(name).is_dir()]
    only = options.names[len(given) :]
    if options.page:
        text = options.page.read_text(encoding="utf-8")
        options.page.write_text(page(text, archived()), encoding="utf-8")
        return
    for read in [cases(given[0], only)] if given else archived(only).values():
        report(scores(read), options.cases)


def report(found: Mapping[str, Score], each_miss: bool) -> None:
    """Print the table of a folder, and what is missed."""
    print(as_text(table(found)))
    for miss in [miss for one in found.values() for miss in one.misses if each_miss]:
        right, of = miss.reference
        print(f"{miss.case} {miss.field}: ours {miss.ours!r}, true {miss.truth!r}", end="")
        print(f", reference {right}/{of}")


if __name__ == "__main__":
    main()
