"""What changed: deploys, models, prompts, parameters and providers, and what a prompt change did."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from analysis.rollup import Groups
from analysis.windows import LengthLine, fit_line, sums
from tidegauge.bucket import Bucket, Measure
from tidegauge.clock import DAY, EPOCH
from tidegauge.finding import Change, Series, Signal
from tidegauge.store import changes as store
from tidegauge.store.changes import FieldValue
from tidegauge.store.engine import Connection

#: The fields that are watched, and what a new value of each is called.
FIELDS = {
    "service_version": "deploy",
    "prompt_version": "prompt",
    "prompt_checksum": "prompt",
    "response_model": "model",
    "provider": "provider",
    "max_tokens": "parameter",
    "temperature": "parameter",
    "top_p": "parameter",
}
_FIELDS_OF = attrgetter(*FIELDS)
_SPOKEN = ("service_version", "prompt_version")  # a prompt change with one of these is no secret
_NEAR_S = 15 * 60
_ABSENT_S = 7 * 86_400  # a value that was away so long is new again
_FRESH_S = 86_400  # a value that takes over later than this after its first call: a slow rollout
_MIN_BEFORE = 20  # calls the old value must have had: the first values ever are no change
_MIN_AFTER = 5
_SHARE = 0.5
_MAX_VALUES = 100  # a field with more values than this a week is no setting
_NS = 1_000_000_000

Values = dict[str, FieldValue]


def watch(db: Connection, project: str, calls: Groups, now: datetime) -> None:
    """Keep the values seen in ``calls`` and the changes they show; seeing calls twice adds nothing.

    A ``rollup.Watcher``.
    """
    starts = [rows[0].started_ns // _NS for rows in calls.values() if rows]
    if not starts:
        return
    since = EPOCH + timedelta(seconds=min(starts) - _ABSENT_S)
    seen: dict[tuple[Series, str], Values] = defaultdict(dict)
    for value in store.read_values(db, project, since=since):
        seen[value.series, value.field][value.value] = value
    told = {(c.series, c.field, c.after, c.at) for c in store.read_changes(db, project, since)}
    before = {key: dict(values) for key, values in seen.items()}
    found = []
    for series, rows in calls.items():
        for change in series_changes(series, rows, seen):
            if not _is_told(change, told):
                told.add((change.series, change.field, change.after, change.at))
                found.append(change)
    store.write_values(db, _differing(seen, before))
    store.write_changes(db, found)


def series_changes(
    series: Series, rows: Sequence[Any], seen: dict[tuple[Series, str], Values]
) -> list[Change]:
    """Return the changes that ``rows`` (in order of time) show; ``seen`` is brought up to date."""
    seconds = [row.started_ns // _NS for row in rows]
    found = []
    for field, column in zip(FIELDS, zip(*map(_FIELDS_OF, rows), strict=True), strict=True):
        pairs = [
            (at, str(value)) for at, value in zip(seconds, column, strict=True) if value is not None
        ]
        if pairs:
            found += _field_changes(series, field, pairs, seen)
    return [_with_silence(change, rows, series, seen) for change in found]


def _field_changes(
    series: Series,
    field: str,
    pairs: Sequence[tuple[int, str]],
    seen: dict[tuple[Series, str], Values],
) -> list[Change]:
    values = seen.get((series, field), {})
    if _nothing_new(values, pairs):
        seen[series, field] = observe(series, field, values, pairs)
        return []
    found: dict[str, Change] = {}  # by the new value: it still fills the minutes that follow
    for _, group in groupby(pairs, key=lambda pair: pair[0] // 60):
        minute = list(group)
        values = observe(series, field, values, minute)
        if change := takeover(series, field, values, minute):
            found.setdefault(change.after, change)
    seen[series, field] = values
    return list(found.values())


def _nothing_new(values: Values, pairs: Sequence[tuple[int, str]]) -> bool:
    """Return whether ``pairs`` hold one value that is no news: then no minute need be looked at."""
    value = pairs[0][1]
    if any(other != value for _, other in pairs):
        return False
    if not values.keys() - {value}:
        return True
    known = values.get(value)
    return known is not None and pairs[0][0] - known.first_seen_s > _FRESH_S


def observe(series: Series, field: str, values: Values, pairs: Sequence[tuple[int, str]]) -> Values:
    """Return ``values`` with one minute's (second, value) pairs added; the same twice adds once."""
    counted_to = max((v.last_seen_s for v in values.values()), default=-1)
    known = dict(values)
    for value, times in _times(pairs).items():
        old = known.get(value)
        if old is None and len(known) >= _MAX_VALUES:
            continue
        anew = old is None or times[0] - old.last_seen_s > _ABSENT_S
        known[value] = FieldValue(
            series=series,
            field=field,
            value=value,
            first_seen_s=times[0] if old is None or anew else min(old.first_seen_s, times[0]),
            last_seen_s=times[-1] if old is None or anew else max(old.last_seen_s, times[-1]),
            calls=len(times)
            if old is None or anew
            else old.calls + sum(at > counted_to for at in times),
        )
    return known


