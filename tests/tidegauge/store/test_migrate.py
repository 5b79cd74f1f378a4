"""Bringing a database up: no lock where nothing is to be done, and patience where it starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pysqlite3 import dbapi2 as sqlite

from tidegauge.store import engine as engines
from tidegauge.store.engine import StoreBusy, StoreUnusable, open_engine
from tidegauge.store.migrate import state, upgrade, upgrade_when_up


@pytest.fixture
def lock(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite.Connection]:
    """Return a connection to the new file that holds the write lock."""
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.01)
    engine = open_engine(sqlite_url)
    with engine.connect():
        pass
    engine.dispose()
    connection = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def schema_of(url: str) -> str:
    engine = open_engine(url)
    try:
        return state(engine)
    finally:
        engine.dispose()


def test_a_current_schema_is_left_alone_while_another_process_writes(
    sqlite_url: str, lock: sqlite.Connection
) -> None:
    lock.rollback()
    upgrade(sqlite_url)
    lock.execute("BEGIN IMMEDIATE")
    upgrade(sqlite_url)
    lock.rollback()


class Patience(threading.Event):
    """A stop signal that does something while it is waited for."""

    def __init__(self, happens: list[object]) -> None:
        super().__init__()
        self.happens = happens

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert timeout > 0
        happens = self.happens.pop(0)
        if callable(happens):
            happens()
        return self.is_set()


def test_a_database_that_starts_late_is_waited_for_and_said_once(
    sqlite_url: str, lock: sqlite.Connection
) -> None:
    stop = Patience([None, None, lock.rollback])
    said: list[str] = []
    upgrade_when_up(sqlite_url, stop, said.append)
    assert len(said) == 1
    assert schema_of(sqlite_url) == "current"


def test_a_database_that_never_starts_is_given_up(sqlite_url: str, lock: sqlite.Connection) -> None:
    with pytest.raises(StoreBusy):
        upgrade_when_up(sqlite_url, threading.Event(), print, within_s=0)
    stop = Patience([None])
    stop.happens[0] = stop.set
    with pytest.raises(StoreBusy):
        upgrade_when_up(sqlite_url, stop, print)
    lock.rollback()


def test_what_no_waiting_helps_is_said_at_once() -> None:
    with pytest.raises(StoreUnusable):
        upgrade_when_up("sqlite:///:memory:", Patience([]), print)
