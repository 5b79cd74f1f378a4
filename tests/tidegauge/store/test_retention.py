from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.world import a_call
from tidegauge.log_event import EVALUATION, LogEvent
from tidegauge.store import events, retention, spans, token_metrics
from tidegauge.store.engine import Engine, open_engine, read, write
from tidegauge.store.migrate import upgrade
from tidegauge.store.retention import SHELVES, Shelf
from tidegauge.store.schema import content_block, metadata
from tidegauge.token_count import TokenCount, TokenType

DAY = timedelta(days=1)
BY_NAME = {shelf.name: shelf for shelf in SHELVES}


def stored(engine: Engine, now: datetime, ages: range, project: str = "default") -> None:
    """Store a call a day, each with a block of its own."""
    for age in ages:
        call = a_call(
            (project, age),
            project=project,
            started_at=now - age * DAY,
            input=[{"role": "user", "content": f"marked {project} {age}"}],
        )
        with write(engine) as db:
            spans.insert(db, [call], received_at=now - age * DAY)


def number(engine: Engine, shelf: Shelf) -> int:
    with read(engine) as db:
        return int(db.execute(select(func.count()).select_from(shelf.table)).scalar_one())


def test_content_goes_and_the_numbers_of_its_calls_stay(engine: Engine, now: datetime) -> None:
    stored(engine, now, range(10))

    with write(engine) as db:
        gone = retention.delete_batch(db, BY_NAME["content"], "default", now - 5 * DAY, 100)

    assert gone == 4
    with read(engine) as db:
        calls = spans.calls(db, "default")
    assert [call.input is None for call in calls] == [True] * 4 + [False] * 6
    assert {call.input_tokens for call in calls} == {400}


def test_a_batch_takes_the_oldest_and_no_more_than_it_may(engine: Engine, now: datetime) -> None:
    stored(engine, now, range(10))

    with write(engine) as db:
        gone = retention.delete_batch(db, BY_NAME["spans"], "default", now - 2 * DAY, 3)

    assert gone == 3
    with read(engine) as db:
        assert [call.started_at for call in spans.calls(db, "default")] == [
            now - age * DAY for age in range(6, -1, -1)
        ]


def test_another_project_keeps_its_rows(engine: Engine, now: datetime) -> None:
    stored(engine, now, range(5), "shop")
    stored(engine, now, range(5), "other")

    with write(engine) as db:
        retention.delete_batch(db, BY_NAME["spans"], "shop", now + DAY, 100)

    with read(engine) as db:
        assert (spans.count(db, "shop"), spans.count(db, "other")) == (0, 5)
        assert not retention.has_old(db, BY_NAME["spans"], "shop", now + DAY)
        assert retention.has_old(db, BY_NAME["spans"], "other", now + DAY)
        assert not retention.has_old(db, BY_NAME["spans"], "other", now - 4 * DAY)


def test_a_call_of_a_clock_that_is_ahead_goes_too(engine: Engine, now: datetime) -> None:
    call = a_call(started_at=now + 3000 * DAY, clock_invalid=True)
    with write(engine) as db:
        spans.insert(db, [call], received_at=now - 10 * DAY)
        assert retention.delete_batch(db, BY_NAME["spans"], "default", now - 5 * DAY, 10) == 1


def test_every_project_with_rows_is_found(engine: Engine, now: datetime) -> None:
    for project in ("c", "a", "b"):
        stored(engine, now, range(3), project)

    with read(engine) as db:
        assert retention.projects(db) == ["a", "b", "c"]


def test_a_project_that_sends_only_events_or_metrics_expires_too(
    engine: Engine, now: datetime
) -> None:
    judged = LogEvent(
        project="judge", trace_id="0a" * 16, span_id="0b" * 8, name=EVALUATION, time_ns=5
    )
    counted = TokenCount(
        project="meter", instance=b"i", stream=b"s", began_ns=0, until_ns=3600 * 10**9, tokens=5,
        service="shop", request_model="m", response_model="m", type=TokenType.INPUT, metric="x",
    )  # fmt: skip
    with write(engine) as db:
        events.insert(db, [judged], received_at=now - 9 * DAY)
        token_metrics.record(db, [counted])

    with write(engine) as db:
        assert retention.projects(db) == ["judge", "meter"]
        for project, name in (("judge", "log events"), ("meter", "token points")):
            assert retention.delete_batch(db, BY_NAME[name], project, now - 5 * DAY, 10) == 1
        assert retention.projects(db) == []


def test_an_empty_store_has_no_projects_and_nothing_to_delete(
    engine: Engine, now: datetime
) -> None:
    with write(engine) as db:
        assert retention.projects(db) == []
        for shelf in SHELVES:
            assert retention.delete_batch(db, shelf, "default", now, 10) == 0


