"""Raw spans for the tests of the dialects."""

from __future__ import annotations

from typing import Any

from collector.dialects import Dialect
from collector.dialects.names import named
from collector.dialects.reading import Reading
from collector.raw import RawEvent, RawSpan

NANO = 1_700_000_000_000_000_000


def a_raw_span(attributes: dict[str, Any] | None = None, **fields: Any) -> RawSpan:
    """Return a span of two seconds with these attributes."""
    usual: dict[str, Any] = {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "parent": None,
        "name": "chat",
        "kind": 3,
        "start_ns": NANO,
        "end_ns": NANO + 2_000_000_000,
        "attributes": attributes or {},
    }
    return RawSpan(**(usual | fields))


def an_event(name: str, attributes: dict[str, Any] | None = None) -> RawEvent:
    """Return an event at the start of the span."""
    return RawEvent(name, NANO, attributes or {})


def read(dialect: Dialect, raw: RawSpan) -> Reading:
    """Return what a dialect reads of a span that is a call."""
    assert dialect.fits(raw)
    reading = dialect.normalise(raw, named(raw.attributes))
    assert reading is not None
    return reading
