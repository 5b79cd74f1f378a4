"""A call as a row of the table ``span``, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Row

from tidegauge.call import (
    MAX_USD,
    Audit,
    Call,
    Evidence,
    NotCounted,
    Operation,
    OutputKind,
    UseCaseFrom,
)
from tidegauge.store.contents import Place
from tidegauge.store.schema import span

NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANO = Decimal(NS)

# Fields of Call that are columns as they are, by the same name.
_PLAIN = (
    "project",
    "name",
    "duration_s",
    "service",
    "service_version",
    "environment",
    "use_case",
    "model",
    "user_id",
    "session_id",
    "dialect",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "tokens_audit_rule",
    "attempts",
    "kind",
    "library",
    "library_version",
    "service_tier",
    "output_script",
    "time_to_first_token_s",
    "time_per_output_token_s",
    "error_type",
    "status_code",
    "temperature",
    "top_p",
    "max_tokens",
    "output_type",
    "repetition",
    "prompt_name",
    "prompt_version",
    "prompt_checksum",
    "input_checksum",
)
# These are converted: a driver looks for an adapter of every value that is not of its own types.
_ENUMS = {
    "operation": Operation,
    "tokens_audit": Audit,
    "truncation_evidence": Evidence,
    "not_counted": NotCounted,
    "use_case_from": UseCaseFrom,
    "output_kind": OutputKind,
}
_FLAGS = ("clock_invalid", "streaming", "truncated", "output_valid")
_COMPUTED = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "started_ns",
    "finish_reasons",
    "duplicate_of",
    "cost_usd",
    "app_cost_usd",
)
_PLACED = ("received_s", "block_id", "block_offset", "block_size")
VALUES = (*_PLAIN, *_ENUMS, *_FLAGS, *_COMPUTED)  # what a call says of itself
COLUMNS = (*VALUES, *_PLACED)

_plain_of = attrgetter(*_PLAIN)
_enums_of = attrgetter(*_ENUMS)
_flags_of = attrgetter(*_FLAGS)
_BACK = tuple(name for name in _PLAIN if name != "model") + _FLAGS + ("cost_usd", "app_cost_usd")

Values = tuple[Any, ...]  # of VALUES


def values_of(call: Call) -> Values:
    """Return the values of VALUES, of types that both drivers and pickle know; yes is 1, no is 0."""
    return (
        *_plain_of(call),
        *[None if word is None else word.value for word in _enums_of(call)],
        *[None if flag is None else int(flag) for flag in _flags_of(call)],
        bytes.fromhex(call.trace_id),
        bytes.fromhex(call.span_id),
        bytes.fromhex(call.parent_span_id) if call.parent_span_id else None,
        to_ns(call.started_at),
        ",".join(call.finish_reasons),
        bytes.fromhex(call.duplicate_of) if call.duplicate_of else None,
        nano_usd(call.cost_usd),
        nano_usd(call.app_cost_usd),
    )


def nano_usd(amount: Decimal | None) -> int | None:
    """Return US dollars as whole billionths, as they are stored; None for what no call costs."""
    if amount is None or not -MAX_USD <= amount <= MAX_USD:
        return None
    return int((amount * _NANO).to_integral_value())


started_ns = itemgetter(VALUES.index("started_ns"))  # of Values


def row_of(values: Values, place: Place, received_s: int) -> tuple[Any, ...]:
    """Return the values of COLUMNS."""
    return (*values, received_s, place.block_id, place.offset, place.size)


def call_of(row: Row[Any], content: Mapping[str, Any]) -> Call:
    """Return the call of a row of ``span`` and the content it points to."""
    plain = {name: getattr(row, name) for name in _BACK}
    for name, enum in _ENUMS.items():
        word = getattr(row, name)
        plain[name] = None if word is None else enum(word)
    return Call(
        **plain,
        trace_id=row.trace_id.hex(),
        span_id=row.span_id.hex(),
        parent_span_id=row.parent_span_id.hex() if row.parent_span_id else None,
        started_at=from_ns(row.started_ns),
        duplicate_of=row.duplicate_of.hex() if row.duplicate_of else None,
        finish_reasons=tuple(row.finish_reasons.split(",")) if row.finish_reasons else (),
        input=content.get("input"),
        output=content.get("output"),
        stop_sequences=tuple(content.get("stop_sequences") or ()),
        attributes=content.get("attributes") or {},
    )


def place_of(row: Row[Any]) -> Place:
    """Return where the content of a row of ``span`` stands."""
    return Place(row.block_id, row.block_offset, row.block_size)


def to_ns(at: datetime) -> int:
    """Return nanoseconds since 1970; exact to the microsecond that a datetime holds."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1000


def from_ns(ns: int) -> datetime:
    """Return the UTC time of ``ns`` nanoseconds since 1970, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _check() -> None:
    missing = {column.name for column in span.columns} ^ set(COLUMNS)
    if missing:
        raise AssertionError(f"columns of span and of this module differ: {sorted(missing)}")


_check()
