from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from analysis import rollup
from collector import joiner
from collector.dialects.assemble import Cost
from collector.enrich import enrich
from collector.joiner import Joiner, forget_old, join_due
from collector.otlp_logs import CHOICE, DETAILS
from tests.collector import signals_corpus
from tests.collector.test_enrich import MESSAGES, event, span
from tidegauge.call import Call, NotCounted
from tidegauge.log_event import LogEvent
from tidegauge.pricing import price
from tidegauge.store import events, ledger, rollups, spans, traces
from tidegauge.store.engine import Engine, StoreBusy, open_engine, read, write
from tidegauge.store.events import Key

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def key_of(call: Call) -> Key:
    return call.project, bytes.fromhex(call.trace_id), bytes.fromhex(call.span_id)


def send_spans(engine: Engine, now: datetime, calls: Sequence[Call]) -> None:
    with write(engine) as db:
        spans.insert(db, calls, received_at=now)


def send_events(engine: Engine, now: datetime, *found: LogEvent) -> None:
    with write(engine) as db:
        events.insert(db, found, received_at=now)


def stored(engine: Engine, call: Call) -> Call:
    with read(engine) as db:
        wanted = spans.Filter(trace_id=call.trace_id, span_id=call.span_id, all_spans=True)
        (found,) = spans.calls(db, call.project, wanted)
    return found


def outcomes(engine: Engine, now: datetime) -> dict[str, int]:
    with read(engine) as db:
        return ledger.read_counts(db, "p", now - 9 * HOUR, now + 9 * HOUR)


def test_an_event_that_came_first_waits_for_its_span(engine: Engine, now: datetime) -> None:
    call = replace(span(), started_at=now)
    send_events(engine, now, event(DETAILS, **MESSAGES))
    assert join_due(engine, now) == 1
    assert join_due(engine, now) == 0  # not again in the same second
    send_spans(engine, now + 5 * MINUTE, [call])
    assert join_due(engine, now + 5 * MINUTE) == 1
    assert stored(engine, call).output[0]["content"] == "Paris"
    assert outcomes(engine, now) == {"logs:joined": 1}
    with read(engine) as db:
        assert ledger.lines(db, "p", now) == []  # of whose span it was, others have a line
    assert join_due(engine, now + HOUR) == 0


def test_an_event_that_came_later_has_the_minute_counted_again(
    engine: Engine, now: datetime
) -> None:
    call = replace(span(), started_at=now)
    send_spans(engine, now, [call])
    with write(engine) as db:
        rollups.clear_marks(db, rollups.stale_minutes(db, 9))
    send_events(engine, now + 5 * MINUTE, event(DETAILS, **MESSAGES))
    join_due(engine, now + 5 * MINUTE)
    with read(engine) as db:
        assert [one.minute for one in rollups.stale_minutes(db, 9)] == [now.replace(second=0)]
    assert stored(engine, call).truncated is True


