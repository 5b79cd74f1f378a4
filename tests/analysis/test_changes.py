"""A value that takes over is a change; a rare one, a first one and a returning one are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from analysis import changes
from analysis.changes import FIELDS, effect, observe, series_changes
from analysis.rollup import roll
from tests.world import NOON, a_call
from tidegauge.bucket import Bucket, LengthClass, Measure, Measured
from tidegauge.call import Call
from tidegauge.clock import DAY, MINUTE
from tidegauge.finding import Change, Series
from tidegauge.store import changes as store
from tidegauge.store import spans
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.spans import to_ns

SERIES = Series("default", "checkout-bot", "prod", "answer", "gpt-4o-mini")
SECOND = timedelta(seconds=1)
NOTHING = dict.fromkeys(FIELDS)


def row(at: datetime, **fields: Any) -> Any:
    return SimpleNamespace(started_ns=to_ns(at), **(NOTHING | fields))


def stream(*parts: tuple[int, dict[str, Any]], every: timedelta = 10 * SECOND) -> list[Any]:
    """Return so many calls with these fields each, one after the other."""
    fields = [f for count, f in parts for _ in range(count)]
    return [row(NOON + i * every, **f) for i, f in enumerate(fields)]


def found_in(rows: Sequence[Any]) -> list[tuple[str, str | None, str]]:
    return sorted({(c.field, c.before, c.after) for c in series_changes(SERIES, rows, {})})


def test_a_new_value_that_stays_is_a_change() -> None:
    rows = stream((30, {"max_tokens": 1024}), (30, {"max_tokens": 256}))
    change = series_changes(SERIES, rows, {})[0]

    assert change == Change(
        series=SERIES,
        kind="parameter",
        at=NOON + 300 * SECOND,
        field="max_tokens",
        before="1024",
        after="256",
    )


def test_the_first_value_ever_is_no_change() -> None:
    assert found_in(stream((60, {"service_version": "1"}))) == []


def test_a_value_before_which_little_was_seen_is_no_change() -> None:
    assert found_in(stream((3, {"service_version": "1"}), (60, {"service_version": "2"}))) == []


def test_a_rare_value_is_no_change() -> None:
    fields = [{"provider": "azure" if i % 10 == 9 else "openai"} for i in range(300)]

    assert found_in(stream(*((1, f) for f in fields))) == []


def test_two_values_in_turn_from_the_start_are_no_change() -> None:
    assert found_in(stream(*((1, {"temperature": i % 2 / 2}) for i in range(300)))) == []


def test_a_value_that_comes_back_within_a_week_is_no_change() -> None:
    rows = stream(*((30, {"prompt_version": v}) for v in ("1", "2", "1")))

    assert found_in(rows) == [("prompt_version", "1", "2")]


def test_a_slow_rollout_is_one_change() -> None:
    fields = [{"service_version": "2" if i % 20 < i / 30 else "1"} for i in range(600)]
    rows = stream(*((1, f) for f in fields), every=SECOND)

    assert found_in(rows) == [("service_version", "1", "2")]


def test_a_slow_series_needs_five_calls_of_the_new_value_alone() -> None:
    old, new = (30, {"max_tokens": 1024}), {"max_tokens": 256}

    assert found_in(stream(old, (4, new), every=MINUTE)) == []
    assert found_in(stream(old, (5, new), every=MINUTE)) == [("max_tokens", "1024", "256")]


def test_a_prompt_that_differs_in_every_call_is_no_setting() -> None:
    rows = stream(*((1, {"prompt_checksum": f"{i:x}"}) for i in range(500)), every=SECOND)

    assert found_in(rows) == []


@pytest.mark.parametrize(
    ("before", "after", "silent"),
    [
        ({"prompt_checksum": "a"}, {"prompt_checksum": "b"}, True),
        (
            {"prompt_checksum": "a", "prompt_version": "1", "service_version": "7"},
            {"prompt_checksum": "b", "prompt_version": "1", "service_version": "7"},
            True,
        ),
        (
            {"prompt_checksum": "a", "prompt_version": "1"},
            {"prompt_checksum": "b", "prompt_version": "2"},
            False,
        ),
        (
            {"prompt_checksum": "a", "service_version": "1"},
            {"prompt_checksum": "b", "service_version": "2"},
            False,
        ),
    ],
)
def test_a_prompt_change_without_a_version_is_silent(
    before: dict[str, str], after: dict[str, str], silent: bool
) -> None:
    found = series_changes(SERIES, stream((40, before), (40, after)), {})

    assert {c.silent for c in found if c.field == "prompt_checksum"} == {silent}
    assert not any(c.silent for c in found if c.field != "prompt_checksum")


def test_a_minute_seen_twice_counts_once() -> None:
    pairs = [(100 + i, "a") for i in range(10)]
    once = observe(SERIES, "provider", {}, pairs)

    assert observe(SERIES, "provider", once, pairs) == once
    assert once["a"].calls == 10


def test_a_value_away_for_a_week_starts_anew() -> None:
    once = observe(SERIES, "provider", {}, [(100, "a")])
    again = observe(SERIES, "provider", once, [(100 + 8 * 86_400, "a")])

    assert again["a"].first_seen_s == 100 + 8 * 86_400


def test_only_so_many_values_of_a_field_are_kept() -> None:
    seen = observe(SERIES, "provider", {}, [(i, str(i)) for i in range(1000)])

    assert len(seen) == 100


def calls(first: datetime, count: int, **fields: Any) -> list[Call]:
    return [a_call((first, i), started_at=first + 2 * i * SECOND, **fields) for i in range(count)]


def test_a_silent_change_is_kept_once_whatever_arrives_late(engine: Engine) -> None:
    at = NOON + 3 * MINUTE
    parts = [
        calls(NOON, 90, prompt_checksum="old"),
        calls(at, 30, prompt_checksum="new"),
        calls(at + MINUTE, 30, prompt_checksum="new"),
        [a_call("late", started_at=at - SECOND, prompt_checksum="new")],
    ]
    for part in parts:
        with write(engine) as db:
            spans.insert(db, part, received_at=NOON)
        roll(engine, at, max_series=9, limit=99, watchers=[changes.watch])

    with read(engine) as db:
        told = store.read_changes(db, "default", NOON - DAY)
    assert [(c.field, c.before, c.after, c.at, c.silent) for c in told] == [
        ("prompt_checksum", "old", "new", at, True)
    ]
    with read(engine) as db:
        values = {v.value: v for v in store.read_values(db, "default", since=NOON - DAY)}
    assert values["old"].calls == 90
    assert values["new"].calls == 60
    assert values["new"].first_seen_s == (to_ns(at) // 10**9) - 1


def bucket(tokens: float, latency: float, cut: int) -> Bucket:
    logs = LengthClass(50, 50 * math.log(latency), 50 * math.log(latency) ** 2, 50 * tokens)
    return Bucket(
        series=SERIES,
        start=NOON,
        calls=50,
        truncated=cut,
        truncation_known=50,
        measures={Measure.OUTPUT_TOKENS: Measured.of([tokens] * 50)},
        lengths={int(tokens).bit_length(): logs},
    )


def test_the_effect_of_a_change_is_given_part_by_part() -> None:
    found = effect(bucket(100, 1.0, 1), bucket(270, 2.7, 10))

    assert found.output_tokens == pytest.approx(2.7)
    assert found.latency == pytest.approx(1.0)  # longer answers, no slower model
    assert (found.truncated_before, found.truncated_after) == (0.02, 0.2)


def test_the_effect_of_nothing_is_unknown() -> None:
    empty = Bucket(series=SERIES, start=NOON)
    found = effect(empty, empty)

    assert (found.output_tokens, found.latency, found.truncated_after) == (None, None, None)
