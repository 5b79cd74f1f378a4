from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegauge.call import Call, NotCounted
from tidegauge.store import spans, token_metrics
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.token_metrics import TokenCheck
from tidegauge.token_count import TokenCount, TokenType

T0 = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ns(at: datetime) -> int:
    return int(at.timestamp()) * 10**9


def point(
    tokens: int,
    at: timedelta,
    *,
    began: timedelta | None = timedelta(0),
    stream: str = "a",
    instance: str = "i",
    **fields: Any,
) -> TokenCount:
    names = {"service": "shop", "request_model": "m", "response_model": "m-1", "metric": "x"}
    return TokenCount(
        project="p",
        instance=digest(instance),
        stream=digest(instance, stream),
        began_ns=0 if began is None else ns(T0 + began),
        until_ns=ns(T0 + at),
        tokens=tokens,
        **{**names, "type": TokenType.INPUT, **fields},
    )


def digest(*names: str) -> bytes:
    return hashlib.blake2b("/".join(names).encode(), digest_size=16).digest()


def record(engine: Engine, points: Iterable[TokenCount]) -> None:
    with write(engine) as db:
        token_metrics.record(db, points)


def tokens(engine: Engine, since: timedelta = -DAY, until: timedelta = DAY) -> int | None:
    with read(engine) as db:
        found = token_metrics.compare(db, "p", T0 + since, T0 + until)
    assert len(found) <= 1
    return found[0].by_metric if found else None


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


CUMULATIVE = [point(10 * n, minutes(20 * n)) for n in range(1, 8)]
DELTA = [point(10, minutes(20 * n), began=minutes(20 * (n - 1))) for n in range(1, 8)]
RESET = [
    *CUMULATIVE,
    *(point(5 * n, minutes(150 + 20 * n), began=minutes(145)) for n in range(1, 4)),
]
OUT_OF_NOWHERE = [point(n, minutes(20 * k), began=None) for k, n in ((1, 50), (7, 80), (13, 20))]


@pytest.mark.parametrize(
    ("points", "total"),
    [
        (CUMULATIVE, 70),
        (DELTA, 70),
        (RESET, 85),
        (OUT_OF_NOWHERE, 30 + 20),  # what it had counted before is not known; then it began anew
    ],
)
def test_order_batches_and_duplicates_do_not_matter(
    engine: Engine, points: list[TokenCount], total: int
) -> None:
    rng = random.Random(total)
    hours: set[tuple[int | None, ...]] = set()
    for _ in range(12):
        with write(engine) as db:
            db.exec_driver_sql("DELETE FROM token_point")
        left = rng.sample([*points, *points, *rng.sample(points, 2)], k=2 * len(points) + 2)
        while left:
            size = rng.randint(1, len(left))
            record(engine, left[:size])
            left = left[size:]
        assert tokens(engine) == total
        hours.add(tuple(tokens(engine, n * HOUR, (n + 1) * HOUR) for n in range(5)))
    assert len(hours) == 1


def test_each_hour_has_its_own_tokens(engine: Engine) -> None:
    record(engine, CUMULATIVE)
    assert [tokens(engine, n * HOUR, (n + 1) * HOUR) for n in range(4)] == [20, 30, 20, None]
    assert tokens(engine, HOUR, 3 * HOUR) == 50


def test_what_a_process_counted_before_we_listened_is_left_out(engine: Engine) -> None:
    record(
        engine,
        [point(5_000, minutes(20), began=-3 * DAY), point(5_010, minutes(70), began=-3 * DAY)],
    )
    assert tokens(engine) == 10


def test_a_stream_that_begins_late_in_a_known_process_counts_whole(engine: Engine) -> None:
    record(engine, [point(100, minutes(1)), point(7, 5 * HOUR, stream="rare model")])
    assert tokens(engine) == 107


def test_all_streams_and_processes_are_added(engine: Engine) -> None:
    record(
        engine,
        [
            point(1, minutes(1), stream="chat", instance="i"),
            point(2, minutes(1), stream="embeddings", instance="i"),
            point(4, minutes(1), instance="j"),
        ],
    )
    assert tokens(engine) == 7


def test_two_metrics_of_the_same_tokens_are_not_added(engine: Engine) -> None:
    record(
        engine,
        [
            point(40, minutes(1), stream="old", metric="x gen_ai.client.token.usage"),
            point(41, minutes(1), stream="new", metric="x gen_ai.client.inference.usage"),
        ],
    )
    assert tokens(engine) == 41


def call(**fields: Any) -> Call:
    number = next(_numbers)
    return Call(
        **{
            "project": "p",
            "trace_id": f"{number:032x}",
            "span_id": f"{number:016x}",
            "started_at": T0 + minutes(1),
            "duration_s": 1.0,
            "service": "shop",
            "request_model": "m",
            "response_model": "m-1",
            "input_tokens": 10,
            "output_tokens": 3,
            **fields,
        }
    )