def test_rollups_after_a_join_are_those_of_calls_that_said_it_all(
    engine: Engine, now: datetime
) -> None:
    """The model that answers names the series: a join moves a call to another one."""
    told = {"gen_ai.response.model": "gpt-4o-mini-2024-07-18", **MESSAGES}
    own = {"gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 7}
    places = [(now - n * MINUTE, f"{n:016x}") for n in range(1, 6)]

    def calls(project: str, **attributes: Any) -> list[Call]:
        bare = replace(span(**own, **attributes), project=project, request_model=None)
        bare = replace(bare, cost_usd=None, prompt_name=None)
        return [price(replace(bare, started_at=at, span_id=id_)) for at, id_ in places]

    def rolled(project: str) -> list[tuple[Any, ...]]:
        rollup.roll(engine, now, max_series=100, limit=100)
        with read(engine) as db:
            found = rollups.read_buckets(db, project, 60, now - HOUR, now)
        return [(b.start, b.series.model, b.calls, b.truncated, b.cost_usd) for b in found]

    send_spans(engine, now, calls("whole", **told))
    send_spans(engine, now, calls("joined"))
    assert {model for _, model, *_ in rolled("joined")} == {"unknown"}
    for _, id_ in places:
        send_events(engine, now, replace(event(DETAILS, **told), project="joined", span_id=id_))
    join_due(engine, now)
    assert rolled("joined") == rolled("whole")
    assert len(rolled("joined")) == len(places)


def test_events_that_add_nothing_change_nothing(engine: Engine, now: datetime) -> None:
    call = replace(span(**MESSAGES), started_at=now)
    send_spans(engine, now, [call])
    with write(engine) as db:
        rollups.clear_marks(db, rollups.stale_minutes(db, 9))
    send_events(engine, now, event(DETAILS, **MESSAGES))
    join_due(engine, now)
    assert stored(engine, call) == call
    assert outcomes(engine, now) == {"logs:nothing_new": 1}
    with read(engine) as db:
        assert rollups.count_stale(db) == 0


@pytest.mark.parametrize("case", signals_corpus.CASES)
def test_spans_and_events_in_any_order_and_batches_come_to_the_same(
    case: str, sqlite_engine: Engine, now: datetime
) -> None:
    calls, found = signals_corpus.calls(case), signals_corpus.log_events(case)
    by_span = signals_corpus.by_span(found)
    wanted = {}
    for call in calls:
        whole = enrich(call, by_span[call.trace_id, call.span_id])
        assert whole is not None
        wanted[key_of(call)] = visible(whole)
    for seed in range(8):
        rng = random.Random(seed)
        project = f"p{seed}"
        own = [replace(one, project=project) for one in calls]
        told = [replace(one, project=project) for one in found]
        sent: list[Call | LogEvent] = [*own, *told, *rng.sample(told, len(told) // 2)]
        rng.shuffle(sent)
        at = now
        cuts = sorted({0, len(sent), *rng.sample(range(len(sent)), min(4, len(sent) - 1))})
        for start, end in pairwise(cuts):
            some = sent[start:end]
            send_spans(sqlite_engine, at, [one for one in some if isinstance(one, Call)])
            send_events(sqlite_engine, at, *(one for one in some if isinstance(one, LogEvent)))
            while join_due(sqlite_engine, at):
                pass
            at += MINUTE * rng.randint(0, 3)
        at += 2 * MINUTE
        while join_due(sqlite_engine, at):
            pass
        assert {
            key_of(replace(one, project="p")): visible(stored(sqlite_engine, one)) for one in own
        } == wanted


def visible(call: Call) -> Call:
    """Return a call without its project and without the ids of the events that filled it."""
    return replace(call, project="p", attributes={})


def test_an_event_whose_span_never_came_is_dropped_and_counted(
    engine: Engine, now: datetime
) -> None:
    send_events(engine, now, event(DETAILS, 1), event(DETAILS, 2))
    assert forget_old(engine, now + joiner.KEEP - MINUTE) == 0
    assert forget_old(engine, now + joiner.KEEP + MINUTE) == 2
    assert outcomes(engine, now + HOUR) == {"logs:no_span": 2}
    assert join_due(engine, now + 2 * HOUR) == 0


def test_an_event_that_comes_when_the_others_are_forgotten_takes_nothing_away(
    engine: Engine, now: datetime
) -> None:
    call = replace(span(), started_at=now)
    send_spans(engine, now, [call])
    send_events(engine, now, event("gen_ai.user.message", 1, {"content": "one"}))
    join_due(engine, now)
    later = now + 2 * HOUR
    assert forget_old(engine, later) == 1
    send_events(engine, later, event("gen_ai.user.message", 2, {"content": "two"}))
    join_due(engine, later)
    assert [one["content"] for one in stored(engine, call).input] == ["one"]
    assert outcomes(engine, later) == {"logs:joined": 1, "logs:too_late": 1}
    assert join_due(engine, later + HOUR) == 0


def test_one_event_that_cannot_be_read_holds_up_no_other(
    engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = replace(span(), started_at=now), replace(span(), started_at=now, span_id="c" * 16)

    def fail_on_bad(call: Call, found: dict[str, LogEvent], cost: Cost) -> Call | None:
        if call.span_id == bad.span_id:
            raise TypeError("a prompt")
        return enrich(call, found, cost)

    monkeypatch.setattr(joiner, "enrich", fail_on_bad)
    send_spans(engine, now, [good, bad])
    told = event(DETAILS, **MESSAGES)
    send_events(engine, now, told, replace(told, span_id=bad.span_id))
    assert join_due(engine, now) == 2
    assert stored(engine, good).output
    assert outcomes(engine, now) == {"logs:joined": 1, "logs:unreadable": 1}
    assert join_due(engine, now + HOUR) == 0


def test_two_collectors_that_join_at_once_lose_nothing(
    url: str, engine: Engine, now: datetime
) -> None:
    calls = [replace(span(), started_at=now, span_id=f"{n:016x}") for n in range(1, 41)]
    told = [
        event("gen_ai.user.message", 1, {"content": "asked"}),
        event("gen_ai.user.message", 2, {"content": "again"}),
        event(CHOICE, 3, {"finish_reason": "stop", "message": {"content": "said"}}),
    ]
    sent = [replace(one, span_id=call.span_id) for one in told for call in calls]
    failed: list[BaseException] = []

    def collect(seed: int) -> None:
        own = open_engine(url)
        rng = random.Random(seed)
        try:
            for one in rng.sample(sent, len(sent)):
                retried(partial(send_events, own, now, one))
                if rng.random() < 0.3:
                    retried(partial(join_due, own, now))
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
        finally:
            own.dispose()

    send_spans(engine, now, calls)
    threads = [threading.Thread(target=collect, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    while join_due(engine, now):
        pass
    for call in calls:
        found = stored(engine, call)
        assert [one["content"] for one in found.input] == ["asked", "again"]
        assert [one["content"] for one in found.output] == ["said"]


def retried(action: Callable[[], object]) -> None:
    for _ in range(20):
        try:
            action()
        except StoreBusy:
            continue
        return
    raise TimeoutError("the store is busy for ever")


def test_the_thread_joins_by_itself_and_ends_when_asked(
    sqlite_engine: Engine, now: datetime
) -> None:
    call = replace(span(), started_at=now)
    send_spans(sqlite_engine, now, [call])
    thread = Joiner(sqlite_engine, clock=lambda: now, every_s=0.01)
    send_events(sqlite_engine, now, event(DETAILS, **MESSAGES))
    deadline = time.monotonic() + 10
    while not stored(sqlite_engine, call).output and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stored(sqlite_engine, call).output
    thread.close(10)
    send_events(sqlite_engine, now, event(CHOICE, 9, {"message": "late"}))
    with read(sqlite_engine) as db:
        assert events.due(db, now, 9) == [key_of(call)]


@pytest.mark.parametrize("settle_first", [True, False])
def test_an_event_of_a_span_whose_call_another_tells_too_reaches_the_record(
    engine: Engine, now: datetime, settle_first: bool
) -> None:
    outer = replace(span(), started_at=now, library="outer", finish_reasons=(), max_tokens=7)
    inner = replace(
        outer,
        span_id="0c" * 8,
        parent_span_id=outer.span_id,
        library="inner",
        max_tokens=None,
    )
    send_spans(engine, now, [outer, inner])
    if settle_first:
        traces.settle_due(engine)
    send_events(engine, now, event(DETAILS, **MESSAGES))
    join_due(engine, now)
    traces.settle_due(engine)

    record, duplicate = stored(engine, inner), stored(engine, outer)
    assert (record.not_counted, duplicate.not_counted) == (None, NotCounted.DUPLICATE)
    assert record.output[0]["content"] == "Paris"
    assert (record.finish_reasons, record.max_tokens) == (("length",), 7)
