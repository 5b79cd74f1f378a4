"""Many rows at once, past SQLAlchemy's compiler: it costs more than both databases do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from tidegauge.store.engine import Connection, StoreBusy

Values = tuple[Any, ...]

_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert_new(db: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> int:
    """Insert rows whose key is not there yet, and return how many those were.

    ``columns`` name the values of each row; they are of the driver's own types.
    """
    if db.dialect.name == "sqlite":
        return _insert_sqlite(db, table, columns, rows)
    return _copy_postgres(db, table, columns, rows)


def _insert_sqlite(
    db: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values]
) -> int:
    marks = ",".join("?" * len(columns))
    statement = (
        f"INSERT INTO {table.name} ({','.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
    )
    return db.exec_driver_sql(statement, list(rows)).rowcount


def _copy_postgres(
    db: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values]
) -> int:
    """Copy into a table of this connection, then insert from there: COPY knows no ON CONFLICT."""
    names, stage = ",".join(columns), f"incoming_{table.name}"
    driver: psycopg.Connection = db.connection.driver_connection  # type: ignore[assignment]
    types = [_type_name(table, name) for name in columns]
    with driver.cursor() as cursor:
        try:
            cursor.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS {stage} (LIKE {table.name}) ON COMMIT DELETE ROWS"
            )
        except psycopg.errors.InsufficientPrivilege:
            raise StoreBusy(
                "the role may not create temporary tables: GRANT TEMP ON DATABASE ... TO it"
            ) from None
        with cursor.copy(f"COPY {stage} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {stage} "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        )
        inserted = cursor.rowcount
        # The same transaction may copy again, where a group is stored in halves.
        cursor.execute(f"TRUNCATE {stage}")
    return inserted


def _type_name(table: Table, column: str) -> str:
    compiled = table.c[column].type.compile(dialect=_POSTGRES)
    return {"DOUBLE PRECISION": "float8", "FLOAT": "float8"}.get(compiled, compiled.lower())
