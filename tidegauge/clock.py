"""The only place that reads the time; always UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def now() -> datetime:
    """Return the present moment, UTC, aware. Called at entry points only; others take ``now``."""
    return datetime.now(UTC)


def floor(at: datetime, step: timedelta) -> datetime:
    """Return the last multiple of ``step`` since 1970 that is not after ``at``.

    >>> floor(datetime(2026, 1, 5, 10, 7, 31, tzinfo=UTC), MINUTE).isoformat()
    '2026-01-05T10:07:00+00:00'
    """
    return at - (at - EPOCH) % step