_numbers = itertools.count(1)


def test_the_metrics_stand_beside_the_calls(engine: Engine) -> None:
    with write(engine) as db:
        token_metrics.record(
            db, [point(25, minutes(2)), point(6, minutes(2), stream="o", type=TokenType.OUTPUT)]
        )
        made = [
            call(),
            call(),
            call(input_tokens=None, output_tokens=None),
            call(not_counted=NotCounted.WRAPPER),
            call(started_at=T0 + 2 * HOUR),
            call(service="other"),  # sends no metric: nothing to compare
            call(request_model="unseen", output_tokens=None),
        ]
        spans.insert(db, made, received_at=T0)
        found = token_metrics.compare(db, "p", T0, T0 + HOUR)
        assert token_metrics.compare(db, "q", T0, T0 + HOUR) == []
    assert found == [
        TokenCheck("shop", "m", TokenType.INPUT, 25, 20),
        TokenCheck("shop", "m", TokenType.OUTPUT, 6, 6),
        TokenCheck("shop", "unseen", TokenType.INPUT, None, 10),
    ]
    assert [one.share for one in found] == [0.8, 1.0, None]


def test_metrics_without_calls_show_no_share(engine: Engine) -> None:
    record(engine, [point(25, minutes(2))])
    with read(engine) as db:
        (found,) = token_metrics.compare(db, "p", T0, T0 + HOUR)
    assert (found.by_calls, found.share) == (None, None)
    assert TokenCheck("shop", "m", TokenType.INPUT, 25, 0).share == 0.0


def test_a_metric_that_only_knows_who_answered_goes_by_the_name_that_was_asked_for(
    engine: Engine,
) -> None:
    with write(engine) as db:
        token_metrics.record(db, [point(10, minutes(2), request_model=None)])
        spans.insert(db, [call(output_tokens=None)], received_at=T0)
        assert token_metrics.compare(db, "p", T0, T0 + HOUR) == [
            TokenCheck("shop", "m", TokenType.INPUT, 10, 10)
        ]
        # Two names are asked for that the same model answers: whose tokens they are is not known.
        spans.insert(db, [call(request_model="alias", output_tokens=None)], received_at=T0)
        found = token_metrics.compare(db, "p", T0, T0 + HOUR)
    assert [(one.model, one.by_metric) for one in found] == [
        ("alias", None),
        ("m", None),
        ("m-1", 10),
    ]


def test_streams_beyond_the_bound_of_an_hour_are_left_out_and_known_ones_count_on(
    engine: Engine,
) -> None:
    with write(engine) as db:
        assert token_metrics.record(db, [point(10, minutes(1))], most=3) == 1
        random_ones = [point(5, minutes(2), stream=f"random-{n}") for n in range(10)]
        assert token_metrics.record(db, [*random_ones, point(30, minutes(2))], most=3) == 3
        assert token_metrics.record(db, random_ones[:5] + random_ones[5:], most=3) == 2
        assert token_metrics.record(db, [point(35, minutes(3))], most=3) == 1
        other_hour = [point(1, minutes(61), stream=f"random-{n}") for n in range(10)]
        assert token_metrics.record(db, other_hour, most=3) == 3
    assert tokens(engine, timedelta(0), HOUR) == 35 + 2 * 5


def test_many_points_of_one_delta_are_one_stream(engine: Engine) -> None:
    deltas = [point(1, minutes(n), began=minutes(n - 1)) for n in range(1, 50)]
    with write(engine) as db:
        assert token_metrics.record(db, deltas, most=1) == len(deltas)
    assert tokens(engine) == len(deltas)


def test_a_week_of_points_is_added_up_by_the_database(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [
        point(10 * (n + 1), n * HOUR, stream=f"s{stream}") for n in range(6) for stream in range(40)
    ]
    record(sqlite_engine, points)
    fetched: list[int] = []
    with read(sqlite_engine) as db:
        execute = db.execute

        def counting(*args: Any, **options: Any) -> Any:
            rows = execute(*args, **options).all()
            fetched.append(len(rows))
            return rows

        monkeypatch.setattr(db, "execute", counting)
        (found,) = token_metrics.compare(db, "p", T0, T0 + DAY)
    assert found.by_metric == 40 * 60
    assert sum(fetched) == 1  # not one for each of the 240 hours


def test_old_points_are_forgotten_and_the_rest_still_counts_right(engine: Engine) -> None:
    record(engine, CUMULATIVE)
    with write(engine) as db:
        early = int((T0 + 2 * HOUR).timestamp())
        db.exec_driver_sql(f"DELETE FROM token_point WHERE hour_s < {early}")  # noqa: S608
    # Of the oldest hour left, the tokens up to its first point are not known.
    assert [tokens(engine, n * HOUR, (n + 1) * HOUR) for n in range(3)] == [None, None, 10]
