"""Calls to minute and hour buckets: a minute that may be wrong is counted again from its rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, islice, pairwise
from typing import Any, Protocol

from tidegauge import log
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured, length_class, merge
from tidegauge.clock import HOUR, MINUTE, floor
from tidegauge.finding import OTHER, Series
from tidegauge.store import rollups, spans
from tidegauge.store.engine import Connection, Engine, attempt, read, write
from tidegauge.store.jobs import LeaseLost
from tidegauge.store.rollups import HOUR_S, MINUTE_S, Stale

_log = log.get("rollup")
_MINUTE_NS = 60 * 1_000_000_000
#: Minutes this close are read in one go, even where those between them need no recount.
_NEAR = 10 * MINUTE
#: A chunk aims at this many buckets, and at no more than so many calls: SQLite has one writer, and
#: ingest waits while a chunk is written (about 0.1 s).
_CHUNK_BUCKETS, _CHUNK_CALLS = 1500, 8_000
_FIRST_CHUNK = 10 * MINUTE
_LONGEST_CHUNK = 1440 * MINUTE

Groups = Mapping[Series, Sequence[Any]]


class Watcher(Protocol):
    """What else wants to see the calls of recounted minutes, within the same transaction.

    It may see a call again, when its minute is counted again.
    """

    def __call__(self, db: Connection, project: str, calls: Groups, now: datetime) -> None:
        """Look at the narrow rows of ``calls``, by series and in order of time."""


@dataclass(slots=True)
class _Bounded:
    """The series a project may have; those beyond the limit are counted together."""

    limit: int
    known: set[Series]
    new: set[Series] = field(default_factory=set)

    def name(self, row: Any) -> Series:
        """Return the series of a row."""
        one = Series(row.project, row.service, row.environment, row.use_case, row.model)
        if one in self.known:
            return one
        if len(self.known) >= self.limit:
            one = Series(row.project, OTHER, OTHER, OTHER, OTHER)
            if one in self.known:
                return one
        self.known.add(one)
        self.new.add(one)
        return one


def roll(
    engine: Engine, now: datetime, *, max_series: int, limit: int, watchers: Sequence[Watcher] = ()
) -> int:
    """Count up to ``limit`` stale minutes again and return how many calls they hold.

    A mark set while this runs stays, so nothing is lost to a race with the collector. Each chunk
    is one short transaction: its minutes, their hours, the marks, and what ``watchers`` write.
    A watcher that fails stops nothing; what fails in one project is raised after the others.
    """
    with read(engine) as db:
        stale = rollups.stale_minutes(db, limit)
    counted = 0
    failed: Exception | None = None
    for project, group in groupby(stale, key=lambda one: one.project):
        try:
            with read(engine) as db:
                known = set(rollups.series_of(db, project).values())
            names = _Bounded(max_series, known)
            counted += _roll_project(engine, list(group), names, now, watchers)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - raised below, once the neighbours are counted
            failed = failed or error
    if failed is not None:
        raise failed
    return counted


def _roll_project(
    engine: Engine,
    stale: list[Stale],
    names: _Bounded,
    now: datetime,
    watchers: Sequence[Watcher],
) -> int:
    counted, at, span = 0, 0, _FIRST_CHUNK
    while at < len(stale):
        size = _chunk_size(stale, at, span)
        calls, buckets = _roll_chunk(engine, stale[at : at + size], names, now, watchers)
        counted += calls
        at += size
        fuller = max(buckets / _CHUNK_BUCKETS, calls / _CHUNK_CALLS, 0.25)
        span = min(max(span / fuller, MINUTE), _LONGEST_CHUNK)
    return counted


def _chunk_size(stale: Sequence[Stale], first: int, span: timedelta) -> int:
    """Return how many stale minutes from ``first`` on are near each other and in one chunk."""
    end = _chunk_end(stale[first].minute, span)
    size = 1
    for before, one in pairwise(islice(stale, first, None)):
        if one.minute - before.minute > _NEAR or one.minute >= end:
            break
        size += 1
    return size


def _chunk_end(start: datetime, span: timedelta) -> datetime:
    """Return where a chunk of about ``span`` ends: at a full hour, or within the first one.

    An hour cut in two is read back and built twice.
    """
    whole = floor(start + span, HOUR)
    return whole if whole > start else start + span


def _roll_chunk(
    engine: Engine,
    stale: Sequence[Stale],
    names: _Bounded,
    now: datetime,
    watchers: Sequence[Watcher],
) -> tuple[int, int]:
    """Count one chunk; return its calls and its buckets."""
    project, minutes = stale[0].project, [one.minute for one in stale]
    hours = sorted({floor(at, HOUR) for at in minutes})
    with read(engine) as db:
        rows = spans.numbers(db, project, minutes[0], minutes[-1] + MINUTE)
        there = rollups.read_buckets(db, project, MINUTE_S, hours[0], hours[-1] + HOUR)
    wanted = set(minutes)
    by_minute = _by_minute(rows, wanted, names)
    counted = [
        bucket_of(series, minute, group)
        for minute, groups in by_minute.items()
        for series, group in groups.items()
    ]
    touched = set(hours)
    others = [b for b in there if b.start not in wanted and floor(b.start, HOUR) in touched]
    hourly = hours_of([*others, *counted])
    with write(engine) as db:
        rollups.register(db, names.new, now)
        rollups.replace(db, project, MINUTE_S, minutes, counted)
        rollups.replace(db, project, HOUR_S, hours, hourly)
        rollups.clear_marks(db, stale)
        for watch in watchers:
            _show(watch, db, project, _by_series(by_minute), now)
    names.new.clear()
    return sum(b.calls for b in counted), len(counted)


def _show(watch: Watcher, db: Connection, project: str, calls: Groups, now: datetime) -> None:
    """Let ``watch`` look at ``calls``. If it fails, all it wrote is undone, and counting goes on."""
    try:
        with attempt(db):
            watch(db, project, calls, now)
    except Exception as error:  # noqa: BLE001 - one call that a watcher chokes on would stop all
        name = getattr(watch, "__name__", type(watch).__name__)
        # The error's text may hold content.
        _log.error("watcher failed", watcher=name, error=type(error).__name__)


def _by_minute(
    rows: Iterable[Any], wanted: set[datetime], names: _Bounded
) -> dict[datetime, dict[Series, list[Any]]]:
    minute_of = {spans.to_ns(at) // _MINUTE_NS: at for at in wanted}
    found: dict[datetime, dict[Series, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if minute := minute_of.get(row.started_ns // _MINUTE_NS):
            found[minute][names.name(row)].append(row)
    return found


def _by_series(by_minute: Mapping[datetime, Mapping[Series, list[Any]]]) -> Groups:
    calls: dict[Series, list[Any]] = defaultdict(list)
    for groups in by_minute.values():
        for series, rows in groups.items():
            calls[series] += rows
    return calls


def hours_of(minutes: Iterable[Bucket]) -> list[Bucket]:
    """Return the hour buckets of ``minutes``, merged in order of time.

    The order matters to the last bit of a sum: a recount must give the same.
    """
    groups: dict[tuple[datetime, Series], list[Bucket]] = defaultdict(list)
    for one in sorted(minutes, key=lambda b: b.start):
        groups[floor(one.start, HOUR), one.series].append(one)
    return [merge(parts, series, hour) for (hour, series), parts in groups.items()]


def bucket_of(series: Series, start: datetime, rows: Sequence[Any]) -> Bucket:
    """Return the bucket of narrow call rows; failed calls have no latency and no lengths."""
    good = [row for row in rows if row.error_type is None]
    known = [row.truncated for row in rows if row.truncated is not None]
    costs = [float(row.cost_usd) for row in rows if row.cost_usd is not None]
    measures = {measure: Measured.of(values) for measure, values in _values(good).items() if values}
    return Bucket(
        series=series,
        start=start,
        calls=len(rows),
        errors=len(rows) - len(good),
        truncated=sum(known),
        truncation_known=len(known),
        cost_usd=math.fsum(costs),
        cost_known=len(costs),
        measures=measures,
        lengths=_lengths(good),
    )


def _values(rows: Sequence[Any]) -> dict[Measure, list[float]]:
    return {
        Measure.LATENCY: [r.duration_s for r in rows],
        Measure.TTFT: [
            r.time_to_first_token_s for r in rows if r.time_to_first_token_s is not None
        ],
        Measure.TPOT: [
            r.time_per_output_token_s for r in rows if r.time_per_output_token_s is not None
        ],
        Measure.INPUT_TOKENS: [r.input_tokens for r in rows if r.input_tokens is not None],
        Measure.OUTPUT_TOKENS: [r.output_tokens for r in rows if r.output_tokens is not None],
    }


def _lengths(rows: Sequence[Any]) -> dict[int, LengthClass]:
    classes: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        if row.duration_s > 0:
            classes[length_class(row.output_tokens)].append(row)
    return {key: _length_class(group) for key, group in classes.items()}


def _length_class(rows: Sequence[Any]) -> LengthClass:
    logs = [math.log(row.duration_s) for row in rows]
    return LengthClass(
        n=len(rows),
        log_latency_sum=math.fsum(logs),
        log_latency_square_sum=math.fsum(x * x for x in logs),
        length_sum=math.fsum(row.output_tokens or 0 for row in rows),
    )
