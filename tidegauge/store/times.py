"""Times as the tables keep them: whole seconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_s(at: datetime) -> int:
    """Return whole seconds since 1970, rounded down.

    >>> to_s(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    60
    """
    return (at - _EPOCH) // timedelta(seconds=1)


def from_s(seconds: int) -> datetime:
    """Return the UTC time of ``seconds`` since 1970."""
    return _EPOCH + timedelta(seconds=seconds)
