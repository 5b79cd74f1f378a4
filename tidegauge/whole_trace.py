"""A trace put together: which of its spans are calls, each counted once, and what they inherit.

Pure, and a function of the set of spans alone: the order and the batches in which they came in do
not matter. Its rules and limits: docs/decisions/0015.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from tidegauge.call import NotCounted
from tidegauge.member import Key, Member, Place, named_by, rank, use_case

#: An id that more spans bear at one time names no answer: a mock, or a cache.
MOST_TELLERS = 16
_DEEP = 128  # levels of a trace that are climbed
#: Two spans of one call that nothing else ties together start so close to each other.
NEAR_NS = 1_000_000_000
_CLOCK_NS = 2_000_000  # by so much may two spans of one process seem to overlap
_SERVER = 2  # SpanKind
_RETRIED = frozenset({"rate_limit", "timeout", "overloaded", "server", "connection"})


def places(members: Sequence[Member], crowded: Collection[Key] = frozenset()) -> dict[Key, Place]:
    """Return what each span is.

    ``members``: all known spans of some traces, and of every trace that a span without a parent
    among them shares an answer or a failure with (``may_meet``). ``crowded``: those among them
    that so many others meet at one time that nothing can be told: they are joined to no other trace.
    """
    return _Traces(members, crowded).places()


def may_meet(one: Member) -> bool:
    """Return whether a span of another trace may tell of the same call: neither has a parent."""
    told = one.response_id is not None or one.error_type is not None
    return one.operation is not None and one.parent_span_id is None and told


class _Groups:
    """Disjoint sets of members, by position."""

    def __init__(self, size: int) -> None:
        self._up = list(range(size))

    def of(self, one: int) -> int:
        """Return the position that stands for the set of ``one``."""
        while self._up[one] != one:
            self._up[one] = one = self._up[self._up[one]]
        return one

    def join(self, one: int, other: int) -> None:
        """Make two sets one."""
        # The lesser one stands for both, whatever came first: members are sorted.
        low, high = sorted((self.of(one), self.of(other)))
        self._up[high] = low


class _Traces:
    """The spans of some traces, sorted, with the ancestors of each."""

    def __init__(self, members: Sequence[Member], crowded: Collection[Key]) -> None:
        self._crowded = crowded
        self._all = sorted(members, key=lambda one: (one.trace_id, one.start_ns, one.span_id))
        self._at = {one.key: place for place, one in enumerate(self._all)}
        self._above = [list(self._ancestors(place)) for place in range(len(self._all))]
        self._calls = [place for place, one in enumerate(self._all) if one.operation]
        self._groups = _Groups(len(self._all))
        self._last: dict[int, int] = {}  # a failed attempt: the last one of its call
        self._tried: Counter[int] = Counter()  # the last attempt: how many there were before it
        self._sums: set[int] = set()

    def places(self) -> dict[Key, Place]:
        """Return what each span is."""
        if len(self._calls) > 1:
            self._find_retries()
            self._join_answers()
            self._join_sdk_spans()
            self._join_nested()
        found = dict(self._counted())
        for place, one in enumerate(self._all):
            if one.key not in found:
                found[one.key] = self._place(place, NotCounted.WRAPPER)
        return found

    def _ancestors(self, place: int) -> Iterator[int]:
        """Yield the spans above, the nearest first; none where they go in a circle."""
        found: list[int] = []
        seen = {place}
        one = self._all[place]
        while one.parent_span_id is not None:
            above = self._at.get((one.trace_id, one.parent_span_id))
            if above is None:
                break
            if above in seen:
                return
            if len(found) == _DEEP:
                break
            seen.add(above)
            found.append(above)
            one = self._all[above]
        yield from found

    def _find_retries(self) -> None:
        """Find failed spans beside which the same was asked once more, after they had ended."""
        alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for place in self._calls:
            one = self._all[place]
            if one.parent_span_id is not None:
                what = (one.trace_id, one.parent_span_id, one.library, one.asked)
                alike[*what, one.model, one.input_checksum].append(place)
        for tries in alike.values():
            for before, after in reversed(list(itertools.pairwise(tries))):
                failed, again = self._all[before], self._all[after]
                if failed.error_type in _RETRIED and again.start_ns + _CLOCK_NS >= failed.end_ns:
                    self._last[before] = self._last.get(after, after)
        self._tried = Counter(self._last.values())

    def _join_answers(self) -> None:
        """Join spans of two libraries that name the same answer at the same time, and do not nest."""
        same: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place in self._calls:
            one = self._all[place]
            if one.response_id is not None:
                same[one.service, one.response_id].append(place)
        for tellers in same.values():
            if len(tellers) > 1:
                self._join_at_once(sorted(tellers, key=lambda place: self._all[place].start_ns))

    def _join_at_once(self, tellers: Sequence[int]) -> None:
        """Join those of ``tellers``, by start, that overlap; not where very many do."""
        at_once: dict[int, list[int]] = {place: [] for place in tellers}
        for number, place in enumerate(tellers):
            end_ns = self._all[place].end_ns + NEAR_NS
            for other in tellers[number + 1 :]:
                if self._all[other].start_ns > end_ns or len(at_once[place]) > MOST_TELLERS:
                    break
                at_once[place].append(other)
                at_once[other].append(place)
        for place, others in at_once.items():
            for other in others:
                few = max(len(others), len(at_once[other])) < MOST_TELLERS
                if few and self._may_be_one(place, other):
                    self._groups.join(place, other)

    def _join_sdk_spans(self) -> None:
        """Join the span of a provider's SDK to the one beside it, where an answer names neither."""
        alike: dict[tuple[str, str], list[int]] = defaultdict(list)
        joined = Counter(map(self._groups.of, self._calls))
        above = {place: self._inference_above(place) for place in self._calls}
        below = Counter(above.values())
        # One below another is its call already: a third that ran at the same time is not.
        nested = {place for place, up in above.items() if up is not None and below[up] == 1}
        nested |= {up for place in nested if (up := above[place]) is not None}
        alone = [
            place
            for place in self._calls
            if joined[self._groups.of(place)] == 1 and place not in nested
        ]
        for place in alone:
            alike[self._all[place].service, self._all[place].model].append(place)
        for places in alike.values():
            self._join_nearest(sorted(places, key=lambda place: self._all[place].start_ns))

    def _join_nearest(self, near: Sequence[int]) -> None:
        """Join those of ``near``, by start, that are nearest to each other: an SDK's and another's.

        What is nearest depends on the spans around it alone, not on what else is looked at.
        """
        starts = [self._all[place].start_ns for place in near]
        nearest: dict[int, tuple[int, Key, int]] = {}
        for place in near:
            if not self._all[place].by_sdk:
                continue
            first = bisect_left(starts, self._all[place].start_ns - NEAR_NS)
            last = bisect_right(starts, self._all[place].start_ns + NEAR_NS)
            for other in near[first:last]:
                if not self._all[other].by_sdk and self._beside(place, other):
                    gap = self._gap_ns(place, other)
                    for one, two in ((place, other), (other, place)):
                        found = (gap, self._all[two].key, two)
                        nearest[one] = min(nearest.get(one, found), found)
        for one, (_, _, other) in nearest.items():
            if self._all[one].by_sdk and nearest[other][2] == one:
                self._groups.join(one, other)

    def _gap_ns(self, place: int, other: int) -> int:
        one, two = self._all[place], self._all[other]
        return abs(one.start_ns - two.start_ns) + abs(one.end_ns - two.end_ns)

    def _beside(self, place: int, other: int) -> bool:
        """Return whether one of two spans lies within the other, and no two answers are named."""
        one, two = self._all[place], self._all[other]
        if one.trace_id != two.trace_id and None in (one.error_type, two.error_type):
            return False  # of another trace only failures are looked for
        named = one.response_id is not None and two.response_id is not None
        return not named and _holds(one, two) and self._may_be_one(place, other)

    def _may_be_one(self, place: int, other: int) -> bool:
        """Return whether two spans that do not nest may tell of one call."""
        one, two = self._all[place], self._all[other]
        if one.library == two.library or one.asked != two.asked:
            return False  # one library tells of a call once: the same answer again is from a cache
        if one.trace_id != two.trace_id:
            roots = one.parent_span_id is None and two.parent_span_id is None
            return roots and one.key not in self._crowded and two.key not in self._crowded
        return place not in self._above[other] and other not in self._above[place]

    def _join_nested(self) -> None:
        """Join a span to the only call below it; with several below it is their sum."""
        below: dict[int, set[int]] = defaultdict(set)
        depths = self._depths()
        for place in sorted(self._calls, key=lambda place: -depths[place]):
            found = {self._groups.of(one) for one in below[place]}
            if len(found) > 1:
                self._sums.add(place)
            elif found and not self._differ(place, next(iter(found))):
                self._groups.join(place, next(iter(found)))
                found = set()
            above = self._inference_above(place)
            if above is None:
                continue
            below[above] |= found
            if place not in self._sums and place not in self._last:
                below[above].add(place)

    def _depths(self) -> list[int]:
        """Return how many spans stand above each, however many: a span comes after those below it."""
        depths: list[int] = [-1] * len(self._all)
        for place in range(len(self._all)):
            chain: list[int] = []
            one: int | None = place
            while one is not None and depths[one] < 0:
                depths[one] = 0  # so that a circle ends
                chain.append(one)
                up = self._all[one]
                one = self._at.get((up.trace_id, up.parent_span_id or ""))
            depth = -1 if one is None else depths[one]
            for one in reversed(chain):
                depth += 1
                depths[one] = depth
        return depths

    def _inference_above(self, place: int) -> int | None:
        asked = self._all[place].asked
        return next((one for one in self._above[place] if self._all[one].asked == asked), None)

    def _differ(self, place: int, other: int) -> bool:
        """Return whether a span and the call below it have two answers."""
        one, two = self._all[place], self._all[other]
        return (
            None not in (one.response_id, two.response_id, one.output_tokens, two.output_tokens)
            and one.response_id != two.response_id
            and one.output_tokens != two.output_tokens
        )

    def _counted(self) -> Iterator[tuple[Key, Place]]:
        """Yield what each inference span is."""
        groups: dict[int, list[int]] = defaultdict(list)
        for place in self._calls:
            if place in self._sums:
                yield self._all[place].key, self._place(place, NotCounted.AGGREGATE)
            else:
                groups[self._groups.of(place)].append(place)
        records = {id_: min(group, key=self._how_far_out) for id_, group in groups.items()}
        for id_, group in groups.items():
            again = next((one for one in group if one in self._last), None)
            if again is None:
                yield from self._one_call(records[id_], group)
            else:
                last = records.get(self._groups.of(self._last[again]))
                of = None if last is None else self._all[last].key
                for place in group:
                    yield self._all[place].key, self._place(place, NotCounted.ATTEMPT, of)

    def _one_call(self, record: int, group: Sequence[int]) -> Iterator[tuple[Key, Place]]:
        others = sorted((one for one in group if one != record), key=self._how_far_out)
        key = self._all[record].key
        yield key, self._record(record, others)
        for other in others:
            yield self._all[other].key, self._place(other, NotCounted.DUPLICATE, key)

    def _how_far_out(self, place: int) -> tuple[object, ...]:
        """Return a key that sorts the innermost span first; a server's own last.

        What the server measures is without the way to it: the client's time is what was waited for.
        """
        one = self._all[place]
        nested = sum(self._all[above].operation is not None for above in self._above[place])
        lasted = one.end_ns - one.start_ns
        return one.kind == _SERVER, -nested, lasted, one.library or "", one.key

    def _record(self, place: int, others: Sequence[int]) -> Place:
        """Return the place of the span that counts for a call."""
        mine = [self._place(one, None) for one in (place, *others)]
        named = min(mine, key=lambda one: rank(named_by(one)))
        tries = [self._tries(one) for one in (place, *others)]
        return mine[0]._replace(
            fills_from=tuple(self._all[other].key for other in others),
            attempts=max((one for one in tries if one is not None), default=None),
            use_case=named.use_case,
            use_case_from=named.use_case_from,
            user_id=_first(one.user_id for one in mine),
            session_id=_first(one.session_id for one in mine),
        )

    def _tries(self, place: int) -> int | None:
        seen = 1 + self._tried[place]
        return max(self._all[place].attempts or 1, seen) if seen > 1 else self._all[place].attempts

    def _place(self, at: int, not_counted: NotCounted | None, of: Key | None = None) -> Place:
        """Return the place of one span, with what it inherits where it is an inference span."""
        one = self._all[at]
        above = [self._all[place] for place in self._above[at]] if one.operation else []
        name, by = use_case(one, above)
        return Place(
            not_counted=not_counted,
            duplicate_of=of,
            fills_from=(),
            attempts=one.attempts,
            use_case=name,
            use_case_from=by,
            user_id=one.user_id or _first(up.user_id for up in above),
            session_id=one.session_id or _first(up.session_id for up in above),
        )


def _holds(one: Member, two: Member) -> bool:
    """Return whether one span lies within the other in time."""
    within = two.start_ns - _CLOCK_NS <= one.start_ns and one.end_ns <= two.end_ns + _CLOCK_NS
    around = one.start_ns - _CLOCK_NS <= two.start_ns and two.end_ns <= one.end_ns + _CLOCK_NS
    return within or around


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)
