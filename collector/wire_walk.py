"""Walk a request of logs or metrics before it is parsed: bound its records, fields and depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.limits import BadOtlp, Limits, TooLarge

_VARINT, _FIXED64, _LENGTH, _GROUP_START, _GROUP_END, _FIXED32 = 0, 1, 2, 3, 4, 5
_A_FIELD = 16  # bytes of packed numbers that weigh as much as a field: 8 bytes of memory for each


@dataclass(frozen=True, slots=True)
class Shape:
    """A message: which of its fields hold another one, or numbers packed together."""

    inside: Mapping[int, Shape] = field(default_factory=dict)
    packed: frozenset[int] = frozenset()
    record: bool = False  # counts against the budget of records
    level: bool = False  # a value inside a value


_FLAT = Shape()
_VALUES: dict[int, Shape] = {}
_VALUE = Shape(_VALUES, level=True)
_ATTRIBUTE = Shape({2: _VALUE})
_VALUES.update({5: Shape({1: _VALUE}), 6: Shape({1: _ATTRIBUTE})})  # ArrayValue, KeyValueList

_RESOURCE = Shape({1: _ATTRIBUTE, 3: _FLAT})
_SCOPE = Shape({3: _ATTRIBUTE})
_RECORD = Shape({5: _VALUE, 6: _ATTRIBUTE}, record=True)
LOGS = Shape({1: Shape({1: _RESOURCE, 2: Shape({1: _SCOPE, 2: _RECORD})})})

_EXEMPLAR = Shape({7: _ATTRIBUTE})
_BUCKETS = Shape(packed=frozenset({2}))
_NUMBER = Shape({5: _EXEMPLAR, 7: _ATTRIBUTE}, record=True)
_HISTOGRAM = Shape({8: _EXEMPLAR, 9: _ATTRIBUTE}, packed=frozenset({6, 7}), record=True)
_EXPONENTIAL = Shape({1: _ATTRIBUTE, 8: _BUCKETS, 9: _BUCKETS, 11: _EXEMPLAR}, record=True)
_SUMMARY = Shape({6: _FLAT, 7: _ATTRIBUTE}, record=True)
_METRIC = Shape(
    {
        5: Shape({1: _NUMBER}),  # gauge
        7: Shape({1: _NUMBER}),  # sum
        9: Shape({1: _HISTOGRAM}),
        10: Shape({1: _EXPONENTIAL}),
        11: Shape({1: _SUMMARY}),
        12: _ATTRIBUTE,  # metadata
    }
)
METRICS = Shape({1: Shape({1: _RESOURCE, 2: Shape({1: _SCOPE, 2: _METRIC})})})


def walk(body: bytes, shape: Shape, limits: Limits) -> None:
    """Check a protobuf request against the budgets. Raises ``TooLarge`` and ``BadOtlp``.

    Reads tags and lengths only: 16 MiB of empty records would become 1 GB of objects.
    """
    try:
        _Walk(body, limits).message(0, len(body), shape, 0)
    except IndexError:
        raise BadOtlp("the protobuf body ends in the middle of a field") from None


class _Walk:
    """One walk over one body: what was counted so far."""

    __slots__ = ("body", "fields", "limits", "records")

    def __init__(self, body: bytes, limits: Limits) -> None:
        self.body = body
        self.limits = limits
        self.fields = 0
        self.records = 0

    def message(self, at: int, end: int, shape: Shape, depth: int) -> None:
        """Walk the fields of one message, and the messages inside it.

        One loop over local names: with a call for each field it takes three times as long.
        """
        body, inside, most = self.body, shape.inside, self.limits.fields
        fields = self.fields
        while at < end:
            fields += 1
            if fields > most:
                raise TooLarge("fields", most)
            tag = body[at]
            at += 1
            if tag > 0x7F:
                tag, at = self.varint(at - 1)
            wire = tag & 7
            if wire == _LENGTH:
                size = body[at]
                at += 1
                if size > 0x7F:
                    size, at = self.varint(at - 1)
                stop = at + size
                if stop > end:
                    raise BadOtlp("the body is not protobuf: a length runs past its message")
                child = inside.get(tag >> 3)
                if child is not None:
                    self.fields = fields
                    self.enter(at, stop, child, depth)
                    fields = self.fields
                elif tag >> 3 in shape.packed:
                    fields += size // _A_FIELD
                    if fields > most:
                        raise TooLarge("fields", most)
                at = stop
            elif wire == _VARINT:
                _, at = self.varint(at)
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            elif wire not in (_GROUP_START, _GROUP_END):
                # What is inside a group is counted as if it stood here: more is counted, never less.
                raise BadOtlp(f"the body is not protobuf: wire type {wire} does not exist")
        if at != end:
            raise BadOtlp("the body is not protobuf: a field runs past the end of its message")
        self.fields = fields

    def enter(self, at: int, end: int, shape: Shape, depth: int) -> None:
        """Walk a message inside another one, and count what has a budget of its own."""
        if shape.record:
            self.records += 1
            if self.records > self.limits.spans:
                raise TooLarge("records", self.limits.spans)
        elif shape.level:
            depth += 1
            if depth > self.limits.depth:
                raise TooLarge("levels of nested values", self.limits.depth)
        if at < end:
            self.message(at, end, shape, depth)

    def varint(self, at: int) -> tuple[int, int]:
        """Return a number in base 128, and where the next field begins."""
        body, value = self.body, 0
        for shift in range(0, 70, 7):
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise BadOtlp("the body is not protobuf: a number is longer than 10 bytes")
