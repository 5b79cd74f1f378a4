"""Warnings beside a success: each is told to a sender once an hour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from collector.sender import Sender

EVERY = timedelta(hours=1)
MOST = 10_000  # remembered; a sender may call itself something else each time

_COUNT = re.compile(r"^\d+ ")  # "3 spans ..." is the same warning as "5 spans ..."


class Hints:
    """Remembers what each sender was told, and when.

    Some old clients send a batch again that was taken with a warning; the others log each one.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[Sender, str], datetime] = {}

    def due(self, sender: Sender, warnings: Sequence[str], now: datetime) -> list[str]:
        """Return those of ``warnings`` that this sender was not told within the last hour."""
        return [warning for warning in warnings if self._is_due(sender, warning, now)]

    def _is_due(self, sender: Sender, warning: str, now: datetime) -> bool:
        key = sender, _COUNT.sub("", warning)
        last = self._told.get(key)
        if last is not None and now - last < EVERY:
            return False
        if len(self._told) >= MOST:
            self._told.clear()  # rather a warning too many than memory without an end
        self._told[key] = now
        return True
