"""The spans of whole traces as records: each call once, with all that its spans tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tidegauge.call import Audit, Call, Usage
from tidegauge.member import Key, Member, Place
from tidegauge.pricing import cost_usd
from tidegauge.whole_trace import places

Cost = Callable[[Usage], Decimal | None]  # US dollars

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
_PARTS = _TOKENS[2:]
_CUT = ("truncated", "truncation_evidence")
# Each is taken from the innermost span that tells it.
_EACH = (
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "time_to_first_token_s",
    "temperature",
    "top_p",
    "max_tokens",
    "output_type",
    "service_tier",
    "prompt_name",
    "prompt_version",
    "prompt_checksum",
    "app_cost_usd",
)
_OF_INPUT = ("input", "input_checksum")
_OF_OUTPUT = ("output", "output_kind", "output_script", "output_valid", "repetition")
_NO_REASON = ((), ("unknown",))


def settle(said: Sequence[Call], cost: Cost = cost_usd) -> list[Call]:
    """Return spans as records: what each is in its trace, and what others tell of its call.

    ``said``: all spans of whole traces, each as it came, not as an earlier call settled it. The
    order and the number of traces do not matter.
    """
    found = places([member_of(call) for call in said])
    by_key = {(call.trace_id, call.span_id): call for call in said}
    return [settled(call, found[key], by_key, cost) for key, call in _keyed(said)]


def settled(call: Call, place: Place, by_key: Mapping[Key, Call], cost: Cost = cost_usd) -> Call:
    """Return one span as a record; ``by_key`` holds those that ``place.fills_from`` names."""
    others = [by_key[key] for key in place.fills_from]
    whole = merged(call, others, cost) if others else call
    of = place.duplicate_of
    return replace(
        whole,
        not_counted=place.not_counted,
        duplicate_of="".join(of) if of else None,
        attempts=place.attempts,
        use_case=place.use_case,
        use_case_from=place.use_case_from,
        user_id=place.user_id,
        session_id=place.session_id,
    )


def merged(inner: Call, others: Sequence[Call], cost: Cost = cost_usd) -> Call:
    """Return a call with what its own span lacks and others, the innermost first, tell of it."""
    tellers = (inner, *others)
    told: dict[str, Any] = {name: _first(tellers, name) for name in _EACH}
    told |= _together(tellers, _OF_INPUT, "input_checksum")
    told |= _together(tellers, _OF_OUTPUT, "output_kind")
    told |= _tokens(tellers) | _ending(tellers)
    told["streaming"] = (
        True if any(one.streaming for one in tellers) else _first(tellers, "streaming")
    )
    told["stop_sequences"] = next((one.stop_sequences for one in tellers if one.stop_sequences), ())
    whole = replace(inner, **told)
    price = cost(whole.usage)
    return replace(
        whole,
        time_per_output_token_s=_pace(whole),
        cost_usd=_first(tellers, "cost_usd") if price is None else price,
    )


def member_of(call: Call) -> Member:
    """Return what is asked of a span to tell what it is in its trace."""
    since = call.started_at - _EPOCH
    start_ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    return Member(
        trace_id=call.trace_id,
        span_id=call.span_id,
        parent_span_id=call.parent_span_id,
        name=call.name,
        start_ns=start_ns,
        end_ns=start_ns + round(call.duration_s * 1e9),
        kind=call.kind,
        operation=call.operation,
        service=call.service,
        library=call.library,
        model=call.model,
        response_id=call.response_id,
        error_type=call.error_type,
        input_checksum=call.input_checksum,
        output_tokens=call.output_tokens,
        attempts=call.attempts,
        use_case=call.use_case,
        use_case_from=call.use_case_from,
        user_id=call.user_id,
        session_id=call.session_id,
    )


def _keyed(calls: Sequence[Call]) -> list[tuple[Key, Call]]:
    return [((call.trace_id, call.span_id), call) for call in calls]


def _first(tellers: Sequence[Call], name: str) -> Any:
    return next((told for one in tellers if (told := getattr(one, name)) is not None), None)


def _together(tellers: Sequence[Call], names: Sequence[str], told_by: str) -> dict[str, Any]:
    """Return fields that belong together, of the innermost span that has them."""
    teller = next((one for one in tellers if getattr(one, told_by) is not None), tellers[0])
    return {name: getattr(teller, name) for name in names}


def _tokens(tellers: Sequence[Call]) -> dict[str, Any]:
    """Return the counts of the innermost span whose two sides can be trusted, else of any.

    What that span does not tell of their parts another may; never more than the whole.
    """
    counted = [
        one for one in tellers if one.input_tokens is not None or one.output_tokens is not None
    ]
    if not counted:
        return {}
    sure = (one for one in counted if one.tokens_audit is not Audit.UNSURE and _both(one))
    base = next(sure, next((one for one in counted if _both(one)), counted[0]))
    told = {name: _first((base, *counted), name) for name in _TOKENS}
    told["tokens_audit"], told["tokens_audit_rule"] = base.tokens_audit, base.tokens_audit_rule
    return told if _parts_fit(told) else told | {name: getattr(base, name) for name in _PARTS}


def _parts_fit(told: Mapping[str, Any]) -> bool:
    """Return whether parts that two spans told apart are no more than the whole."""
    cached = (told["cached_input_tokens"] or 0) + (told["cache_write_tokens"] or 0)
    sent, received = told["input_tokens"], told["output_tokens"]
    fits = sent is None or cached <= sent
    return fits and (received is None or (told["reasoning_tokens"] or 0) <= received)


def _both(call: Call) -> bool:
    return call.input_tokens is not None and call.output_tokens is not None


def _ending(tellers: Sequence[Call]) -> dict[str, Any]:
    """Return how the call ended: why it stopped, whether it was cut, what went wrong.

    An error of an outer span alone is its own (an answer it could not read), unless the inner one
    tells of no answer at all.
    """
    inner = tellers[0]
    reasons = (one.finish_reasons for one in tellers if one.finish_reasons not in _NO_REASON)
    surest = max(
        tellers, key=lambda one: (one.truncated is not None, one.truncation_confidence or 0)
    )
    answered = inner.response_id is not None or inner.output_tokens is not None
    failed = inner if answered or inner.failed else _failed(tellers)
    return {
        "finish_reasons": next(reasons, inner.finish_reasons),
        **{name: getattr(surest, name) for name in _CUT},
        "error_type": failed.error_type,
        "status_code": failed.status_code or _first(tellers, "status_code"),
    }


def _failed(tellers: Sequence[Call]) -> Call:
    return next((one for one in tellers if one.failed), tellers[0])


def _pace(call: Call) -> float | None:
    """Return seconds per output token after the first one."""
    first, tokens = call.time_to_first_token_s, call.output_tokens
    if first is None or tokens is None or tokens < 2 or call.duration_s < first:
        return None
    return (call.duration_s - first) / (tokens - 1)