def _times(pairs: Sequence[tuple[int, str]]) -> dict[str, list[int]]:
    times: dict[str, list[int]] = defaultdict(list)
    for at, value in pairs:
        times[value].append(at)
    return times


def takeover(
    series: Series, field: str, values: Values, pairs: Sequence[tuple[int, str]]
) -> Change | None:
    """Return the change, where a new value now carries at least half of the minute's calls."""
    value, calls = Counter(value for _, value in pairs).most_common(1)[0]
    new = values.get(value)
    if new is None or calls < _SHARE * len(pairs) or pairs[0][0] - new.first_seen_s > _FRESH_S:
        return None
    older = [
        v
        for v in values.values()
        if v.value != value and v.first_seen_s < new.first_seen_s and v.calls >= _MIN_BEFORE
    ]
    if not older:
        return None
    alone = all(v.last_seen_s <= new.first_seen_s for v in values.values() if v.value != value)
    if calls < _MIN_AFTER and not (alone and new.calls >= _MIN_AFTER):
        return None  # a rare value may well fill a minute of three calls
    return Change(
        series=series,
        kind=FIELDS[field],
        at=EPOCH + timedelta(seconds=new.first_seen_s),
        field=field,
        before=max(older, key=lambda v: v.last_seen_s).value,
        after=value,
    )


def _with_silence(
    change: Change,
    rows: Sequence[Any],
    series: Series,
    seen: Mapping[tuple[Series, str], Values],
) -> Change:
    if change.field != "prompt_checksum":
        return change
    at = int((change.at - EPOCH).total_seconds())
    carriers = [row for row in rows if row.prompt_checksum == change.after]
    spoken = any(_moved_near(seen.get((series, f), {}), carriers, f, at) for f in _SPOKEN)
    return replace(change, silent=not spoken)


def _moved_near(values: Values, carriers: Sequence[Any], field: str, at: int) -> bool:
    """Return whether a value of ``field`` began, or another ended, within 15 minutes of ``at``.

    ``carriers`` are the calls with the new prompt: a version of theirs did not end.
    """
    now = {str(value) for row in carriers if (value := getattr(row, field)) is not None}
    for value in values.values():
        if value.value in now and abs(value.first_seen_s - at) <= _NEAR_S and len(values) > 1:
            return True
        if value.value not in now and abs(value.last_seen_s - at) <= _NEAR_S:
            return True
    return False


def _is_told(change: Change, told: Iterable[tuple[Series, str, str, datetime]]) -> bool:
    """Return whether this change is known, be it with another first call: late data move that."""
    return any(
        (series, field, after) == (change.series, change.field, change.after)
        and abs(at - change.at) <= DAY
        for series, field, after, at in told
    )


def _differing(
    seen: Mapping[tuple[Series, str], Values], before: Mapping[tuple[Series, str], Values]
) -> list[FieldValue]:
    return [
        value
        for key, values in seen.items()
        for name, value in values.items()
        if before.get(key, {}).get(name) != value
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a change did: ratios after / before, and the share of cut answers; None: not known."""

    output_tokens: float | None
    latency: float | None  # of calls of equal length
    truncated_before: float | None
    truncated_after: float | None
    calls_before: int
    calls_after: int


def effect(before: Bucket, after: Bucket) -> Effect:
    """Return the effect of a change, from the calls before it and since."""
    line = fit_line([before])
    return Effect(
        output_tokens=_ratio(before, after, Measure.OUTPUT_TOKENS),
        latency=_latency_ratio(before, after, line) if line else None,
        truncated_before=_share(before),
        truncated_after=_share(after),
        calls_before=before.calls,
        calls_after=after.calls,
    )


def _ratio(before: Bucket, after: Bucket, measure: Measure) -> float | None:
    old, new = before.measured(measure), after.measured(measure)
    if not old.n or not new.n or not old.total:
        return None
    return (new.total / new.n) / (old.total / old.n)


def _latency_ratio(before: Bucket, after: Bucket, line: LengthLine) -> float | None:
    old, new = sums(before, Signal.LATENCY, line), sums(after, Signal.LATENCY, line)
    if not old.n or not new.n:
        return None
    return math.exp(new.value - old.value)


def _share(bucket: Bucket) -> float | None:
    known = bucket.truncation_known
    return bucket.truncated / known if known else None
