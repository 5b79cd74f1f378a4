"""Opening a database: safe pragmas, and one clear line where it cannot be used."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tidegauge.store import engine as engines
from tidegauge.store.engine import StoreBusy, StoreUnusable, open_engine, read, write
from tidegauge.store.migrate import upgrade


def test_sqlite_is_opened_so_that_an_acknowledged_span_survives_a_power_loss(
    sqlite_url: str,
) -> None:
    engine = open_engine(sqlite_url)
    with read(engine) as db:
        pragmas = {
            name: db.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "mmap_size", "auto_vacuum", "page_size")
        }
    engine.dispose()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "mmap_size": 0,
        "auto_vacuum": 2,
        "page_size": 8192,
    }


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.db"
    open_engine(f"sqlite:///{path}").dispose()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unsafe_sqlite_is_refused(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SAFE_SQLITE", (99, 0, 0))
    with pytest.raises(StoreUnusable, match="pysqlite3"):
        open_engine(sqlite_url)


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnusable, match="cannot be written"):
        open_engine(f"sqlite:///{tmp_path / 'file' / 't.db'}")


def test_an_unknown_kind_of_database_is_named_without_its_password() -> None:
    with pytest.raises(StoreUnusable) as caught:
        open_engine("mysql://me:secret@host/db")
    assert "sqlite:///PATH" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_locked_database_is_busy_not_broken(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.05)
    engine = open_engine(sqlite_url)
    with write(engine), pytest.raises(StoreBusy), write(engine):
        pass
    engine.dispose()


def test_a_postgres_that_is_not_there_is_busy() -> None:
    engine = open_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreBusy), read(engine):
        pass
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///", "sqlite:///t.db?mode=memory"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="must be a file"):
        open_engine(url)


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes\n" * 1000)
    with pytest.raises(StoreUnusable, match="not a database") as caught:
        upgrade(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)
    assert path.read_text().startswith("these are my notes")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host:port/db",
        "postgresql://me:secret@host/db?colour=blue",
        "postgresql://me:secret@[::1/db",
        "postgresql://me:secret@host/db?connect_timeout",
    ],
)
def test_a_postgres_url_that_cannot_be_read_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(StoreUnusable) as caught:
        upgrade(url)
    assert "postgresql://USER:PASSWORD@HOST:PORT/NAME" in str(caught.value)
    assert "sec" not in str(caught.value)
    assert "\n" not in str(caught.value)
