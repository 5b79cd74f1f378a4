from __future__ import annotations

import re
from collections import Counter

from bench.corpus import PAGE, archived, compact, page, table
from bench.corpus_score import Score
from collector.dialects import DIALECTS
from tests.pages import ROOT


def test_the_page_of_dialects_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    again = "run: python -m bench.corpus --page docs/dialects.md"
    assert page(text, archived()) == text, again


def test_the_page_tells_of_every_dialect_in_the_order_of_the_registry() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == [one.NAME for one in DIALECTS]


def test_pages_name_as_many_scenarios_as_there_are() -> None:
    count = sum(len(read) for read in archived().values())
    for path in (PAGE, ROOT / "README.md"):
        assert f"{count:,} recorded scenarios" in path.read_text(encoding="utf-8")


def test_a_cell_says_what_was_found_and_how_that_compares() -> None:
    one = Score(
        asked=Counter(calls=2, input=4),
        right=Counter(calls=2, input=3),
        reference=Counter(calls=2, input=4),
        cases=2,
    )
    head, line = table({"acme": one})
    told = dict(zip(head, line, strict=True))

    assert (told["instrumentation"], told["cases"], told["over"]) == ("acme", "2", "0")
    assert (told["calls"], told["input"], told["output"]) == ("2/2", "3/4 (-1)", "")
    assert compact([head, line]).splitlines()[2].startswith("| acme | 2 | 0 | 2/2 |")
