"""What is normal: learn every series' rhythm, wander and tail from its own past."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analysis.profile import LONGEST_DAYS, MEANS, SHARES, Replayed, fit, replay
from analysis.tails import Tail, excess_variance, mean_nats, rate_nats, tail_of
from analysis.windows import (
    RATES,
    History,
    LengthLine,
    Numbers,
    Usual,
    fit_line,
    history,
    profile_at,
    profile_over,
    seconds,
)
from tidegauge.bucket import Bucket, Measure
from tidegauge.clock import DAY, EPOCH, HOUR, MINUTE, floor
from tidegauge.finding import Series, Signal
from tidegauge.histogram import Histogram
from tidegauge.normal import Normal
from tidegauge.policy import Policy
from tidegauge.store import jobs, normals, rollups
from tidegauge.store.engine import Connection, Engine, read, write
from tidegauge.store.normals import AlertSpan

VERSION = 1  # of the method; what another version learned is learned anew
_MIN_HOUR_CALLS = 5  # an hour with fewer calls teaches nothing
_PRIOR_WINDOWS = 6.0
_LEAST_OF_LEVEL = 0.3  # of a rate's level: an hour's usual rate is never below
_SHORT_PAST = DAY / 2  # minutes that teach how short windows wander
_LONG, _SLOW = 0.995, 0.99
_AT_ONCE = 200  # series learned in one look, about 0.1 s each: detection waits behind
_MARK = "learn"  # how far the slots of the hour have been worked through
_MORE_HOURS = 1.1  # so many times the hours of last time: old calls have arrived
#: Nothing is so steady that it never wanders less: standard deviation on the ln scale.
_FLOOR_LOG = 0.03
#: The same for a rate: a share of the rate itself, and a tenth of a percentage point.
_FLOOR_RATE, _FLOOR_POINTS = 0.3, 0.001
_GROWTH = 0.25  # short windows wander more: variance grows by (60 / minutes) ** 0.25, unless shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What is normal for one signal of one series, and all a detector needs to judge by it."""

    normal: Normal
    call_variance: float  # between single calls
    wander: Mapping[int, float]  # by window length in minutes: variance between ordinary windows
    tail: Tail
    line: LengthLine | None = None
    long_output: float | None = None  # tokens that 99.5 % of the answers stay below
    slow_s: float | None = None  # latency only: 99 % of the calls have ended after so long

    def usual(self, at: datetime, minutes: int) -> Usual:
        """Return what a window of ``minutes`` around ``at`` usually shows."""
        return Usual(
            value=profile_at(self.normal.profile, at),
            wander=self.wander.get(minutes, self.normal.wander_sd**2),
            call_variance=self.call_variance,
            hours=self.normal.hours,
            tail_from=self.tail.start,
            tail_scale=self.tail.scale,
            line=self.line,
        )

    def state(self) -> dict[str, Any]:
        """Return what the table keeps beside the profile, as JSON values."""
        line = self.line
        return {
            "call_variance": self.call_variance,
            "wander": {str(k): v for k, v in self.wander.items()},
            "tail": [self.tail.start, self.tail.scale],
            "line": [line.base_s, line.per_token_s, line.reference, line.unknown] if line else None,
            "long_output": self.long_output,
            "slow_s": self.slow_s,
        }


def restore(normal: Normal, state: Mapping[str, Any]) -> Learned:
    """Return what ``Learned.state`` wrote."""
    return Learned(
        normal=normal,
        call_variance=state["call_variance"],
        wander={int(k): v for k, v in state["wander"].items()},
        tail=Tail(*state["tail"]),
        line=LengthLine(*state["line"]) if state["line"] else None,
        long_output=state["long_output"],
        slow_s=state.get("slow_s"),
    )


