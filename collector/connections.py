"""The open connections of the HTTP edge: what each waits for, and which of them has to go."""

from __future__ import annotations

import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

OTHER_FILES = 224  # what the process opens besides: database, log, libraries
MOST = 1_000  # more would cost memory (a header may have 64 KiB) and no real fleet needs it
PATIENCE_S = 3.0  # a body that takes longer gives its place to a newcomer


class Phase(StrEnum):
    """What a connection waits for."""

    HEAD = "head"  # the end of the request's header, or of the TLS handshake
    BODY = "body"  # the rest of the request
    ANSWER = "answer"  # us, or a client that does not read
    IDLE = "idle"  # the next request


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a connection may stay in each phase, seconds.

    ``idle_s`` is longer than the interval of any exporter: a connection that is cut while a batch
    is on its way can cost the batch. ``body_s`` comes after the one that answers a slow body.
    """

    head_s: float = 10.0
    body_s: float = 32.0
    answer_s: float = 30.0
    idle_s: float = 90.0

    def of(self, phase: Phase) -> float:
        """Return the time that a phase may take, seconds."""
        return float(getattr(self, f"{phase}_s"))


class Connection(Protocol):
    """What can be ended from outside."""

    def end(self) -> None:
        """Close the connection now; nobody waits for it any more."""


class Connections:
    """At most ``most`` connections, each in a phase. On the event loop only; ``clock`` in seconds.

    A client that is slow on purpose must not lock others out: where there is no room, the one that
    has been the longest in its header goes, else the slowest body, else the longest idle one.
    """

    def __init__(
        self,
        most: int,
        clock: Callable[[], float],
        *,
        deadlines: Deadlines | None = None,
        closed: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.most = most
        self._clock = clock
        self._deadlines = deadlines or Deadlines()
        self._closed = closed
        self._phase_of: dict[Connection, Phase] = {}
        # By phase, the one that entered it first in front.
        self._since: dict[Phase, OrderedDict[Connection, float]] = {
            phase: OrderedDict() for phase in Phase
        }

    def __len__(self) -> int:
        return len(self._phase_of)

    def enter(self, one: Connection) -> bool:
        """Take in a new connection. Return False where nothing but real work fills the room."""
        if len(self) >= self.most:
            victim = self._victim()
            if victim is None:
                self._closed("full")
                return False
            self._end(victim, "made_room")
        self.move(one, Phase.HEAD)
        return True

    def move(self, one: Connection, phase: Phase) -> None:
        """Say that a connection is in ``phase`` from now on."""
        self.leave(one)
        self._phase_of[one] = phase
        self._since[phase][one] = self._clock()

    def leave(self, one: Connection) -> None:
        """Forget a connection that is closed; a second time does nothing."""
        phase = self._phase_of.pop(one, None)
        if phase is not None:
            del self._since[phase][one]

    def phase(self, one: Connection) -> Phase | None:
        """Return what a connection waits for; None if it is not known (any more)."""
        return self._phase_of.get(one)

    def end_overdue(self) -> None:
        """Close every connection that is too long in its phase."""
        for phase, within in self._since.items():
            limit = self._clock() - self._deadlines.of(phase)
            while within and (first := next(iter(within.items())))[1] <= limit:
                self._end(first[0], f"slow_{phase}")

    def end_all(self, phase: Phase) -> None:
        """Close every connection in a phase."""
        for one in list(self._since[phase]):
            self.leave(one)
            one.end()

    def _victim(self) -> Connection | None:
        for phase, patience_s in ((Phase.HEAD, 0.0), (Phase.BODY, PATIENCE_S), (Phase.IDLE, 0.0)):
            first = next(iter(self._since[phase].items()), None)
            if first is not None and self._clock() - first[1] >= patience_s:
                return first[0]
        return None

    def _end(self, one: Connection, why: str) -> None:
        self.leave(one)
        self._closed(why)
        one.end()


def most_connections(asked: int | None) -> int:
    """Return how many connections an edge may have: as asked, but never more than files are left.

    Two edges share the files of the process (``ulimit -n``).
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MOST if files == resource.RLIM_INFINITY else max(16, (files - OTHER_FILES) // 2)
    return min(asked or MOST, room)
