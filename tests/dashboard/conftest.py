"""A dashboard with something to show: two weeks of three services, one alert, items to review."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import connect
from tests.dashboard import world
from tidegauge import clock
from tidegauge.settings import Settings
from tidegauge.store.engine import Engine, open_engine
from tidegauge.store.migrate import upgrade

Show = Callable[..., AppTest]


@pytest.fixture(scope="session")
def world_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file that holds the world; built once, copied by each test."""
    path = tmp_path_factory.mktemp("world") / "tidegauge.db"
    url = f"sqlite:///{path}"
    upgrade(url)
    engine = open_engine(url)
    world.build(engine, clock.now())
    with engine.connect() as db:
        db.exec_driver_sql("ROLLBACK")  # a checkpoint cannot run inside a transaction
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path


@pytest.fixture
def world_url(world_file: Path, tmp_path: Path) -> str:
    """Return the URL of this test's own copy of the world."""
    path = tmp_path / "world.db"
    path.write_bytes(world_file.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def store(world_url: str) -> Iterator[Engine]:
    """Return the engine of this test's world."""
    engine = open_engine(world_url)
    yield engine
    engine.dispose()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that points the dashboard at a database."""

    def point(url: str) -> None:
        monkeypatch.setattr(connect, "_given", [Settings(database_url=url, reviewer="ana")])

    yield point
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def show(use: Callable[[str], None], world_url: str) -> Show:
    """Return a function that runs one page over the world."""

    def run(page: str, url: str = world_url, **query: str) -> AppTest:
        use(url)
        script = f"from dashboard.frame import main\n\nmain({page!r})"
        test = AppTest.from_string(script, default_timeout=30)
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    return run


@pytest.fixture
def empty(sqlite_url: str) -> str:
    """Return the URL of a migrated database without a single span."""
    upgrade(sqlite_url)
    return sqlite_url


@pytest.fixture
def moment() -> datetime:
    """Return the present: the pages look at the last hours, so the world ends now."""
    return clock.now()
