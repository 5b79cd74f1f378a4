"""One request as rows: small enough to be handed from one process to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from collector.intake import Batch, Rejection
from collector.notes import Notes
from tidegauge.source import Source
from tidegauge.store import scores
from tidegauge.store.rows import Values, values_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one request holds, ready to be stored; the first five are of each span."""

    rows: Sequence[Values]
    contents: Sequence[bytes]
    sources: Sequence[Source]
    notes: Sequence[Notes]
    scores: Sequence[Sequence[scores.Values]]
    rejected: Sequence[Rejection]
    warnings: Sequence[str]
    size: int  # of it in memory, bytes

    def part(self, places: Sequence[int]) -> Parcel:
        """Return some of its spans, without what was rejected of it."""

        def some(of_each: Sequence[T]) -> list[T]:
            return [of_each[place] for place in places]

        return replace(
            self,
            rows=some(self.rows),
            contents=some(self.contents),
            sources=some(self.sources),
            notes=some(self.notes),
            scores=some(self.scores),
            rejected=(),
        )


def parcel_of(batch: Batch) -> Parcel:
    """Return a batch as rows."""
    return Parcel(
        [values_of(call) for call in batch.calls],
        batch.contents,
        batch.sources or [Source(call.project, service=call.service) for call in batch.calls],
        batch.notes or [()] * len(batch.calls),
        [[scores.values_of(one) for one in some] if some else () for some in batch.scores]
        or [()] * len(batch.calls),
        batch.rejected,
        batch.warnings,
        batch.size,
    )
