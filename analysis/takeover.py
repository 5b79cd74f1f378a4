"""When a new value of a field has taken over from the one before it; minute by minute."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

_MIN_BEFORE = 20  # calls the old value must have had: the first values ever are no change
_MIN_AFTER = 5
_KEEP = 0.5 ** (1 / 15)  # what was usual is forgotten with a half-life of 15 minutes with calls
_EVEN = 0.5  # a value that usually carries more must still only beat this: it has never taken over
#: So unlikely must a run of the new value be, had the old mixture gone on: nats.
_NATS = 14.0
#: The same by whole minutes: values that take turns by the minute are one mixture.
_MINUTE_NATS = 3.5
#: And so unlikely, did it carry but half of the calls since its first, where some carry another:
#: 14 of 15 pass. A split of the traffic that begins may well have the majority in its first minutes.
_LEAD_NATS = 7.0
_FEW = 0.01  # calls of a value, forgotten so far, that no longer count
_MOST = 8  # values whose shares are kept
_SHOWN = 180  # characters of a long value that are kept
_LONGEST = 200


class Minute(NamedTuple):
    """What one minute's calls carry of one field; calls without it are left out."""

    total: int
    value: str  # the most frequent
    calls: int  # how many carry it
    first_s: int  # its first call, seconds since 1970
    other: str | None  # the second most frequent
    other_calls: int
    other_s: int  # its first call; 0: none
    since: int  # calls from the first call of the value on
    other_since: int


class Takeover(NamedTuple):
    """A new value holds the majority."""

    at_s: int  # first call of this run of it
    before: str
    after: str


@dataclass(slots=True)
class Run:
    """Minutes in a row in which one new value holds the majority."""

    value: str
    at_s: int
    share: float  # of the calls before the run, that it carried
    minute_share: float  # of the minutes before, in which it had the majority
    calls: int = 0
    total: int = 0
    since: int = 0  # calls from its first one on
    minutes: int = 0

    @property
    def is_evident(self) -> bool:
        """Return whether chance alone would not have made this run from what was usual."""
        if self.calls < _MIN_AFTER:
            return False
        if self.minute_share and self.minutes * -math.log(self.minute_share) < _MINUTE_NATS:
            return False
        lead = self.since * _divergence(self.calls / self.since, _EVEN)
        if self.calls < self.since and lead < _LEAD_NATS:
            return False
        return self.total * _divergence(self.calls / self.total, self.share) >= _NATS


@dataclass(slots=True)
class Watched:
    """All that is remembered of one field of a series between two minutes."""

    value: str | None = None  # which holds the field
    held: int = 0  # calls that carried it, up to _MIN_BEFORE
    top: str | None = None  # the last minute's majority, taken over or not
    switched_s: int | None = None  # when that last became another one
    calls: float = 0.0  # calls and minutes so far, the older the less
    minutes: float = 0.0
    shares: dict[str, list[float]] = field(default_factory=dict)  # the same two of each value
    run: Run | None = None
    last_minute: int = 0
    last_other: str | None = None
    last_other_s: int = 0

    def pack(self) -> list[Any]:
        """Return JSON values."""
        run = self.run
        return [
            self.value,
            self.held,
            self.top,
            self.switched_s,
            self.calls,
            self.minutes,
            self.shares,
            list(astuple(run)) if run else None,
            self.last_minute,
            self.last_other,
            self.last_other_s,
        ]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Watched:
        """Return what ``pack`` wrote."""
        shares = {value: list(share) for value, share in packed[6].items()}
        run = Run(*packed[7]) if packed[7] else None
        return cls(*[*packed[:6], shares, run, *packed[8:]])


def short(value: object) -> str:
    """Return a value as the text it is known by: a long one is cut and ends in its hash.

    An app may put 16 kB into a version: too long to show, and to tell apart by its start.

    >>> short(0.5), len(short("x" * 10_000)) <= 200, short("x" * 300) == short("x" * 301)
    ('0.5', True, False)
    """
    text = str(value)
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{text[:_SHOWN]}... #{digest}"


def minute_of(seconds: Sequence[int], values: Sequence[object]) -> Minute | None:
    """Return one minute's calls of a field taken together; None where no call carries it.

    >>> minute_of([3, 4, 5], ["a", None, "b"])
    Minute(total=2, value='a', calls=1, first_s=3, other='b', other_calls=1, other_s=5, since=2, other_since=1)
    """
    first, n = values[0], len(values)
    if first is not None and values.count(first) == n:
        return Minute(n, short(first), n, seconds[0], None, 0, 0, n, 0)
    known = [(at, value) for at, value in zip(seconds, values, strict=True) if value is not None]
    if not known:
        return None
    counts = Counter(value for _, value in known)
    starts = {value: n for n, (_, value) in reversed(list(enumerate(known)))}
    ranks = sorted(counts, key=lambda value: (-counts[value], short(value)))[:2]
    most, other = ranks[0], ranks[1] if len(ranks) > 1 else None
    begun = 0 if other is None else starts[other]
    return Minute(
        total=len(known),
        value=short(most),
        calls=counts[most],
        first_s=known[starts[most]][0],
        other=None if other is None else short(other),
        other_calls=0 if other is None else counts[other],
        other_s=0 if other is None else known[begun][0],
        since=len(known) - starts[most],
        other_since=0 if other is None else len(known) - begun,
    )


