"""What the dashboard's pages read, on both databases."""

from __future__ import annotations

import math
from dataclasses import replace

from tests.conftest import NOW
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.clock import HOUR, MINUTE, floor
from tidegauge.finding import Series, Signal
from tidegauge.normal import HOURS_OF_PROFILE, Normal
from tidegauge.store import normals, pages, rollups
from tidegauge.store.engine import Engine, read, write

BOT = Series("default", "bot", "prod", "answer", "gpt-4o")
OTHER = Series("default", "search", "prod", "rewrite", "haiku")
AT = floor(NOW, HOUR)


def a_bucket(series: Series = BOT) -> Bucket:
    return Bucket(
        series=series,
        start=AT,
        calls=2,
        errors=1,
        truncated=1,
        truncation_known=2,
        cost_usd=0.5,
        cost_known=1,
        measures={
            Measure.LATENCY: Measured.of([1.0, 2.0]),
            Measure.INPUT_TOKENS: Measured.of([7.0]),
        },
        lengths={3: LengthClass(2, 0.5, 0.25, 30.0)},
    )


def keep(engine: Engine, *buckets: Bucket) -> None:
    with write(engine) as db:
        rollups.register(db, [bucket.series for bucket in buckets], NOW)
        rollups.replace(db, "default", 3600, [AT], buckets)


def test_points_carry_the_counts_and_only_the_measures_asked_for(engine: Engine) -> None:
    keep(engine, a_bucket())
    with read(engine) as db:
        (found,) = pages.read_points(
            db, "default", 3600, AT, AT + HOUR, measures=(Measure.LATENCY,)
        )
    whole = a_bucket()
    assert (found.calls, found.errors, found.truncated, found.cost_usd) == (2, 1, 1, 0.5)
    assert found.measures == {Measure.LATENCY: whole.measures[Measure.LATENCY]}
    assert found.lengths == {}


def test_points_are_those_of_the_series_named_and_the_time_asked_for(engine: Engine) -> None:
    keep(engine, a_bucket(), a_bucket(OTHER))
    with read(engine) as db:
        mine = pages.read_points(db, "default", 3600, AT, AT + HOUR, measures=(), series=(OTHER,))
        before = pages.read_points(db, "default", 3600, AT - HOUR, AT, measures=())
    assert [bucket.series for bucket in mine] == [OTHER]
    assert before == []


def test_a_normal_is_found_by_series_and_signal(engine: Engine) -> None:
    normal = Normal(
        series=BOT,
        signal=Signal.LATENCY,
        learned_at=AT,
        hours=100,
        log_scale=True,
        profile=(math.log(2.0),) * HOURS_OF_PROFILE,
        wander_sd=0.1,
    )
    with write(engine) as db:
        rollups.register(db, [BOT], NOW)
        normals.write_normals(db, [(normal, {"line": [1.0, 2.0]})])
    with read(engine) as db:
        assert pages.read_normal(db, BOT, Signal.LATENCY) == (normal, {"line": [1.0, 2.0]})
        assert pages.read_normal(db, BOT, Signal.ERRORS) is None
        assert pages.read_normal(db, OTHER, Signal.LATENCY) is None


def test_the_size_of_the_database_is_known(engine: Engine) -> None:
    with read(engine) as db:
        assert pages.database_bytes(db) > 10_000


def test_totals_are_what_adding_the_buckets_gives(engine: Engine) -> None:
    later = replace(a_bucket(), start=AT + HOUR, errors=0)
    with write(engine) as db:
        rollups.register(db, [BOT], NOW)
        rollups.replace(db, "default", 3600, [AT, AT + HOUR], [a_bucket(), later])
    with read(engine) as db:
        measures = (Measure.LATENCY, Measure.TTFT)
        (found,) = pages.read_totals(db, "default", 3600, AT, AT + 2 * HOUR, measures=measures)
    both = a_bucket().measured(Measure.LATENCY) + later.measured(Measure.LATENCY)
    assert (found.calls, found.errors, found.truncated, found.cost_usd) == (4, 1, 2, 1.0)
    assert found.measured(Measure.LATENCY) == both
    assert found.measured(Measure.TTFT) == Measured()


def test_calls_are_summed_by_the_step_asked_for(engine: Engine) -> None:
    minutes = [replace(a_bucket(), start=AT + i * MINUTE) for i in range(7)]
    with write(engine) as db:
        rollups.register(db, [BOT], NOW)
        rollups.replace(db, "default", 60, [one.start for one in minutes], minutes)
    with read(engine) as db:
        found = pages.read_calls(db, "default", 60, AT, AT + HOUR, 300)
    assert found == {(BOT, AT): 10, (BOT, AT + 5 * MINUTE): 4}
