"""The dialects we read, most specific first, and the one that fits a span; one file per dialect."""

from __future__ import annotations

from typing import Protocol

from collector.dialects import genai, openinference, openllmetry
from collector.dialects.assemble import Cost, call_of, no_price, wrapper_of
from collector.dialects.names import Named, named, operation_of
from collector.dialects.reading import Reading
from collector.raw import RawSpan
from tidegauge.call import Call

__all__ = ["DIALECTS", "Dialect", "normalise"]


class Dialect(Protocol):
    """What each file of this folder offers."""

    NAME: str

    def fits(self, raw: RawSpan) -> bool:
        """Return whether the span speaks this dialect."""

    def read(self, raw: RawSpan, told: Named | None = None) -> Reading:
        """Read a model call; ``told`` are the facts of its flat attributes, if already read."""


DIALECTS: tuple[Dialect, ...] = (openinference, openllmetry, genai)


def normalise(raw: RawSpan, project: str, cost: Cost = no_price) -> Call:
    """Return a span in our own words; one that is no model call comes back as not counted.

    A span of a dialect that we do not read is kept the same way: guessed numbers would be worse.
    """
    told = named(raw.attributes)
    dialect = next((dialect for dialect in DIALECTS if dialect.fits(raw)), None)
    operation = operation_of(told)
    if dialect is None or operation is None:
        return wrapper_of(raw, project, dialect.NAME if dialect else "none", told)
    return call_of(raw, project, operation, dialect.read(raw, told), cost)
