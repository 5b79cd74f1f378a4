"""The write-ahead log of SQLite stays bounded, however it is read, and a read ends in time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tidegauge.store import engine as engines
from tidegauge.store.engine import Engine, StoreBusy, open_engine, read, write

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def fill(engine: Engine, number: int) -> None:
    with write(engine) as db:
        db.exec_driver_sql("INSERT INTO t VALUES (randomblob(100000))")
        db.exec_driver_sql("DELETE FROM t WHERE rowid < ?", (number - 5,))


def test_readers_that_follow_each_other_without_a_gap_do_not_let_the_log_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOG_BYTES", 2 * 2**20)
    monkeypatch.setattr(engines, "LOG_AGAIN_S", 0.05)
    path = tmp_path / "t.db"
    engine = open_engine(f"sqlite:///{path}", pool_size=5)
    with write(engine) as db:
        db.exec_driver_sql("CREATE TABLE t (x BLOB)")
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            with read(engine) as db:
                db.exec_driver_sql("SELECT count(*) FROM t").scalar_one()
                done.wait(0.02)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    log, sizes, end = path.with_name("t.db-wal"), [0], time.monotonic() + 30
    while sizes.count(0) < 3 and time.monotonic() < end:
        fill(engine, len(sizes))
        sizes.append(log.stat().st_size)
    done.set()
    for reader in readers:
        reader.join()
    engine.dispose()
    assert sizes.count(0) == 3  # emptied twice, though somebody read at every moment
    assert max(sizes) > engines.LOG_BYTES / 2


def test_a_reader_that_stays_does_not_stop_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOG_BYTES", 2**20)
    engine = open_engine(f"sqlite:///{tmp_path / 't.db'}")
    with write(engine) as db:
        db.exec_driver_sql("CREATE TABLE t (x BLOB)")
    with read(engine) as db:
        db.exec_driver_sql("SELECT count(*) FROM t").scalar_one()
        began = time.monotonic()
        for number in range(60):
            fill(engine, number)
        assert time.monotonic() - began < 4
    engine.dispose()


def test_a_read_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 't.db'}", patience_s=0.3)
    began = time.monotonic()
    with pytest.raises(StoreBusy, match="interrupted"), read(engine) as db:
        db.exec_driver_sql(ENDLESS).scalar_one()
    assert time.monotonic() - began < 5
    with read(engine) as db:
        assert db.exec_driver_sql("SELECT 1").scalar_one() == 1
    engine.dispose()


def test_a_write_may_take_longer_than_a_read(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 't.db'}", patience_s=0.0)
    with write(engine) as db:
        bounded = ENDLESS.replace("FROM n)", "FROM n WHERE i < 300000)")
        assert db.exec_driver_sql(bounded).scalar_one() == 300_000
    engine.dispose()
