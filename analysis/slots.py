"""Which prompts are fillings of one template: compared token by token, as hashes."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

SLOT = 0  # stands in a template where each filling has its own tokens
SAME = 0.7  # share of its tokens that a filling has in common with the others
VALUE_TOKENS = 12  # the longest value of a slot: whole paragraphs are a change of the prompt
VALUES = 3  # a slot has so many values at the same time: an experiment has two
#: Or so many within a day, where each is used once: nobody changes a prompt so often.
_MANY_VALUES, _DAY_S = 8, 86_400
_MOST_TOKENS = 1_500  # of a prompt: the rest is not compared
_WORD = re.compile(r"\w+|[^\w\s]")

Tokens = tuple[int, ...]


class Use(NamedTuple):
    """A prompt and when it was used, whole seconds since 1970."""

    checksum: str
    tokens: Tokens
    first_s: int
    last_s: int


class Template(NamedTuple):
    """What some prompts have in common, and which they are."""

    tokens: Tokens
    members: tuple[Use, ...]

    @property
    def identity(self) -> str:
        """Return the checksum of the template."""
        return hashlib.sha256(repr(self.tokens).encode()).hexdigest()[:16]


def tokens_of(text: str, apart: bytes = b"") -> Tokens:
    """Return a hash for each word and sign of a prompt; those with a digit are all alike.

    ``apart``: what else makes two prompts different, whatever their words (tool definitions).

    >>> tokens_of("Room 12!") == tokens_of("Room 7!") != tokens_of("Room 7?")
    True
    """
    words = _WORD.findall(text)[: _MOST_TOKENS - 1]
    return (
        _hash(apart),
        *(
            _hash(b"#" if _has_digit(one) else one.encode("utf-8", "surrogatepass"))
            for one in words
        ),
    )


def _has_digit(word: str) -> bool:
    return any(char.isdigit() for char in word)


def _hash(word: bytes) -> int:
    # 32 bits are too few to be sure of the word, and enough to tell neighbours apart.
    return int.from_bytes(hashlib.blake2b(word, digest_size=4).digest()) or 1


def templates(uses: Iterable[Use]) -> list[Template]:
    """Return the templates that three or more of ``uses`` are fillings of, at the same time.

    The answer does not depend on the order of ``uses``.
    """
    left = sorted(uses, key=lambda use: (use.first_s, use.checksum))
    found: list[Template] = []
    while len(left) >= VALUES:
        seed = left[0]
        alike = [use for use in left if use is seed or _are_alike(seed.tokens, use.tokens)]
        left = [use for use in left if use not in alike]
        found += _templates(alike)
    return found


def values_of(template: Tokens, tokens: Tokens) -> tuple[Tokens, ...] | None:
    """Return the values of the slots of a template. If ``tokens`` are no filling, return None.

    >>> values_of((7, SLOT, 8), (7, 1, 2, 8)), values_of((7, SLOT, 8), (7, 1))
    (((1, 2),), None)
    """
    runs = _runs(template)
    first, last = runs[0], runs[-1]
    if len(runs) == 1:
        return () if tokens == first else None
    end = len(tokens) - len(last)
    if end < len(first) or tokens[: len(first)] != first or tokens[end:] != last:
        return None
    at, values = len(first), []
    for run in runs[1:-1]:
        found = _find(run, tokens, at, end)
        if found is None:
            return None
        values.append(tokens[at:found])
        at = found + len(run)
    values.append(tokens[at:end])
    return tuple(values) if end - at <= VALUE_TOKENS else None


def _find(run: Tokens, tokens: Tokens, at: int, end: int) -> int | None:
    """Return where a run begins, as near behind ``at`` as a value allows."""
    latest = min(at + VALUE_TOKENS, end - len(run))
    return next((n for n in range(at, latest + 1) if tokens[n : n + len(run)] == run), None)


def _runs(template: Tokens) -> list[Tokens]:
    """Return what stands before, between and behind the slots."""
    slots = [at for at, token in enumerate(template) if token == SLOT]
    starts = [0, *(at + 1 for at in slots)]
    return [template[a:b] for a, b in zip(starts, [*slots, len(template)], strict=True)]


def _templates(alike: Sequence[Use]) -> list[Template]:
    """Return the templates of prompts that are alike.

    Where they differ in a place that is no slot (two wordings, or one after the other), they are
    told apart by it first: each wording may be a template of its own.
    """
    if len(alike) < VALUES:
        return []
    tokens = alike[0].tokens
    for use in alike[1:]:
        tokens = _common(tokens, use.tokens)
    filled = {use: values_of(tokens, use.tokens) for use in alike}
    members = {use: values for use, values in filled.items() if values is not None}
    others = [use for use, values in filled.items() if values is None]
    parts = [members]
    if SLOT in tokens and (fixed := _no_slot(members)) is not None:
        by_value: dict[Tokens, dict[Use, tuple[Tokens, ...]]] = defaultdict(dict)
        for use, values in members.items():
            by_value[values[fixed]][use] = values
        parts = list(by_value.values())
    elif SLOT not in tokens or len(members) < VALUES:
        parts = []  # the same words, under another checksum: their tools differ
    elif _enough(tokens, members):
        return [Template(tokens, tuple(members)), *_templates(others)]
    else:
        parts = []
    smaller = [list(part) for part in (*parts, others) if len(part) < len(alike)]
    return [one for part in smaller for one in _templates(part)]


def _enough(template: Tokens, members: Iterable[Use]) -> bool:
    fixed = sum(token != SLOT for token in template)
    return all(fixed >= SAME * len(use.tokens) for use in members)


def _no_slot(members: Mapping[Use, tuple[Tokens, ...]]) -> int | None:
    """Return the first place whose values did not come in turns. If all did, return None."""
    count = len(next(iter(members.values()))) if members else 0
    for place in range(count):
        spans: dict[Tokens, tuple[int, int]] = {}
        for use, values in members.items():
            first, last = spans.get(values[place], (use.first_s, use.last_s))
            spans[values[place]] = (min(first, use.first_s), max(last, use.last_s))
        if not _in_turns(list(spans.values())):
            return place
    return None


def _in_turns(spans: Sequence[tuple[int, int]]) -> bool:
    """Return whether three values were in use at once, or eight within a day."""
    edges = sorted([(first, 0, 1) for first, _ in spans] + [(last, 1, -1) for _, last in spans])
    open_now = 0
    for _, _, step in edges:
        open_now += step
        if open_now >= VALUES:
            return True
    starts = sorted(first for first, _ in spans)
    ends = starts[_MANY_VALUES - 1 :]
    return any(end - start <= _DAY_S for start, end in zip(starts, ends, strict=False))


def _are_alike(one: Tokens, other: Tokens) -> bool:
    """Return whether two prompts may have enough in common; what cannot is told without aligning."""
    most = max(len(one), len(other))
    if one[0] != other[0] or sum((Counter(one) & Counter(other)).values()) < SAME * most:
        return False
    return sum(size for _, _, size in _blocks(one, other)) >= SAME * most


def _common(template: Tokens, tokens: Tokens) -> Tokens:
    """Return what a template and a prompt have in common, with a slot wherever they differ."""
    made: list[int] = []
    before = (0, 0)
    for at, there, size in (*_blocks(template, tokens), (len(template), len(tokens), 0)):
        if (at, there) != before:
            made.append(SLOT)
        made += template[at : at + size]
        before = (at + size, there + size)
    return tuple(made)


def _blocks(one: Tokens, other: Tokens) -> Iterator[tuple[int, int, int]]:
    """Yield the runs that two have in common: where each begins, and how long it is."""
    # Prompts are alike from both ends up to what was filled in; the middle costs the most.
    shorter = min(len(one), len(other))
    head = next((n for n in range(shorter) if one[n] != other[n]), shorter)
    rest = shorter - head
    tail = next((n for n in range(rest) if one[-1 - n] != other[-1 - n]), rest)
    if head:
        yield 0, 0, head
    for at, there, size in _anchored(one[head : len(one) - tail], other[head : len(other) - tail]):
        yield head + at, head + there, size
    if tail:
        yield len(one) - tail, len(other) - tail, tail


def _anchored(one: Tokens, other: Tokens) -> Iterator[tuple[int, int, int]]:
    """Yield common runs around pairs of tokens that each of the two has once, in order.

    A whole alignment would find single words in common, which tell nothing, and takes the square
    of the time where a prompt repeats itself.
    """
    end, end_there = 0, 0
    for at, there in _rising(_anchors(one, other)):
        if at < end or there < end_there:
            continue  # the run before reaches beyond it
        while at > end and there > end_there and one[at - 1] == other[there - 1]:
            at, there = at - 1, there - 1
        size = 0
        longest = min(len(one) - at, len(other) - there)
        while size < longest and one[at + size] == other[there + size]:
            size += 1
        yield at, there, size
        end, end_there = at + size, there + size


def _anchors(one: Tokens, other: Tokens) -> list[tuple[int, int]]:
    """Return where both have a pair of neighbours that is in each of them once."""
    pairs, pairs_there = list(pairwise(one)), list(pairwise(other))
    count, count_there = Counter(pairs), Counter(pairs_there)
    place = {pair: at for at, pair in enumerate(pairs_there)}
    return [
        (at, place[pair])
        for at, pair in enumerate(pairs)
        if count[pair] == 1 and count_there[pair] == 1
    ]


def _rising(anchors: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of ``anchors`` in which the second number rises, too."""
    ends: list[int] = []  # of the shortest continuation of each length: its second number
    last: list[int] = []  # and its place in anchors
    before: list[int] = []
    for at, (_, there) in enumerate(anchors):
        length = bisect_left(ends, there)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [there]
        last[length : length + 1] = [at]
    chain, at = [], last[-1] if last else -1
    while at >= 0:
        chain.append(anchors[at])
        at = before[at]
    return chain[::-1]
