"""What a page is about: which series, over which time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegauge.clock import HOUR, MINUTE, floor
from tidegauge.finding import Series

WINDOWS = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The sidebar's answer; None: all of them."""

    project: str
    service: str | None = None
    environment: str | None = None
    use_case: str | None = None
    model: str | None = None
    window: str = "24h"

    def holds(self, series: Series) -> bool:
        """Return whether ``series`` is among those asked for."""
        wanted = (
            (self.service, series.service),
            (self.environment, series.environment),
            (self.use_case, series.use_case),
            (self.model, series.model),
        )
        return all(want is None or want == has for want, has in wanted)


@dataclass(frozen=True, slots=True)
class Span:
    """A time range and the steps it is drawn in."""

    since: datetime  # UTC
    until: datetime  # UTC, exclusive
    step: timedelta  # of one point

    @property
    def rollup_s(self) -> int:
        """Return the rollup step the points are made of, seconds."""
        return 3600 if self.step >= HOUR else 60

    def week_earlier(self) -> Span:
        """Return the same hours, one week before."""
        week = timedelta(days=7)
        return Span(self.since - week, self.until - week, self.step)


def span(window: str, now: datetime) -> Span:
    """Return the last ``window`` before ``now``, on whole steps.

    Minutes for an hour, five minutes for six hours (a minute holds too few calls to draw), hours
    beyond.

    >>> from datetime import UTC
    >>> span("6h", datetime(2026, 1, 5, 10, 7, 30, tzinfo=UTC)).since.isoformat()
    '2026-01-05T04:05:00+00:00'
    """
    length = WINDOWS[window]
    return between(floor(now, MINUTE) - length, now)


def between(since: datetime, until: datetime) -> Span:
    """Return the span of any range, in the steps that suit its length."""
    length = until - since
    step = HOUR
    if length <= 1.5 * HOUR:
        step = MINUTE
    elif length <= 8 * HOUR:
        step = 5 * MINUTE
    return Span(floor(since, step), floor(until, MINUTE) + MINUTE, step)
