"""Bring a database to the newest schema; say whether it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from tidegauge.store.engine import Engine, StoreBusy, StoreUnusable, open_engine, read

WAIT_S = 60.0  # for a database that starts at the same time


def upgrade(url: str, revision: str = "head") -> None:
    """Run every pending migration against the database at ``url``.

    Raises StoreUnusable where the schema is newer than this code, StoreBusy where the database
    does not answer.
    """
    engine = open_engine(url, pool_size=1)
    try:
        found = state(engine)
        if found == "current" and revision == "head":
            return  # without a write transaction: another process may hold the lock for long
        if found == "newer":
            raise StoreUnusable(
                "the database's schema is newer than this Tidegauge; "
                "install the version that wrote it, or restore a backup"
            )
        _run(engine, "upgrade", revision)
    finally:
        engine.dispose()


def upgrade_when_up(
    url: str, stop: threading.Event, say: Callable[[str], None], *, within_s: float = WAIT_S
) -> None:
    """Run upgrade(); give a database that is still starting ``within_s`` seconds.

    ``say`` is told once why it waits.
    Raises StoreBusy where it does not answer by then, or where ``stop`` is set meanwhile.
    """
    give_up_at, pause, said = time.monotonic() + within_s, 0.5, False
    while True:
        try:
            return upgrade(url)
        except StoreBusy as error:
            left = give_up_at - time.monotonic()
            if left <= 0 or stop.is_set():
                raise
            if not said:
                say(str(error))
                said = True
        stop.wait(min(pause, left))
        pause = min(2 * pause, 5.0)


def downgrade(url: str, revision: str) -> None:
    """Take back every migration after ``revision`` ("base": all of them)."""
    engine = open_engine(url, pool_size=1)
    try:
        _run(engine, "downgrade", revision)
    finally:
        engine.dispose()


def state(engine: Engine) -> str:
    """Return "empty", "current", "older" or "newer": the schema beside this code's."""
    with read(engine) as db:
        there = MigrationContext.configure(db).get_current_revision()
    if there is None:
        return "empty"
    with _config() as config:
        script = ScriptDirectory.from_config(config)
        if there == script.get_current_head():
            return "current"
        return "older" if there in {step.revision for step in script.walk_revisions()} else "newer"


@contextmanager
def _config() -> Iterator[Config]:
    # Found through the package, so that a checkout and an installed wheel work alike.
    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        yield config


def _run(engine: Engine, verb: str, revision: str) -> None:
    with _config() as config:
        config.attributes["engine"] = engine
        try:
            getattr(command, verb)(config, revision)
        except CommandError as error:
            raise StoreUnusable(f"the schema cannot be migrated: {error}") from error
        except Exception as error:
            if type(error).__module__.startswith("sqlalchemy"):
                raise StoreBusy(
                    f"the schema cannot be migrated now: {type(error).__name__}"
                ) from error
            raise
