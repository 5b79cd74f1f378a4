"""A value that takes over is a change; a rare one, a first one and a share of a split are not."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis import changes
from analysis.changes import FIELDS, minutes_of, search
from analysis.rollup import roll
from tests.world import NOON, a_call
from tidegauge.call import Call
from tidegauge.clock import DAY, HOUR, MINUTE
from tidegauge.finding import Change, Series
from tidegauge.store import changes as store
from tidegauge.store import spans
from tidegauge.store.engine import Engine, open_engine, read, write
from tidegauge.store.migrate import upgrade
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


def changes_in(rows: Sequence[Any]) -> list[Change]:
    return [one.change for one in search(SERIES, None, minutes_of(rows))[1]]


def found_in(rows: Sequence[Any]) -> list[tuple[str, str | None, str]]:
    return [(c.field, c.before, c.after) for c in changes_in(rows)]


def test_a_new_value_that_stays_is_a_change() -> None:
    rows = stream((30, {"max_tokens": 1024}), (30, {"max_tokens": 256}))

    assert changes_in(rows) == [
        Change(
            series=SERIES,
            kind="parameter",
            at=NOON + 300 * SECOND,
            field="max_tokens",
            before="1024",
            after="256",
        )
    ]


def test_a_change_within_a_minute_is_dated_by_its_first_call() -> None:
    rows = stream((45, {"max_tokens": 1024}), (99, {"max_tokens": 256}), every=SECOND)
    late = stream((50, {"max_tokens": 1024}), (99, {"max_tokens": 256}), every=SECOND)

    assert [c.at for c in changes_in(rows)] == [NOON + 45 * SECOND]
    assert [c.at for c in changes_in(late)] == [NOON + 50 * SECOND]


def test_five_calls_that_are_half_a_minute_are_enough() -> None:
    rows = stream((65, {"prompt_checksum": "a"}), (5, {"prompt_checksum": "b"}), every=SECOND)

    assert found_in(rows[:-1]) == []
    assert found_in(rows) == [("prompt_checksum", "a", "b")]


def test_the_first_value_ever_is_no_change() -> None:
    assert found_in(stream((60, {"service_version": "1"}))) == []


def test_a_value_before_which_little_was_seen_is_no_change() -> None:
    assert found_in(stream((3, {"service_version": "1"}), (60, {"service_version": "2"}))) == []


def test_a_rare_value_is_no_change() -> None:
    fields = [{"provider": "azure" if i % 10 == 9 else "openai"} for i in range(300)]

    assert found_in(stream(*((1, f) for f in fields))) == []


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("per_minute", [3, 10, 90])
def test_a_split_of_traffic_is_no_stream_of_changes(share: float, per_minute: int) -> None:
    every = timedelta(minutes=1) / per_minute
    found = []
    for seed in range(6):
        rng = random.Random(seed)
        mixed = [(1, {"top_p": int(rng.random() < share)}) for _ in range(240 * per_minute)]
        found.append(found_in(stream((60 * per_minute, {"top_p": 0}), *mixed, every=every)))

    # five new calls in a row, once half are new, are told as its arrival; then it is at rest
    assert max(map(len, found)) <= (1 if share == 0.5 else 0)


def test_values_that_take_turns_by_the_minute_are_one_mixture() -> None:
    turns = [(30, {"temperature": i % 2}) for i in range(240)]

    # that it came is one; that it goes and comes is none
    assert len(found_in(stream((3600, {"temperature": 0}), *turns, every=2 * SECOND))) == 1


def test_most_of_the_traffic_moved_for_good_is_a_change() -> None:
    rng = random.Random(7)
    mixed = [(1, {"provider": "azure" if rng.random() < 0.7 else "openai"}) for _ in range(3600)]
    rows = stream((600, {"provider": "openai"}), *mixed, every=6 * SECOND)

    assert found_in(rows) == [("provider", "openai", "azure")]


def test_a_value_that_comes_and_goes_and_comes_again_is_three_changes() -> None:
    parts = [(720, {"max_tokens": n}) for n in (1024, 100, 1024, 100)]
    found = changes_in(stream(*parts))

    assert [(c.before, c.after, c.at) for c in found] == [
        ("1024", "100", NOON + 2 * HOUR),
        ("100", "1024", NOON + 4 * HOUR),
        ("1024", "100", NOON + 6 * HOUR),
    ]


def test_a_slow_rollout_is_one_change() -> None:
    fields = [{"service_version": "2" if i % 20 < i / 30 else "1"} for i in range(600)]
    rows = stream(*((1, f) for f in fields), every=SECOND)

    assert found_in(rows) == [("service_version", "1", "2")]


def test_a_slow_series_needs_five_calls_of_the_new_value() -> None:
    old, new = (30, {"max_tokens": 1024}), {"max_tokens": 256}

    assert found_in(stream(old, (4, new), every=MINUTE)) == []
    assert found_in(stream(old, (5, new), every=MINUTE)) == [("max_tokens", "1024", "256")]


def test_a_prompt_that_differs_in_every_call_is_no_setting() -> None:
    rows = stream(*((1, {"prompt_checksum": f"{i:x}"}) for i in range(500)), every=SECOND)

    assert found_in(rows) == []


def test_a_long_value_is_cut_and_told_apart_by_its_hash() -> None:
    old, new = "x" * 9000 + "1", "x" * 9000 + "2"
    rows = stream((60, {"service_version": old}), (60, {"service_version": new}))
    (change,) = changes_in(rows)

    assert change.before != change.after
    assert max(len(change.before or ""), len(change.after)) <= 200


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
    found = changes_in(stream((40, before), (40, after)))

    assert {c.silent for c in found if c.field == "prompt_checksum"} == {silent}
    assert not any(c.silent for c in found if c.field != "prompt_checksum")


def calls(
    first: datetime, count: int, *, every: timedelta = 2 * SECOND, **fields: Any
) -> list[Call]:
    return [a_call((first, i), started_at=first + i * every, **fields) for i in range(count)]


def told(engine: Engine) -> list[Change]:
    with read(engine) as db:
        return store.read_changes(db, "default", NOON - 30 * DAY)


def bring(engine: Engine, calls: Sequence[Call]) -> None:
    with write(engine) as db:
        spans.insert(db, calls, received_at=NOON)
    roll(engine, NOON, max_series=9, limit=99_999, watchers=[changes.watch])


def test_a_silent_change_is_kept_once_whatever_arrives_late(engine: Engine) -> None:
    at = NOON + 3 * MINUTE
    bring(engine, calls(NOON, 90, prompt_checksum="old"))
    bring(engine, calls(at, 5, prompt_checksum="new"))
    first = told(engine)
    bring(engine, calls(at + 10 * SECOND, 25, prompt_checksum="new"))
    bring(engine, calls(at + MINUTE, 30, prompt_checksum="new"))
    bring(engine, [a_call("late", started_at=at - SECOND, prompt_checksum="new")])

    assert [(c.field, c.before, c.after, c.at, c.silent) for c in first] == [
        ("prompt_checksum", "old", "new", at, True)
    ]
    assert told(engine) == [replace(first[0], at=at - SECOND)]


@pytest.mark.parametrize("seed", range(4))
def test_calls_in_any_order_and_pieces_show_the_same_changes(
    sqlite_engine: Engine, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    fields = [
        {"max_tokens": n, "prompt_checksum": f"p{v}", "prompt_version": str(v // 2)}
        for n, v in ((1024, 1), (100, 2), (1024, 3), (100, 3), (100, 4), (512, 1))
    ]
    sent = [
        call
        for i, given in enumerate(fields)
        for call in calls(NOON + 50 * i * MINUTE, 150, every=20 * SECOND, **given)
    ]
    sent = [call for call in sent if rng.random() < 0.9]
    bring(sqlite_engine, sent)
    upgrade(f"sqlite:///{tmp_path}/other.db")
    other = open_engine(f"sqlite:///{tmp_path}/other.db")
    shuffled = rng.sample(sent, len(sent))
    while shuffled:
        size = rng.randint(1, 200)
        bring(other, shuffled[:size])
        shuffled = shuffled[size:]

    assert len(told(sqlite_engine)) >= 7
    assert told(other) == told(sqlite_engine)
    other.dispose()


def test_a_fault_that_comes_back_is_told_each_time_as_it_comes(sqlite_engine: Engine) -> None:
    for part, limit in enumerate((1024, 100, 1024, 100)):
        for minute in range(60):
            at = NOON + (60 * part + minute) * MINUTE
            bring(sqlite_engine, calls(at, 10, max_tokens=limit))
            if minute == 2:  # of what was there an hour ago, a few minutes are needed
                assert len(told(sqlite_engine)) == part


def test_an_attribute_of_any_length_stops_nothing(engine: Engine) -> None:
    bring(engine, calls(NOON, 60, service_version="1"))
    text = base64.b64encode(random.Random(1).randbytes(6000)).decode()
    bring(engine, calls(NOON + 2 * MINUTE, 60, service_version=text))

    assert [c.before for c in told(engine)] == ["1"]
    assert len(told(engine)[0].after) <= 200


def test_what_is_older_than_a_week_is_the_first_value_again(sqlite_engine: Engine) -> None:
    bring(sqlite_engine, calls(NOON - 8 * DAY, 60, service_version="1"))
    bring(sqlite_engine, calls(NOON, 60, service_version="2"))

    assert told(sqlite_engine) == []
