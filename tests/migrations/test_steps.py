"""The migrations: linear, complete, and each step can be taken back."""

from __future__ import annotations

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tidegauge.store import migrate
from tidegauge.store.engine import Engine, StoreUnusable, open_engine, write
from tidegauge.store.schema import metadata


def _steps() -> list[str]:
    with migrate._config() as config:
        walk = ScriptDirectory.from_config(config).walk_revisions()
        return [step.revision for step in walk][::-1]


def test_history_is_linear() -> None:
    with migrate._config() as config:
        assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_the_migrations_build_the_declared_tables(engine: Engine) -> None:
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_each_step_goes_up_down_and_up_again(url: str) -> None:
    for step in _steps():
        migrate.upgrade(url, step)
        migrate.downgrade(url, "-1")
        migrate.upgrade(url, step)
    migrate.downgrade(url, "base")
    engine = open_engine(url)
    left = set(sqlalchemy.inspect(engine).get_table_names()) - {"alembic_version"}
    assert migrate.state(engine) == "empty"
    engine.dispose()
    assert left == set()


def test_a_schema_newer_than_the_code_is_refused(engine: Engine, url: str) -> None:
    with write(engine) as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = 'from_the_future'")
    assert migrate.state(engine) == "newer"
    with pytest.raises(StoreUnusable, match="newer than this Tidegauge"):
        migrate.upgrade(url)
