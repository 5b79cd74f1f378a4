"""What began with a move is named, what did not is ruled out."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest

from analysis.attribution import explain, onset
from tests.world import NOON
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured, length_class, merge
from tidegauge.clock import MINUTE
from tidegauge.finding import Change, Finding, Series, Signal, Verdict

SERIES = Series("p", "s", "e", "u", "m")


def finding(signal: Signal, strength: float = 20.0, verdict: Verdict = Verdict.MOVED) -> Finding:
    return Finding(
        series=SERIES,
        signal=signal,
        verdict=verdict,
        why="",
        since=NOON,
        until=NOON + 5 * MINUTE,
        calls=100,
        strength=strength,
    )


def change(field: str, kind: str, minutes: float = 0.0) -> Change:
    at = NOON + timedelta(minutes=minutes)
    return Change(series=SERIES, kind=kind, at=at, field=field, before="a", after="b")


def bucket(
    tokens: int = 100,
    *,
    ttft: float = 0.5,
    tpot: float = 0.01,
    cut: int = 0,
    start: datetime = NOON,
    calls: int = 100,
) -> Bucket:
    """Return equal calls: latency = time to first token + output tokens x time per token."""
    latency = ttft + tokens * tpot
    log = math.log(latency)
    return Bucket(
        series=SERIES,
        start=start,
        calls=calls,
        truncated=cut,
        truncation_known=calls,
        measures={
            Measure.OUTPUT_TOKENS: Measured.of([tokens] * calls),
            Measure.INPUT_TOKENS: Measured.of([700] * calls),
            Measure.LATENCY: Measured.of([latency] * calls),
            Measure.TTFT: Measured.of([ttft] * calls),
            Measure.TPOT: Measured.of([tpot] * calls),
        },
        lengths={
            length_class(tokens): LengthClass(calls, calls * log, calls * log**2, calls * tokens)
        },
    )


def mixed(*parts: Bucket) -> Bucket:
    return merge(parts, SERIES, NOON)


BEFORE = mixed(bucket(50), bucket(100), bucket(200))


def test_longer_answers_are_told_from_a_slower_model() -> None:
    after = mixed(bucket(135), bucket(270), bucket(540))
    cause = explain(finding(Signal.LATENCY), [], [], BEFORE, after)
    parts = {part.name: part for part in cause.parts}

    assert cause.writes_more
    assert parts["output_tokens"].ratio == pytest.approx(2.7, rel=0.01)
    assert not parts["time_per_output_token_s"].moved
    assert not parts["latency_at_equal_length_s"].moved


def test_a_slower_model_is_told_from_longer_answers() -> None:
    after = mixed(*(bucket(n, tpot=0.02) for n in (50, 100, 200)))
    cause = explain(finding(Signal.LATENCY), [], [], BEFORE, after)

    assert not cause.writes_more
    assert cause.parts[0].name == "time_per_output_token_s"
    assert cause.parts[0].ratio == pytest.approx(2.0, rel=0.01)
    assert "output_tokens" in cause.ruled_out
    assert "time_to_first_token_s" in cause.ruled_out


def test_only_changes_near_the_onset_are_suspects() -> None:
    changes = [change("service_version", "deploy", m) for m in (-16, -14, 14, 16)]
    cause = explain(finding(Signal.ERRORS), [], changes, BEFORE, BEFORE)

    assert [c.at for c in cause.changes] == [NOON - 14 * MINUTE, NOON + 14 * MINUTE]
    assert "deploy" not in cause.ruled_out
    assert {"prompt", "model", "parameter", "provider"} <= set(cause.ruled_out)


def test_the_onset_decides_what_is_near() -> None:
    late = change("service_version", "deploy", -40)
    cause = explain(finding(Signal.ERRORS), [], [late], BEFORE, BEFORE, onset=NOON - 40 * MINUTE)

    assert cause.likeliest == late


@pytest.mark.parametrize(
    ("signal", "first"),
    [
        (Signal.TRUNCATION, "max_tokens"),
        (Signal.OUTPUT_TOKENS, "prompt_version"),
        (Signal.LATENCY, "response_model"),
        (Signal.ERRORS, "provider"),
    ],
)
def test_of_several_suspects_the_one_that_moves_such_numbers_comes_first(
    signal: Signal, first: str
) -> None:
    changes = [
        change("temperature", "parameter"),
        change("max_tokens", "parameter"),
        change("prompt_checksum", "prompt"),
        change("prompt_version", "prompt"),
        change("response_model", "model"),
        change("provider", "provider"),
        change("service_version", "deploy"),
    ]
    cause = explain(finding(signal), [], changes, BEFORE, BEFORE)

    assert cause.likeliest is not None
    assert cause.likeliest.field == first


def test_without_a_suspect_no_cause_is_named() -> None:
    cause = explain(finding(Signal.LATENCY), [], [], BEFORE, BEFORE)

    assert cause.likeliest is None
    assert not any(part.moved for part in cause.parts)


def test_other_signals_that_moved_are_listed_by_strength() -> None:
    related = [
        finding(Signal.LATENCY, 15),
        finding(Signal.TRUNCATION, 40),
        finding(Signal.ERRORS, 90, Verdict.USUAL),
        finding(Signal.OUTPUT_TOKENS, 99),
    ]
    cause = explain(finding(Signal.OUTPUT_TOKENS), related, [], BEFORE, BEFORE)

    assert [one.signal for one in cause.related] == [Signal.TRUNCATION, Signal.LATENCY]


def test_a_share_that_came_from_nothing_moved_most() -> None:
    cause = explain(finding(Signal.TRUNCATION), [], [], bucket(), bucket(cut=30))

    assert cause.parts[0].name == "truncated_share"
    assert cause.parts[0].ratio is None


def test_few_calls_give_no_parts() -> None:
    cause = explain(finding(Signal.LATENCY), [], [], bucket(calls=5), bucket(calls=5))

    assert cause.parts == ()


def test_the_onset_is_the_minute_at_which_the_level_changed() -> None:
    minutes = [
        bucket(270 if m >= -3 else 100 + m % 7, start=NOON + m * MINUTE) for m in range(-30, 5)
    ]

    assert onset(minutes, finding(Signal.OUTPUT_TOKENS)) == NOON - 3 * MINUTE


def test_the_onset_of_a_rate_is_found_too() -> None:
    minutes = [bucket(cut=30 if m >= 2 else m % 2, start=NOON + m * MINUTE) for m in range(-30, 5)]

    assert onset(minutes, finding(Signal.TRUNCATION)) == NOON + 2 * MINUTE


def test_without_minutes_the_window_s_start_is_the_onset() -> None:
    assert onset([], finding(Signal.LATENCY)) == NOON
