"""The tables of docs/calls.md, from the code: the record, reasons, errors, evidence, rules, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from collector.dialects.errors import BY_WORDS
from collector.dialects.finish import WORDS
from collector.dialects.scripts import SCRIPTS
from collector.dialects.tokens import RULES
from collector.dialects.truncation import SURE
from tidegauge.audit_rules import AUDIT_RULES
from tidegauge.call import CONFIDENCE, Evidence, OutputKind
from tidegauge.commands.calls import RECORD

_PLACE = re.compile(r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)


def filled(page: str) -> str:
    """Return the page with each of its tables as the code has it now."""
    return _PLACE.sub(lambda place: f"{place[1]}{TABLES[place[2]]}\n{place[3]}", page)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _evidence() -> Iterator[Sequence[str]]:
    for evidence in Evidence:
        confidence = CONFIDENCE[evidence]
        said = "as the reason says" if evidence is Evidence.FINISH_REASON else "true"
        yield f"`{evidence}`", f"{confidence:g}", said if confidence >= SURE else "not known"


def _rules() -> Iterator[Sequence[str]]:
    for name in AUDIT_RULES:
        if name in RULES:
            yield f"`{name}`", *AUDIT_RULES[name]


def _words(table: Iterable[tuple[str, str]]) -> Iterator[Sequence[str]]:
    for name, words in table:
        yield f"`{name}`", " ".join(f"`{word}`" for word in words.split())


TABLES = {
    "record": _table(("field", "what stands there"), ((f"`{k}`", v) for k, v in RECORD.items())),
    "evidence": _table(("evidence", "confidence", "`truncated`"), _evidence()),
    "rules": _table(("rule", "what it says", "what to change in the app"), _rules()),
    "reasons": _table(("ours", "what is sent"), _words(WORDS.items())),
    "errors": _table(("`error_type`", "words in the class or code of the error"), _words(BY_WORDS)),
    "kinds": ", ".join(f"`{kind}`" for kind in OutputKind),
    "scripts": ", ".join(f"`{name}`" for name in sorted(SCRIPTS)),
}
