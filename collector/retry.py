"""When a sender that is put off should come back."""

from __future__ import annotations

import random
from collections.abc import Callable

SUSTAINED_S = 10.0
CALM_S = 3.0


class Retry:
    """Seconds to wait: 1, and 2 or 3 by chance once people have been put off for a while.

    With one answer for all, those put off would come back together. More than 5 makes clients drop
    their batch at once.
    """

    def __init__(self, clock: Callable[[], float], *, seed: int | None = None) -> None:
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311  (spreads load, guards nothing)
        self._began = self._last = float("-inf")

    def after_s(self) -> int:
        """Return what to tell a sender that is put off now."""
        now = self._clock()
        if now - self._last > CALM_S:
            self._began = now
        self._last = now
        return self._random.choice((2, 3)) if now - self._began > SUSTAINED_S else 1
