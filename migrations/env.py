"""How Alembic reaches the database."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, text

from tidegauge.settings import Settings
from tidegauge.store.engine import open_engine
from tidegauge.store.schema import metadata

_LOCK = 0x71D36A06E  # any number, the same for everybody who migrates


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,  # SQLite cannot alter a column in place
        compare_type=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Three processes start at once and each migrates: the others wait here.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        context.run_migrations()


def _run() -> None:
    engine: Engine | None = context.config.attributes.get("engine")
    own = engine is None
    engine = engine or open_engine(Settings().database_url, pool_size=1)
    with engine.connect() as connection:
        _migrate(connection)
        connection.commit()
    if own:
        engine.dispose()


if context.is_offline_mode():
    raise SystemExit("offline migrations are not supported: point TIDEGAUGE_DATABASE_URL at it")
_run()