def step(seen: Watched, minute: int, now: Minute) -> Takeover | None:
    """Bring ``seen`` up to one more minute (its number since 1970); return what took over in it."""
    now = _untied(seen, now)
    found = None
    holds = 2 * now.calls >= now.total
    if not holds:
        seen.run = None
    else:
        found = _held(seen, minute, now)
    _remember(seen, minute, now, holds=holds)
    return found


def _untied(seen: Watched, now: Minute) -> Minute:
    """Return ``now`` with the likelier of two equally frequent values first.

    That is the one that all calls carry since its first; else the one that was there before.
    """
    if now.other is None or now.other_calls != now.calls:
        return now
    took_over = now.since == now.calls or now.other_since == now.other_calls
    first = now.since == now.calls if took_over else now.other != seen.value
    if first:
        return now
    return now._replace(
        value=now.other,
        first_s=now.other_s,
        since=now.other_since,
        other=now.value,
        other_s=now.first_s,
        other_since=now.since,
    )


def _held(seen: Watched, minute: int, now: Minute) -> Takeover | None:
    """Return what took over in a minute in which ``now.value`` has the majority."""
    if seen.top != now.value:
        if seen.top is not None:
            seen.switched_s = _begin(seen, minute, now)
        seen.top = now.value
    if seen.value is None or seen.value == now.value:
        seen.value, seen.run = now.value, None
        seen.held = min(seen.held + now.calls, _MIN_BEFORE)
        return None
    run = seen.run
    if run is None or run.value != now.value:
        run = seen.run = _run(seen, minute, now)
    run.total += now.total
    run.since += now.total if run.minutes else now.since
    run.calls += now.calls
    run.minutes += 1
    if seen.held < _MIN_BEFORE:
        if run.calls >= max(_MIN_AFTER, seen.held):  # the first values ever: no change
            seen.value, seen.held, seen.run = run.value, min(run.calls, _MIN_BEFORE), None
        return None
    if not run.is_evident:
        return None
    found = Takeover(run.at_s, seen.value, run.value)
    seen.value, seen.run = run.value, None
    return found


def _run(seen: Watched, minute: int, now: Minute) -> Run:
    """Return a run that begins; with what was usual of its value before."""
    calls, minutes = seen.shares.get(now.value, (0.0, 0.0))
    return Run(
        now.value,
        _begin(seen, minute, now),
        min((calls + 0.25) / (seen.calls + 0.5), _EVEN),
        min(minutes / seen.minutes, _EVEN) if seen.minutes else 0.0,
    )


def _begin(seen: Watched, minute: int, now: Minute) -> int:
    """Return the first call of a run: it may lie in the minute before, as its lesser part."""
    if seen.last_minute == minute - 1 and seen.last_other == now.value:
        return seen.last_other_s
    return now.first_s


def _remember(seen: Watched, minute: int, now: Minute, *, holds: bool) -> None:
    seen.calls = seen.calls * _KEEP + now.total
    seen.minutes = seen.minutes * _KEEP + 1
    shares = seen.shares
    for share in shares.values():
        share[0] *= _KEEP
        share[1] *= _KEEP
    mine = shares.setdefault(now.value, [0.0, 0.0])
    mine[0] += now.calls
    mine[1] += holds
    if now.other is not None:
        shares.setdefault(now.other, [0.0, 0.0])[0] += now.other_calls
    if len(shares) > 1:
        kept = sorted(shares, key=lambda value: (-shares[value][0], value))[:_MOST]
        seen.shares = {value: shares[value] for value in kept if shares[value][0] >= _FEW}
    seen.last_minute, seen.last_other, seen.last_other_s = minute, now.other, now.other_s


def _divergence(share: float, usual: float) -> float:
    """Return how many nats a call speaks for ``share``, against ``usual``; 0 where it is no rise.

    Source: Chernoff's bound on a binomial tail. ``usual`` is above 0 and at most a half.
    """
    if share <= usual:
        return 0.0
    rest = (1 - share) * math.log((1 - share) / (1 - usual)) if share < 1 else 0.0
    return share * math.log(share / usual) + rest
