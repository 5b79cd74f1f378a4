"""What every detector must do, whatever its question: one parametrised test per promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from analysis.detectors import DETECTORS
from analysis.judge import Gates
from analysis.learn import Learned, learn
from analysis.windows import Window, window
from bench.fleet import App, Calls, buckets, draw, plant
from tidegauge.clock import DAY, MINUTE
from tidegauge.finding import Finding, Series, Signal, Verdict

START = datetime(2026, 1, 5, tzinfo=UTC)
NOW = START + 7 * DAY
SERIES = Series("p", "s", "e", "u", "m")
APP = App(calls_per_min=20)
GATES = Gates(min_calls=100, threshold=12.0, ratio=0.2)
HARM: dict[Signal, dict[str, float]] = {
    Signal.LATENCY: {"latency": 1.6},
    Signal.TRUNCATION: {"truncated": 0.2},
    Signal.INPUT_TOKENS: {"input": 2.0},
    Signal.OUTPUT_TOKENS: {"output": 2.0},
    Signal.ERRORS: {"failed": 0.2},
}


def changed(calls: Calls, **effect: float) -> Calls:
    longer = effect.pop("input", 1.0)
    rng = np.random.default_rng(3)
    return replace(plant(calls, APP, rng, **effect), input=calls.input * longer)


def scaled(calls: Calls, factor: float) -> Calls:
    return replace(
        calls,
        input=calls.input * factor,
        output=calls.output * factor,
        latency=calls.latency * factor,
    )


@pytest.fixture(scope="module")
def past() -> Calls:
    return draw(np.random.default_rng(1), APP, START, 7 * 1440)


@pytest.fixture(scope="module")
def present() -> Calls:
    return draw(np.random.default_rng(2), APP, NOW, 15)


def learned(past: Calls, signal: Signal) -> Learned:
    found = learn(buckets(past, SERIES, START, 60), signal, SERIES, NOW)
    assert found is not None
    return found


def ask(signal: Signal, past: Calls, present: Calls, gates: Gates = GATES) -> Finding:
    now = seen(present)
    usual = learned(past, signal).usual(now.middle, 15)
    return DETECTORS[signal](usual, now, gates, signal)


def seen(calls: Calls) -> Window:
    return window(buckets(calls, SERIES, NOW, 1), SERIES, NOW + 15 * MINUTE, 15)


@pytest.mark.parametrize("signal", Signal)
def test_every_signal_has_a_detector(signal: Signal) -> None:
    assert signal in DETECTORS


@pytest.mark.parametrize("signal", DETECTORS)
def test_a_usual_window_is_usual(signal: Signal, past: Calls, present: Calls) -> None:
    found = ask(signal, past, present)

    assert found.verdict is Verdict.USUAL
    assert (found.series, found.signal) == (SERIES, signal)
    assert found.usual is not None


@pytest.mark.parametrize("signal", DETECTORS)
def test_a_planted_change_has_moved(signal: Signal, past: Calls, present: Calls) -> None:
    found = ask(signal, past, changed(present, **HARM[signal]))

    assert found.verdict is Verdict.MOVED
    assert found.now is not None
    assert found.usual_high is not None
    assert found.now > found.usual_high


@pytest.mark.parametrize("signal", DETECTORS)
def test_a_change_of_another_number_is_no_move(signal: Signal, past: Calls, present: Calls) -> None:
    for other, harm in HARM.items():
        if other is not signal:
            assert ask(signal, past, changed(present, **harm)).verdict is Verdict.USUAL, other


@pytest.mark.parametrize("signal", DETECTORS)
def test_too_few_calls_are_unknown(signal: Signal, past: Calls, present: Calls) -> None:
    few = changed(present.between(0, 2), **HARM[signal])
    found = ask(signal, past, few)

    assert found.verdict is Verdict.UNKNOWN
    assert found.why.startswith("too few calls")


@pytest.mark.parametrize("signal", DETECTORS)
def test_no_calls_are_unknown(signal: Signal, past: Calls, present: Calls) -> None:
    found = ask(signal, past, present.between(0, 0))

    assert (found.verdict, found.calls, found.now) == (Verdict.UNKNOWN, 0, None)


@pytest.mark.parametrize("signal", DETECTORS)
def test_without_a_past_it_is_unknown(signal: Signal, present: Calls) -> None:
    found = DETECTORS[signal](None, seen(present), GATES, signal)

    assert found.verdict is Verdict.UNKNOWN
    assert "0 of 24 hours" in found.why


@pytest.mark.parametrize("signal", DETECTORS)
def test_a_short_past_is_unknown_and_says_how_much_is_missing(
    signal: Signal, past: Calls, present: Calls
) -> None:
    found = ask(signal, past.between(0, 10 * 60), present)

    assert found.verdict is Verdict.UNKNOWN
    assert "10 of 24 hours" in found.why


@pytest.mark.parametrize("signal", DETECTORS)
def test_units_do_not_matter(signal: Signal, past: Calls, present: Calls) -> None:
    harmed = changed(present, **HARM[signal])
    found, other = (ask(signal, scaled(past, f), scaled(harmed, f)) for f in (1.0, 16.0))

    assert other.verdict is found.verdict
    assert other.strength == pytest.approx(found.strength, rel=0.05)


@pytest.mark.parametrize("signal", DETECTORS)
def test_a_move_smaller_than_the_gate_is_not_a_persons_business(
    signal: Signal, past: Calls, present: Calls
) -> None:
    gates = Gates(min_calls=100, threshold=12.0, ratio=100.0, points=0.9)
    found = ask(signal, past, changed(present, **HARM[signal]), gates)

    assert found.verdict is Verdict.USUAL
    assert found.strength > 12
    assert "smaller than the least effect" in found.why


@pytest.mark.parametrize("signal", DETECTORS)
def test_without_budget_nothing_moves(signal: Signal, past: Calls, present: Calls) -> None:
    gates = replace(GATES, threshold=float("inf"))

    assert ask(signal, past, changed(present, **HARM[signal]), gates).verdict is Verdict.USUAL


@pytest.mark.parametrize("signal", DETECTORS)
def test_ten_times_the_traffic_is_no_move(signal: Signal, past: Calls) -> None:
    busy = replace(APP, calls_per_min=200)
    burst = draw(np.random.default_rng(5), busy, NOW, 15)

    assert ask(signal, past, burst).verdict is Verdict.USUAL
