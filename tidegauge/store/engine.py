"""Open the database: SQLite pragmas, Postgres pool, one transaction per begin()."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects import sqlite as lite

__all__ = [
    "BadValue",
    "Connection",
    "Engine",
    "StoreBusy",
    "StoreUnusable",
    "attempt",
    "open_engine",
    "read",
    "version",
    "write",
]

SAFE_SQLITE = (3, 51, 3)  # before it, two connections that checkpoint at once corrupt the file
BUSY_TIMEOUT_S = 5.0

# Only of use before the first table. Later, auto_vacuum would wait for the writer and fail after
# five seconds: a reader could not even connect while one writes.
_NEW_FILE_PRAGMAS = (
    "page_size = 8192",
    "auto_vacuum = INCREMENTAL",  # else the file never shrinks
)
_SQLITE_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL loses acknowledged spans when the power fails
    "wal_autocheckpoint = 4000",
    "journal_size_limit = 67108864",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cache_size = -65536",
    "temp_store = MEMORY",
    "mmap_size = 0",  # turns an I/O error into SIGBUS
)

_POSTGRES_OPTIONS = (
    "-c statement_timeout=60s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
)


class StoreBusy(Exception):
    """The database cannot answer now (locked, gone, full); the same request may work later."""


class StoreUnusable(Exception):
    """This database cannot be used at all; the message says why and what to do."""


class BadValue(Exception):
    """The database refuses a value in these rows; they will never be accepted as they are."""


def open_engine(url: str, *, pool_size: int = 4) -> Engine:
    """Return an engine for ``sqlite:///PATH`` or ``postgresql://...``; the schema is not touched.

    Raises StoreUnusable where the file cannot be written or the library is not safe to use.
    """
    if url.startswith("sqlite:///"):
        return _open_sqlite(url, pool_size)
    if url.startswith(("postgresql://", "postgresql+psycopg://")):
        return _open_postgres(url, pool_size)
    raise StoreUnusable(
        f"database URL '{url.split('://')[0]}://...': use sqlite:///PATH or postgresql://..."
    )


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """Run one write transaction: committed at the end, rolled back on an error.

    Raises StoreBusy or BadValue in place of the driver's errors.
    """
    with _plain_errors(), engine.connect() as db, db.begin():
        yield db


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """Run one read transaction; keep it short, an open one keeps the SQLite log from shrinking."""
    with _plain_errors(), engine.connect() as db:
        db.execution_options(tidegauge_read=True)
        with db.begin():
            yield db


@contextmanager
def attempt(db: Connection) -> Iterator[None]:
    """Run a part of a write transaction that is undone on an error, the rest of it is not.

    Raises StoreBusy or BadValue in place of the driver's errors.
    """
    with _plain_errors(), db.begin_nested():
        yield


def version(engine: Engine) -> str:
    """Return the database's name and version, as "SQLite 3.53.4". Raises StoreBusy."""
    if engine.dialect.name == "sqlite":
        return f"SQLite {sqlite.sqlite_version}"
    with read(engine) as db:
        return f"PostgreSQL {db.exec_driver_sql('SHOW server_version').scalar_one()}"


def insert_into(db: Connection, table: sqlalchemy.Table) -> lite.Insert | pg.Insert:
    """Return an INSERT that can take ON CONFLICT on this connection's database."""
    return lite.insert(table) if db.dialect.name == "sqlite" else pg.insert(table)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (exc.DataError, exc.IntegrityError, OverflowError, UnicodeEncodeError) as error:
        raise BadValue(_first_line(error)) from error
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as error:
        raise StoreBusy(_first_line(error)) from error
    except exc.DatabaseError as error:
        if type(error) is not exc.DatabaseError:
            raise  # a fault of ours: no such table, a wrong statement
        # SQLite's "file is not a database" and "disk image is malformed": no waiting helps.
        raise StoreUnusable(
            f"the database file cannot be read ({_first_line(error)}); "
            "restore it from a backup, or choose another --database-url"
        ) from error


def _first_line(error: Exception) -> str:
    """Return the driver's own words. Never the statement or its parameters: they hold content."""
    return str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0][:200]


def _open_sqlite(url: str, pool_size: int) -> Engine:
    if sqlite.sqlite_version_info < SAFE_SQLITE:
        raise StoreUnusable(
            f"SQLite {sqlite.sqlite_version} can corrupt the file when two processes write; "
            "install the wheel pysqlite3 0.6.1 or newer"
        )
    path = Path(url.removeprefix("sqlite:///"))
    if path.name in ("", ":memory:") or "?" in path.name:
        raise StoreUnusable(
            "the database must be a file, as sqlite:///PATH: every process and every connection "
            "would see another database in memory"
        )
    _create_private(path)
    engine = create_engine(
        url,
        module=sqlite,
        pool_size=pool_size,
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
        # A statement's parameters hold prompts and outputs: they must not reach a log.
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _create_private(path: Path) -> None:
    """Create the file readable by its owner only; its log files take over these rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(13, "folder is not writable")
    except OSError as error:
        raise StoreUnusable(
            f"database file {path} cannot be written ({error.strerror}); "
            "check the path and its rights, or choose another --database-url"
        ) from error


def _set_pragmas(connection: sqlite.Connection, _record: object) -> None:
    cursor = connection.cursor()
    empty = cursor.execute("PRAGMA page_count").fetchone() == (0,)
    for pragma in (*(_NEW_FILE_PRAGMAS if empty else ()), *_SQLITE_PRAGMAS):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(db: Connection) -> None:
    # A deferred transaction that turns from reading to writing fails at once when another one
    # writes, whatever the timeout; so a writer says so from the start.
    read_only = db.get_execution_options().get("tidegauge_read", False)
    db.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _check_postgres(url: str) -> None:
    """Raise StoreUnusable for a URL that cannot be read. Its words stay out: one is the password."""
    try:
        sqlalchemy.make_url(url)
        conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    except (exc.ArgumentError, ValueError, psycopg.Error):
        raise StoreUnusable(
            "the PostgreSQL URL cannot be read; write it as "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME, special characters as %XX"
        ) from None


def _open_postgres(url: str, pool_size: int) -> Engine:
    _check_postgres(url)
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        pool_pre_ping=True,  # a connection that a restart has cut is replaced, not handed out
        pool_timeout=BUSY_TIMEOUT_S,
        connect_args={
            "connect_timeout": 3,
            # A server that went away without a word would hold a writer for minutes.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,  # ms
            "application_name": "tidegauge",
            "options": _POSTGRES_OPTIONS,
        },
        hide_parameters=True,
    )
