"""Golden streams: what is found, how soon, and what is left in peace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analysis.detect import decide, detect, gates_of
from analysis.learn import Learned, learn, learn_series, relearn, restore, with_scales
from analysis.rollup import roll
from analysis.tails import Tail
from bench.fleet import App, Calls, buckets, draw, join, plant
from tests.world import NOON, a_call
from tidegauge.bucket import Bucket
from tidegauge.call import Call
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Finding, Series, Signal, Verdict
from tidegauge.policy import Policy
from tidegauge.store import normals, spans
from tidegauge.store.engine import Engine, read, write

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + 14 * DAY + 9 * HOUR + 17 * MINUTE
#: What the demo asks for: a history of a call a minute, then 90 a minute.
QUICK = Policy(windows_min=(1, 5), settle_s=5, confirm_windows=1, min_calls=40)
HISTORY = App(calls_per_min=1, drift_sd=0.02, failed=0.003)
LIVE = replace(HISTORY, calls_per_min=90, rhythm=0)
QUIET_MIN = 20
Known = dict[tuple[Series, Signal], Learned]


def series(name: str) -> Series:
    return Series("demo", name, "default", "default", "model")


def taught(seed: int, names: Sequence[str], policy: Policy = QUICK) -> Known:
    known: Known = {}
    for i, name in enumerate(names):
        past = draw(np.random.default_rng([seed, i]), HISTORY, START, int((NOW - START) / MINUTE))
        hours, minutes = (buckets(past, series(name), START, step) for step in (60, 1))
        recent = [b for b in minutes if b.start >= NOW - DAY]
        for found in learn_series(series(name), hours, recent, [], policy, NOW):
            known[found.normal.series, found.normal.signal] = found
    return known


def live(seed: int, name: str, **effect: float) -> list[Bucket]:
    """Return twenty quiet minutes, then ten with a change."""
    rng = np.random.default_rng([seed, 99, len(name)])
    quiet = draw(rng, LIVE, NOW, QUIET_MIN)
    changed = plant(draw(rng, LIVE, NOW, 10), LIVE, rng, **effect)
    later = replace(changed, minute=changed.minute + QUIET_MIN)
    return buckets(join(quiet, later), series(name), NOW, 1)


def moved(
    known: Known, minutes: dict[Series, list[Bucket]], minute: int, policy: Policy = QUICK
) -> list[Finding]:
    """Return what has moved as soon as the ``minute``-th live minute is settled."""
    slow = max([0.0, *(x.slow_s or 0.0 for x in known.values())])
    at = NOW + (minute + 1) * MINUTE + timedelta(seconds=policy.settle_s + slow)
    found = decide(known, minutes, policy, at)
    return [one for one in found if one.verdict is Verdict.MOVED]


@pytest.fixture(scope="module")
def known() -> Known:
    return taught(1, ["longer", "cut", "calm"])


@pytest.mark.parametrize("seed", range(4))
def test_the_demo_s_changes_are_found_in_the_first_settled_minute(seed: int) -> None:
    known = taught(seed, ["longer", "cut", "calm"])
    minutes = {
        series("longer"): live(seed, "longer", output=2.7),
        series("cut"): live(seed, "cut", truncated=0.29),
        series("calm"): live(seed, "calm"),
    }

    for minute in range(QUIET_MIN):
        assert moved(known, minutes, minute) == []
    first = moved(known, minutes, QUIET_MIN)
    assert {(one.series.service, one.signal) for one in first} == {
        ("longer", Signal.OUTPUT_TOKENS),
        ("cut", Signal.TRUNCATION),
    }


def test_a_finding_says_how_much_against_what(known: Known) -> None:
    found = moved(known, {series("longer"): live(1, "longer", output=2.7)}, QUIET_MIN + 5)
    one = next(x for x in found if x.until - x.since == 5 * MINUTE)

    assert one.signal is Signal.OUTPUT_TOKENS
    assert one.ratio == pytest.approx(2.7, rel=0.2)
    assert one.calls > 300
    assert one.usual_low is not None
    assert one.usual_high is not None
    assert one.usual is not None
    assert one.usual_low < one.usual < one.usual_high


def test_longer_answers_do_not_make_the_model_slower(known: Known) -> None:
    found = moved(known, {series("longer"): live(1, "longer", output=2.7)}, QUIET_MIN + 5)

    assert {one.signal for one in found} == {Signal.OUTPUT_TOKENS}


def test_a_rise_of_errors_carries_its_interval(known: Known) -> None:
    found = moved(known, {series("cut"): live(3, "cut", failed=0.3)}, QUIET_MIN + 2)

    assert {one.signal for one in found} == {Signal.ERRORS}
    for one in found:
        assert one.now is not None
        assert one.now_low is not None
        assert one.now_high is not None
        assert one.now_low < one.now < one.now_high


def test_silence_is_unknown_never_usual(known: Known) -> None:
    found = decide(known, {}, QUICK, NOW)

    assert {one.verdict for one in found} == {Verdict.UNKNOWN}
    assert len(found) == 3 * len(Signal) * len(QUICK.windows_min)


def test_a_series_without_a_past_is_unknown(known: Known) -> None:
    minutes = {series("new"): live(1, "new", output=2.7)}
    found = decide(known, minutes, QUICK, NOW + 25 * MINUTE)

    assert {x.verdict for x in found if x.series == series("new")} == {Verdict.UNKNOWN}


def test_a_larger_fleet_asks_for_more_evidence_of_each_number() -> None:
    few, many = (
        gates_of(QUICK, Signal.LATENCY, Tail(), 5, QUICK.alarms_per_week / n) for n in (10, 10_000)
    )

    assert many.threshold == pytest.approx(few.threshold + np.log(1000))


def test_the_same_minutes_give_the_same_findings(known: Known) -> None:
    minutes = {series("longer"): live(1, "longer", output=2.7)}

    assert moved(known, minutes, QUIET_MIN) == moved(known, minutes, QUIET_MIN)


def calls_of(past: Calls, start: datetime, name: str) -> list[Call]:
    return [
        a_call(
            (name, start, i),
            service=name,
            started_at=start + int(past.minute[i]) * MINUTE,
            duration_s=float(past.latency[i]),
            input_tokens=int(past.input[i]),
            output_tokens=int(past.output[i]),
            truncated=bool(past.truncated[i]),
            error_type="timeout" if past.failed[i] else None,
        )
        for i in range(len(past.minute))
    ]


def test_from_stored_calls_to_kept_findings(engine: Engine) -> None:
    history = replace(HISTORY, calls_per_min=0.4)
    rng = np.random.default_rng(6)
    past = draw(rng, history, NOON - 5 * DAY, 5 * 1440)
    now = draw(rng, LIVE, NOON, 3)
    with write(engine) as db:
        spans.insert(db, calls_of(past, NOON - 5 * DAY, "app"), received_at=NOON)
        longer = plant(now, LIVE, rng, output=2.7)
        spans.insert(db, calls_of(longer, NOON, "app"), received_at=NOON)
    at = NOON + 3 * MINUTE + timedelta(seconds=30)  # 99 % of its calls end within some seconds
    roll(engine, at, max_series=100, limit=100_000)

    assert relearn(engine, QUICK, at) == len(Signal)
    assert relearn(engine, QUICK, at) == 0
    hour = [relearn(engine, QUICK, at + n * MINUTE) for n in range(1, 61)]
    assert sorted(hour) == [0] * 59 + [len(Signal)]  # once an hour, at the series' own minute
    found = detect(engine, QUICK, at)
    assert {x.signal for x in found if x.verdict is Verdict.MOVED} == {Signal.OUTPUT_TOKENS}
    with read(engine) as db:
        kept = normals.read_findings(db, "default")
    assert sorted(kept, key=repr) == sorted(found, key=repr)


def test_old_calls_that_arrive_late_are_learned_from_at_once(sqlite_engine: Engine) -> None:
    def bring(first_day: int, days: int) -> None:
        start = NOON - first_day * DAY
        past = draw(
            np.random.default_rng(first_day),
            replace(HISTORY, calls_per_min=0.3),
            start,
            days * 1440,
        )
        with write(sqlite_engine) as db:
            spans.insert(db, calls_of(past, start, "app"), received_at=NOON)
        roll(sqlite_engine, NOON, max_series=9, limit=100_000)

    bring(2, 1)
    assert relearn(sqlite_engine, QUICK, NOON) == len(Signal)
    bring(4, 2)
    assert relearn(sqlite_engine, QUICK, NOON) == len(Signal)


def test_windows_end_where_a_series_slow_calls_have_arrived() -> None:
    slow = LIVE
    rng = np.random.default_rng(8)
    one = series("slow")
    past = draw(rng, slow, START, 3 * 1440)
    now = START + 3 * DAY
    past = replace(past, latency=past.latency * 590 / float(np.quantile(past.latency, 0.99)))
    known = {
        (one, x.normal.signal): replace(x, slow_s=590.0)  # the fleet draws no histograms
        for x in learn_series(one, buckets(past, one, START, 60), [], [], QUICK, now)
    }
    # of the newest calls only those have arrived that have ended
    until = 3 * 1440
    last = past.between(until - 70, until)
    ended = last.minute - (until - 70) + last.latency / 60 <= 70
    here = Calls(**{name: getattr(last, name)[ended] for name in Calls.__slots__})
    arrived = buckets(here, one, START, 1)

    at = now + timedelta(seconds=QUICK.settle_s)
    found = decide(known, {one: arrived}, QUICK, at)
    assert {x.until for x in found} == {now - 10 * MINUTE}
    assert {x.verdict for x in found} == {Verdict.USUAL}
    unsettled = {key: replace(x, slow_s=None) for key, x in known.items()}
    assert Verdict.MOVED in {x.verdict for x in decide(unsettled, {one: arrived}, QUICK, at)}


def test_all_series_learn_in_turns_of_so_many(sqlite_engine: Engine) -> None:
    calls = [
        a_call((n, i), service=f"s{n}", started_at=NOON - DAY + i * MINUTE)
        for n in range(40)
        for i in range(6)
    ]
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=NOON)
    roll(sqlite_engine, NOON, max_series=99, limit=100_000)
    looks: list[int] = []
    at = NOON
    while len(looks) < 99 and (not looks or looks[-1]):
        looks.append(relearn(sqlite_engine, QUICK, at, at_once=8) // len(Signal))
        at += timedelta(seconds=1)

    assert sum(looks) == 40
    assert len(looks) > 3
    assert max(looks) <= 8 + 4  # a minute's series are not parted
    with read(sqlite_engine) as db:
        assert len(normals.read_normals(db, "default")) == 40 * len(Signal)


def test_a_clock_that_was_wrong_once_does_not_end_the_learning(sqlite_engine: Engine) -> None:
    calls = [a_call(i, started_at=NOON - DAY + i * MINUTE) for i in range(30)]
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=NOON)
    roll(sqlite_engine, NOON, max_series=99, limit=100_000)

    relearn(sqlite_engine, QUICK, NOON + 365 * DAY)
    assert relearn(sqlite_engine, QUICK, NOON) == len(Signal)
    assert relearn(sqlite_engine, QUICK, NOON) == 0
    assert relearn(sqlite_engine, QUICK, NOON + HOUR) == len(Signal)


def test_what_was_learned_survives_the_table(known: Known) -> None:
    for one in known.values():
        assert restore(one.normal, one.state()) == one


def test_short_windows_wander_at_least_as_much_as_hours() -> None:
    past = draw(np.random.default_rng(11), replace(HISTORY, calls_per_min=30), START, 5 * 1440)
    one = series("a")
    found = learn(buckets(past, one, START, 60), Signal.LATENCY, one, START + 5 * DAY)

    assert found is not None
    scales = with_scales(found, buckets(past, one, START, 1)[-1440:], (1, 5, 15)).wander
    assert scales[1] >= scales[60]
    assert scales[5] >= scales[60]