def learn(hours: Sequence[Bucket], signal: Signal, series: Series, now: datetime) -> Learned | None:
    """Return what the hour buckets before the hour of ``now`` teach; None where no hour has calls.

    ``hours`` holds none that lie in an open alert of this signal: those must not teach.
    """
    before = floor(now, HOUR)
    known = [b for b in hours if before - timedelta(days=LONGEST_DAYS) <= b.start < before]
    line = fit_line(known) if signal is Signal.LATENCY else None
    past = history(known, signal, line)
    past = past.where(past.n >= _MIN_HOUR_CALLS)
    if not len(past):
        return None
    call_variance = _call_variance(past, signal)
    variance = call_variance / past.n
    pseudo = SHARES if signal in RATES else MEANS
    told = replay(past, variance, seconds(before), pseudo)
    profile = fit(past, variance, seconds(before), pseudo) + told.recent
    if signal in RATES:
        profile = _positive(profile, past)
        actual = told.error + told.predicted
        predicted = _positive(told.predicted, past)
        told = replace(told, predicted=predicted, error=actual - predicted)
    wander = _wander(told, call_variance, signal, float(np.mean(profile)))
    normal = Normal(
        series=series,
        signal=signal,
        learned_at=now,
        hours=len(past),
        log_scale=signal not in RATES,
        profile=tuple(profile.tolist()),
        wander_sd=math.sqrt(wander),
        version=VERSION,
    )
    return Learned(
        normal=normal,
        call_variance=call_variance,
        wander={60: wander},
        tail=_tail(told, call_variance, wander, signal),
        line=line,
        long_output=_quantile(known, Measure.OUTPUT_TOKENS, _LONG)
        if signal is Signal.OUTPUT_TOKENS
        else None,
        slow_s=_quantile(known, Measure.LATENCY, _SLOW) if signal is Signal.LATENCY else None,
    )


def with_scales(learned: Learned, minutes: Sequence[Bucket], windows_min: Sequence[int]) -> Learned:
    """Return ``learned`` with the wander of each window length, as the last minutes show it."""
    past = history(minutes, learned.normal.signal, learned.line)
    return replace(
        learned,
        wander={m: _wander_at(learned, past, m) for m in sorted({*windows_min, 60})},
    )


def _wander_at(learned: Learned, minutes: History, length: int) -> float:
    hour: float = learned.normal.wander_sd**2
    if length >= 60:
        return hour
    prior: float = hour * (60 / length) ** _GROWTH
    if not len(minutes):
        return prior
    past = minutes.by(60 * length)
    middle = past.start + 30 * length
    usual = profile_over(learned.normal.profile, middle)
    errors = past.total / past.n - usual
    sampling = learned.call_variance / past.n
    shown = excess_variance(errors, sampling, prior, _PRIOR_WINDOWS)
    # Windows with few calls say little of the wander: their own noise hides it.
    doubt = 2 / float(np.sum(1 / np.square(shown + sampling)))
    trust: float = prior**2 / (prior**2 + doubt)
    return max(hour, prior + trust * (shown - prior))


def _call_variance(past: History, signal: Signal) -> float:
    n = float(past.n.sum())
    if signal in RATES:
        share = (float(past.total.sum()) + 0.5) / (n + 1)
        return share * (1 - share)
    within = past.squares - np.square(past.total) / past.n
    # Two calls at least differ by what the histogram of a quiet model differs by.
    spread = float(within.sum()) / max(n - len(past), 1.0)
    return max(spread, _FLOOR_LOG * _FLOOR_LOG)


def _positive(rates: Numbers, past: History) -> Numbers:
    """Return a rate's profile, nowhere far below its level.

    An hour of the day that happened to see no event yet is not one without events: held against
    almost 0, its first event would look like a miracle.
    """
    level = (float(past.total.sum()) + 0.5) / (float(past.n.sum()) + 1)
    return np.asarray(np.clip(rates, _LEAST_OF_LEVEL * level, 1.0))


def _floor(signal: Signal, level: float) -> float:
    if signal in RATES:
        least = max(_FLOOR_RATE * level, _FLOOR_POINTS)
        return least * least
    return _FLOOR_LOG * _FLOOR_LOG


def _wander(told: Replayed, call_variance: float, signal: Signal, level: float) -> float:
    least = _floor(signal, level)
    if not len(told.error):
        return 4 * least  # a first day: nothing yet to hold the profile against
    shown = excess_variance(told.error, call_variance / told.n, least, _PRIOR_WINDOWS)
    return max(shown, least)


def _tail(told: Replayed, call_variance: float, wander: float, signal: Signal) -> Tail:
    if not len(told.error):
        return Tail()
    if signal in RATES:
        events = np.round((told.error + told.predicted) * told.n)
        return tail_of(rate_nats(events, told.n, told.predicted, wander))
    return tail_of(mean_nats(told.error / np.sqrt(wander + call_variance / told.n)))


def _quantile(hours: Sequence[Bucket], measure: Measure, share: float) -> float | None:
    whole: Counter[int] = Counter()
    for one in hours:
        whole.update(one.measured(measure).histogram.counts)
    return Histogram(whole).quantile(share)


