"""Open the database: SQLite pragmas, Postgres pool, one transaction per begin()."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects import sqlite as lite
from sqlalchemy.engine import ExceptionContext

__all__ = [
    "BadValue",
    "Connection",
    "Engine",
    "StoreBusy",
    "StoreUnusable",
    "attempt",
    "doubts",
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

# The log cannot start again from its beginning while somebody reads it. Readers that follow each
# other without a gap would let it grow for ever; from this size on writers wait for them a moment.
LOG_BYTES = 64 * 2**20
LOG_WAIT_S = 0.3
LOG_AGAIN_S = 3.0  # after a reader that did not end in time
_STEPS = 100_000  # of SQLite's machine, between two looks at how long a read takes: some ms

PATIENCE_S = 60.0
_GRACE_S = 3.0  # the server gives up first, and says why

# What comes from the driver itself, where store/bulk.py speaks to it past SQLAlchemy.
_BAD_VALUE = (psycopg.DataError, psycopg.IntegrityError, OverflowError, UnicodeEncodeError)
_BUSY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    exc.TimeoutError,
)


class StoreBusy(Exception):
    """The database cannot answer now (locked, gone, full); the same request may work later."""


class StoreUnusable(Exception):
    """This database cannot be used at all; the message says why and what to do."""


class BadValue(Exception):
    """The database refuses a value in these rows; they will never be accepted as they are."""


def open_engine(url: str, *, pool_size: int = 4, patience_s: float = PATIENCE_S) -> Engine:
    """Return an engine for ``sqlite:///PATH`` or ``postgresql://...``; the schema is not touched.

    A statement that takes longer than ``patience_s`` is given up with StoreBusy: on SQLite reads
    only, on PostgreSQL also where the server has gone without a word (3 s later).
    Several PostgreSQL hosts may be named as libpq takes them: ``postgresql://a:5432,b:5432/name``.
    Raises StoreUnusable where the file cannot be written or the library is not safe to use.
    """
    if url.startswith("sqlite:///"):
        return _open_sqlite(url, pool_size, patience_s)
    if url.startswith(("postgresql://", "postgresql+psycopg://")):
        return _open_postgres(url, pool_size, patience_s)
    raise StoreUnusable(
        f"database URL '{url.split('://')[0]}://...': use sqlite:///PATH or postgresql://..."
    )


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """Run one write transaction: committed at the end, rolled back on an error.

    Raises StoreBusy or BadValue in place of the driver's errors.
    """
    with _plain_errors(), engine.connect() as db:
        try:
            with db.begin():
                yield db
        except psycopg.errors.ReadOnlySqlTransaction:  # from the driver itself, see below
            db.invalidate()
            raise
    if engine.dialect.name == "sqlite":
        _bound_log(engine)


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


def doubts(engine: Engine) -> list[str]:
    """Return why an acknowledged span may not survive a crash of the server; empty if it does.

    Raises StoreBusy.
    """
    if engine.dialect.name == "sqlite":
        return []
    with read(engine) as db:
        off = [
            name
            for name in ("fsync", "full_page_writes")
            if db.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"
        ]
    return [f"PostgreSQL runs with {name} = off: switch it on" for name in off]


def insert_into(db: Connection, table: sqlalchemy.Table) -> lite.Insert | pg.Insert:
    """Return an INSERT that can take ON CONFLICT on this connection's database."""
    return lite.insert(table) if db.dialect.name == "sqlite" else pg.insert(table)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (exc.DataError, exc.IntegrityError, *_BAD_VALUE) as error:
        raise BadValue(_first_line(error)) from error
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError, *_BUSY) as error:
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
    cause = error if isinstance(error, psycopg.OperationalError) else getattr(error, "orig", None)
    words = str(cause or type(error).__name__).splitlines()[0][:200]
    # In the same words for both, whatever they call it: this is the fault that a person must mend.
    full = isinstance(cause, psycopg.errors.DiskFull) or words == "database or disk is full"
    return f"disk full: {words}" if full else words


