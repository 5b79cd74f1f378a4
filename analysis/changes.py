"""What changed: deploys, models, prompts, parameters and providers, and what a prompt change did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from analysis.rollup import Groups
from analysis.takeover import Minute, Takeover, Watched, minute_of, step
from tidegauge.clock import EPOCH, HOUR, MINUTE
from tidegauge.finding import Change, Series
from tidegauge.store import changes as store
from tidegauge.store.changes import Found, WatchedHour
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
_NAMES = tuple(FIELDS)
_FIELDS_OF = attrgetter(*FIELDS)
_SPOKEN = ("service_version", "prompt_version")  # a prompt change with one of these is no secret
_NEAR_S = 15 * 60
_FORGOTTEN = timedelta(days=7)  # after a pause so long the first value is no change
KEEP = timedelta(days=8)  # of the watched hours; the changes stay
_NS = 1_000_000_000

#: What the minutes of an hour carry: by the minute's number since 1970, then by field.
Minutes = dict[int, dict[str, Minute]]
State = dict[str, Watched]


@dataclass(slots=True)
class Hour:
    """One hour of one series: its minutes, and how far the search has got at its end."""

    minutes: Minutes
    end: list[Any]  # packed State
    found: int = 0  # changes that its minutes show


def watch(db: Connection, project: str, calls: Groups, now: datetime) -> None:
    """Keep what ``calls`` carry of the watched fields, and the changes that shows.

    A ``rollup.Watcher``. Minutes are replaced, never added to, and what follows from them is found
    anew: in whatever order and pieces calls arrive, the changes end up the same.
    """
    fresh = {series: minutes_of(rows) for series, rows in calls.items() if rows}
    touched = [hour_of(minute) for minutes in fresh.values() for minute in minutes]
    if not touched:
        return
    first, last = min(touched), max(touched)
    there = store.read_hours(db, project, first - HOUR, last + HOUR)
    later = store.series_after(db, project, last)
    by_series: dict[Series, dict[datetime, Hour]] = defaultdict(dict)
    for (series, hour), one in there.items():
        if series in fresh:
            by_series[series][hour] = _unpack(one)
    written = []
    for series, minutes in fresh.items():
        hours = by_series[series]
        start = min(map(hour_of, minutes))
        if not any(hour < start for hour in hours):
            before = store.hour_before(db, series, start, start - _FORGOTTEN)
            hours |= {before.hour: _unpack(before)} if before else {}
        if series in later:
            hours |= {one.hour: _unpack(one) for one in store.hours_after(db, series, last)}
        written += _rework(db, series, hours, minutes)
    store.write_hours(db, written)


def _rework(
    db: Connection, series: Series, hours: dict[datetime, Hour], fresh: Minutes
) -> list[WatchedHour]:
    """Return the hours that ``fresh`` minutes change; the changes they show are kept at once."""
    touched = set(map(hour_of, fresh))
    for hour in touched - hours.keys():
        hours[hour] = Hour({}, [])
    for minute, fields in fresh.items():
        hours[hour_of(minute)].minutes[minute] = fields
    start, written = min(touched), []
    before: Sequence[Any] | None = None  # the end of the hour before
    at: datetime | None = None  # and its start
    same = True  # whether that end is the one it had
    for hour in sorted(hours):
        one = hours[hour]
        if hour >= start and (hour in touched or not same):
            known = before if at and hour - at <= _FORGOTTEN else None
            end, found = search(series, known, one.minutes)
            same = end == one.end
            if found or one.found:
                store.replace_changes(db, series, hour, found)
            hours[hour] = one = Hour(one.minutes, end, len(found))
            written.append(WatchedHour(series, hour, _pack(one)))
        else:
            same = True
        before, at = one.end, hour
    return written


def search(
    series: Series, before: Sequence[Any] | None, minutes: Minutes
) -> tuple[list[Any], list[Found]]:
    """Return the state after ``minutes``, packed, and the changes they show.

    ``before`` is the packed state at their start; None: nothing is known of the time before.
    """
    packed = before or [None] * len(_NAMES)
    state = {
        name: Watched.unpack(one) if one else Watched()
        for name, one in zip(_NAMES, packed, strict=True)
    }
    found = []
    for minute in sorted(minutes):
        for name, now in minutes[minute].items():
            taken = step(state[name], minute, now)
            if taken:
                change = _change(series, name, taken, state)
                found.append(Found(change, EPOCH + minute * MINUTE))
    return [state[name].pack() for name in _NAMES], found


def _change(series: Series, name: str, taken: Takeover, state: State) -> Change:
    spoken = any(
        (switched := state[one].switched_s) is not None and abs(switched - taken.at_s) <= _NEAR_S
        for one in _SPOKEN
    )
    return Change(
        series=series,
        kind=FIELDS[name],
        at=EPOCH + timedelta(seconds=taken.at_s),
        field=name,
        before=taken.before,
        after=taken.after,
        silent=name == "prompt_checksum" and not spoken,
    )


def minutes_of(rows: Sequence[Any]) -> Minutes:
    """Return what the minutes of ``rows`` (in order of time) carry of the watched fields."""
    found: Minutes = {}
    for minute, group in groupby(rows, key=lambda row: row.started_ns // (60 * _NS)):
        calls = list(group)
        seconds = [row.started_ns // _NS for row in calls]
        columns = zip(*map(_FIELDS_OF, calls), strict=True)
        known = zip(_NAMES, (minute_of(seconds, values) for values in columns), strict=True)
        found[minute] = {name: one for name, one in known if one}
    return found


def hour_of(minute: int) -> datetime:
    """Return the start of the hour of a minute, by its number since 1970."""
    return EPOCH + minute // 60 * HOUR


def _pack(one: Hour) -> dict[str, Any]:
    return {
        "minutes": {
            str(minute): [[_NAMES.index(name), *now] for name, now in fields.items()]
            for minute, fields in one.minutes.items()
        },
        "end": one.end,
        "found": one.found,
    }


def _unpack(one: WatchedHour) -> Hour:
    minutes = {
        int(minute): {_NAMES[index]: Minute(*now) for index, *now in fields}
        for minute, fields in one.body["minutes"].items()
    }
    return Hour(minutes, one.body["end"], one.body["found"])