def relearn(engine: Engine, policy: Policy, now: datetime, at_once: int = _AT_ONCE) -> int:
    """Learn every series that is due and return how many (series, signal) were learned.

    Every series is due at its own minute of the hour, so that no look learns them all; and all are
    due when a project is new or old calls have arrived. About ``at_once`` series are learned, a
    minute's whole; the mark stays at the minute reached, and the next run goes on from there.
    """
    with read(engine) as db:
        last = jobs.mark(db, _MARK)
        projects = {project: normals.hours_known(db, project) for project in rollups.projects(db)}
        known = [one for project in projects for one in rollups.series_of(db, project).items()]
        jumped = {project for project, hours in projects.items() if _jumped(db, project, hours)}
    if jumped or (last is not None and last > now):
        last = None
    due, reached = due_until(known, last, now, at_once)
    count = sum(_relearn(engine, one, policy, now) for one in due)
    if last is None or floor(last, MINUTE) < floor(reached, MINUTE):
        with write(engine) as db:
            jobs.set_mark(db, _MARK, reached)
            for project in jumped | {one.project for one in due}:
                jobs.set_mark(db, _hours_mark(project), EPOCH + projects[project] * HOUR)
            if reached == now:  # else some have only not had their turn yet
                for project in projects:
                    normals.forget_normals(db, project, now - DAY)
    return count


def due_until(
    known: Sequence[tuple[int, Series]], last: datetime | None, now: datetime, at_once: int
) -> tuple[list[Series], datetime]:
    """Return the series whose turn it is, and the moment up to which all have had theirs."""
    due: list[Series] = []
    for minute in slots(last, now):
        if len(due) >= at_once:
            return due, minute - MINUTE
        due += [one for id_, one in known if id_ % 60 == minute.minute]
    return due, now


def slots(last: datetime | None, now: datetime) -> list[datetime]:
    """Return the minutes that have begun since ``last``, at most those of the last hour.

    A ``last`` that is later than ``now`` is of a clock that was wrong.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 5, 10, 59, 40, tzinfo=UTC)
    >>> [m.minute for m in slots(at, at + timedelta(seconds=90))], len(slots(at, at + DAY))
    ([0, 1], 60)
    >>> len(slots(at + DAY, at))
    60
    """
    end = floor(now, MINUTE)
    first = end - HOUR + MINUTE
    if last is not None and last <= now:
        first = max(first, floor(last, MINUTE) + MINUTE)
    return [first + n * MINUTE for n in range((end - first) // MINUTE + 1)]


def _jumped(db: Connection, project: str, hours: int) -> bool:
    """Return whether so many more hours are known than when the project was last learned from."""
    mark = jobs.mark(db, _hours_mark(project))
    return hours > (_MORE_HOURS * ((mark - EPOCH) / HOUR) if mark else 0)


def _hours_mark(project: str) -> str:
    """Return the name of the mark of how many hours were known: so many after 1970."""
    return f"{_MARK} {VERSION} {project}"


def _relearn(engine: Engine, one: Series, policy: Policy, now: datetime) -> int:
    with read(engine) as db:  # one series at a time: short transactions, bounded memory
        alerts = normals.alert_spans(db, one.project, now - LONGEST_DAYS * DAY)
        hours = _read(db, one, rollups.HOUR_S, now - LONGEST_DAYS * DAY, now)
        minutes = _read(db, one, rollups.MINUTE_S, now - _SHORT_PAST, now) if hours else []
    mine = [span for span in alerts if span.series == one]
    learned = learn_series(one, hours, minutes, mine, policy, now)
    with write(engine) as db:
        normals.write_normals(db, [(x.normal, x.state()) for x in learned])
    return len(learned)


def _read(
    db: Connection, one: Series, step_s: int, since: datetime, until: datetime
) -> list[Bucket]:
    shapes = step_s == rollups.HOUR_S  # the minutes' histograms teach nothing
    return rollups.read_buckets(db, one.project, step_s, since, until, series=one, shapes=shapes)


def learn_series(
    series: Series,
    hours: Sequence[Bucket],
    minutes: Sequence[Bucket],
    alerts: Sequence[AlertSpan],
    policy: Policy,
    now: datetime,
) -> list[Learned]:
    """Return what is normal for every signal of one series that has been seen."""
    found = []
    for signal in Signal:
        open_alerts = [span for span in alerts if span.signal is signal]
        learned = learn(_teaching(hours, open_alerts, HOUR), signal, series, now)
        if learned:
            calm = _teaching(minutes, open_alerts, MINUTE)
            found.append(with_scales(learned, calm, policy.windows_min))
    return found


def _teaching(
    buckets: Sequence[Bucket], alerts: Sequence[AlertSpan], step: timedelta
) -> list[Bucket]:
    """Return the buckets outside the alerts. After a day in an alert the new level is the usual."""
    spans = [
        (span.since - step, min(span.until or span.since + DAY, span.since + DAY))
        for span in alerts
    ]
    return [b for b in buckets if not any(since < b.start < until for since, until in spans)]