def _open_sqlite(url: str, pool_size: int, patience_s: float) -> Engine:
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
    event.listen(engine, "connect", _limit_reads)
    event.listen(engine, "begin", _begin)
    engine.update_execution_options(tidegauge_patience_s=patience_s)
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


def _limit_reads(connection: sqlite.Connection, record: Any) -> None:
    """End a statement that reads for too long: the log grows meanwhile, without a bound."""

    def is_late() -> bool:
        return time.monotonic() > float(record.info.get("until", "inf"))

    connection.set_progress_handler(is_late, _STEPS)


def _begin(db: Connection) -> None:
    # A deferred transaction that turns from reading to writing fails at once when another one
    # writes, whatever the timeout; so a writer says so from the start.
    options = db.get_execution_options()
    read_only = options.get("tidegauge_read", False)
    patience_s = options["tidegauge_patience_s"] if read_only else float("inf")
    db.info["until"] = time.monotonic() + patience_s
    db.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _bound_log(engine: Engine) -> None:
    """Empty a log that has grown too large, unless a reader stays in it."""
    log = f"{engine.url.database}-wal"
    try:
        if os.stat(log).st_size < LOG_BYTES:
            return
    except OSError:
        return  # the last connection has taken it away
    state = engine.get_execution_options()
    if time.monotonic() < state.get("tidegauge_log_again", 0.0):
        return
    with suppress(exc.DBAPIError), closing(engine.raw_connection()) as db:
        cursor = db.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(LOG_WAIT_S * 1000)}")
        (stayed, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        cursor.close()
        if stayed:
            again = time.monotonic() + LOG_AGAIN_S
            engine.update_execution_options(tidegauge_log_again=again)


def _read_url(url: str) -> dict[str, Any]:
    """Return what libpq reads in a URL. Raises StoreUnusable without its words: one is secret."""
    try:
        told = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
        for port in str(told.get("port", "")).split(","):
            int(port or 0)
    except (ValueError, psycopg.Error):
        raise StoreUnusable(
            "the PostgreSQL URL cannot be read; write it as "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME, special characters as %XX"
        ) from None
    return dict(told)


class _Impatient(psycopg.Connection[Any]):
    """A connection that is cut when the server says nothing for too long.

    The kernel notices a host that has gone, but not one that still acknowledges packets: a server
    that is stopped, or a proxy before one that is gone. A writer would wait for ever.
    """

    silence_s = PATIENCE_S + _GRACE_S

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        until = time.monotonic() + self.silence_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # ten times a second, also when nothing came
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()  # else the rollback would wait as long again
                    raise psycopg.OperationalError(f"no answer within {self.silence_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


def _open_postgres(url: str, pool_size: int, patience_s: float) -> Engine:
    told = _read_url(url)
    options = (
        f"-c statement_timeout={int(patience_s * 1000)} -c lock_timeout=5s "
        f"-c idle_in_transaction_session_timeout=60s {told.pop('options', '')}"
    )
    lively = {
        "connect_timeout": 3,  # for each host
        # A server that went away without a word would hold a writer for minutes.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # ms
        "application_name": "tidegauge",
    }
    engine = create_engine(
        "postgresql+psycopg://",  # libpq reads the URL: SQLAlchemy knows no list of hosts
        pool_size=pool_size,
        pool_pre_ping=True,  # a connection that a restart has cut is replaced, not handed out
        pool_timeout=BUSY_TIMEOUT_S,
        connect_args={**lively, **told, "options": options.strip()},
        hide_parameters=True,
    )

    def connect(_dialect: object, _record: object, _: object, given: dict[str, Any]) -> _Impatient:
        connection = _Impatient.connect(**given)
        connection.silence_s = patience_s + _GRACE_S
        return connection

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", _wait_for_the_disk)
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def _wait_for_the_disk(connection: psycopg.Connection[Any], _record: object) -> None:
    """Switch synchronous_commit on where the server's default is off: it would lose commits."""
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


def _leave_a_standby(context: ExceptionContext) -> None:
    """Drop the connection to a primary that became a standby: it works, and refuses every write."""
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True