def test_what_hangs_on_a_row_goes_with_it(engine: Engine, now: datetime) -> None:
    shelf = BY_NAME["reviews"]
    label, event = shelf.of
    old, young = int((now - 9 * DAY).timestamp()), int(now.timestamp())
    with write(engine) as db:
        for name, at in (("old", old), ("young", young)):
            db.execute(shelf.table.insert(), an_item(name, at))
            db.execute(
                label.insert(),
                {"item_id": name, "reviewer": "r", "verdict": "unsure", "note": "", "at_s": at},
            )
            db.execute(
                event.insert(),
                {"event_id": name, "item_id": name, "reviewer": "r", "at_s": at, "kind": "claimed"},
            )

    with write(engine) as db:
        assert retention.delete_batch(db, shelf, "default", now - 5 * DAY, 10) == 1

    with read(engine) as db:
        for table in (shelf.table, *shelf.of):
            assert db.execute(select(table.c.item_id)).scalars().all() == ["young"]


def an_item(name: str, at_s: int) -> dict[str, object]:
    return {
        "item_id": name, "project": "default", "trace_id": "ab", "span_id": "cd",
        "reason": "random", "evidence": "", "priority": 1.0, "service": "s", "created_s": at_s,
        "call_started_s": at_s, "status": "pending",
    }  # fmt: skip


def test_every_table_that_grows_with_traffic_has_its_time() -> None:
    growing = {"project"}
    ours = {shelf.table.name for shelf in SHELVES} | {
        table.name for shelf in SHELVES for table in shelf.of
    }
    elsewhere = {
        "stale_minute", "unsettled_trace",  # cleared by each look
        "series",  # bounded by max_series
        "normal", "finding", "watched_hour",  # forgotten by learning, detection and tidying
        "prompt_variant", "prompt_template",  # analysis/prompts.py forget()
        "ingest_source", "ingest_count",  # store/ledger.py KEEP
    }  # fmt: skip
    tables = {
        name for name, table in metadata.tables.items() if growing & {c.name for c in table.columns}
    }

    assert tables - ours - elsewhere <= {"api_key"}


def test_deleted_content_is_no_longer_in_the_file(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "t.db"
    upgrade(f"sqlite:///{path}")
    engine = open_engine(f"sqlite:///{path}")
    stored(engine, now, range(50))
    marks = packed(engine)
    assert all(mark in everything(path) for mark in marks)

    with write(engine) as db:
        retention.delete_batch(db, BY_NAME["content"], "default", now + DAY, 100)
        assert db.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 0
    with engine.connect() as db:
        db.exec_driver_sql("ROLLBACK")
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
    engine.dispose()

    assert number_found(path, marks) == 0


def packed(engine: Engine) -> list[bytes]:
    with read(engine) as db:
        return [bytes(one)[-40:] for one in db.execute(select(content_block.c.packed)).scalars()]


def everything(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))


def number_found(path: Path, marks: list[bytes]) -> int:
    return sum(mark in everything(path) for mark in marks)


def test_a_file_that_is_mostly_free_is_cut(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "t.db"
    upgrade(f"sqlite:///{path}")
    engine = open_engine(f"sqlite:///{path}")
    calls = [a_call(i, name="n" * 4000, started_at=now) for i in range(400)]
    with write(engine) as db:
        spans.insert(db, calls, received_at=now)
    with read(engine) as db:
        assert not retention.is_sparse(db)
        before = db.exec_driver_sql("PRAGMA page_count").scalar_one()

    with write(engine) as db:
        retention.delete_batch(db, BY_NAME["spans"], "default", now + DAY, 1000)
    for _ in range(100):
        with write(engine) as db:
            if not retention.is_sparse(db):
                break
            retention.shrink(db, 50)

    with read(engine) as db:
        assert not retention.is_sparse(db)
        assert db.exec_driver_sql("PRAGMA page_count").scalar_one() < before / 2
    engine.dispose()


# The rest have a few hundred rows a year.
LARGE = [shelf for shelf in SHELVES if shelf.name not in ("changes", "reviews", "alerts")]


@pytest.mark.parametrize("shelf", LARGE, ids=lambda shelf: shelf.name)
def test_sqlite_finds_old_rows_without_reading_all(
    sqlite_engine: Engine, shelf: Shelf, now: datetime
) -> None:
    with read(sqlite_engine) as db:
        query = retention._old(shelf, "default", now, 10).compile(
            db, compile_kwargs={"literal_binds": True}
        )
        plan = " ".join(str(row) for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))

    assert f"SCAN {shelf.table.name}" not in plan
    assert "TEMP B-TREE" not in plan
