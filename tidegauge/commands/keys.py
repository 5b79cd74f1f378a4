"""``tidegauge keys``: make, show, replace, limit and revoke the API keys of apps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from tidegauge.commands.options import DatabaseUrl, Format, duration, settings
from tidegauge.commands.tables import plain

if TYPE_CHECKING:  # SQLAlchemy must not load for ``tidegauge --help``
    from tidegauge.settings import Settings
    from tidegauge.store.engine import Connection, Engine
    from tidegauge.store.keys import Key, Limit

_ACTS = "Collectors know of it within 5 seconds."
_NAMES = ("name", "project")
_MOST_PER_S = 10**12  # far above any machine, far below what the database's column holds

app = typer.Typer(
    no_args_is_help=True, help="API keys: who may send spans, to which project, and how much."
)


class KeyScope(StrEnum):
    """The words of tidegauge.store.keys.Scope."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


KeyId = Annotated[str, typer.Argument(help="As `tidegauge keys list` shows it.", metavar="KEY_ID")]
JsonOr = Annotated[Format, typer.Option("--format", help="jsonl: one object a line.")]
Lasts = Annotated[
    str | None,
    typer.Option("--expires-in", help="How long it is valid: 12h, 90d, 52w.", show_default=False),
]
SpansPerS = Annotated[
    int | None,
    typer.Option(
        "--spans-per-s",
        min=0,
        max=_MOST_PER_S,
        help="Spans a second; 0: no limit.",
        show_default=False,
    ),
]
BytesPerS = Annotated[
    int | None,
    typer.Option(
        "--bytes-per-s",
        min=0,
        max=_MOST_PER_S,
        help="Bytes of bodies a second; 0: no limit.",
        show_default=False,
    ),
]


@app.command(epilog="Example: tidegauge keys create --name checkout-bot --expires-in 90d")
def create(
    name: Annotated[str, typer.Option(help="Whose key it is, for people.")],
    project: Annotated[
        str | None, typer.Option(help="Where its spans go (default).", show_default=False)
    ] = None,
    scope: Annotated[
        KeyScope, typer.Option(help="What it is for; none includes another.")
    ] = KeyScope.INGEST,
    expires_in: Lasts = None,
    spans_per_s: SpansPerS = None,
    bytes_per_s: BytesPerS = None,
    output: JsonOr = Format.TABLE,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and print it. It is shown this once: the database keeps only its hash."""
    from tidegauge import clock
    from tidegauge.store import keys

    if project == "":
        raise typer.BadParameter("a project has a name", param_hint="--project")
    chosen = settings(database_url=database_url, project=project)
    key, token = keys.new(
        chosen.project,
        name,
        keys.Scope(scope),
        clock.now(),
        lasts=None if expires_in is None else duration(expires_in),
        limit=keys.Limit(spans_per_s or None, bytes_per_s or None),
    )
    with _changing(chosen) as db:
        keys.add(db, key)
    if output is Format.JSONL:
        _write({**record(key, key.created_at), "key": token})
        return
    _say_new(key, token)
    watched = settings().project
    if key.project != watched:
        typer.echo(
            f"The dashboard shows project '{watched}'; one that is started with "
            f"TIDEGAUGE_PROJECT='{key.project}' shows these spans."
        )


@app.command("list", epilog="Example: tidegauge keys list --project shop --format jsonl")
def list_(
    project: Annotated[str | None, typer.Option(help="Only keys of this project.")] = None,
    all_keys: Annotated[
        bool, typer.Option("--all", help="Also those that are revoked or expired.")
    ] = False,
    output: JsonOr = Format.TABLE,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the keys, the oldest first; never their secrets."""
    from tidegauge import clock
    from tidegauge.commands.tables import console
    from tidegauge.store import keys
    from tidegauge.store.engine import read

    now = clock.now()
    with _store(settings(database_url=database_url)) as engine, read(engine) as db:
        found = keys.every(db, project)
    shown = [key for key in found if all_keys or key.state(now) == "live"]
    if output is Format.JSONL:
        for key in shown:
            _write(record(key, now))
    else:
        print_table(shown, now, console())


@app.command(epilog="Example: tidegauge keys revoke 2hQ8vXk0TzR")
def revoke(key_id: KeyId, database_url: DatabaseUrl = None) -> None:
    """End a key for good, on every collector within 5 seconds."""
    from tidegauge import clock
    from tidegauge.store import keys

    with _changing(settings(database_url=database_url)) as db:
        key = keys.revoke(db, keys.id_in(key_id), clock.now())
    typer.echo(
        f"Key {key.key_id} ('{key.name}', project '{key.project}') is revoked. {_ACTS}\n"
        "What apps still send with it is refused, and they drop it."
    )


@app.command(epilog="Example: tidegauge keys rotate 2hQ8vXk0TzR --grace 2d")
def rotate(
    key_id: KeyId,
    grace: Annotated[
        str, typer.Option(help="How long the old key stays valid beside the new one.")
    ] = "7d",
    expires_in: Lasts = None,
    output: JsonOr = Format.TABLE,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key that replaces another; both are valid until the grace period is over.

    The new key lasts as long as the old one was made for, unless --expires-in says otherwise.
    """
    from tidegauge import clock
    from tidegauge.store import keys

    lasts = None if expires_in is None else duration(expires_in)
    with _changing(settings(database_url=database_url)) as db:
        old, key, token = keys.rotate(
            db, keys.id_in(key_id), clock.now(), grace=duration(grace), lasts=lasts
        )
    if output is Format.JSONL:
        _write({**record(key, key.created_at), "key": token, "replaces": old.key_id})
        return
    _say_new(key, token)
    typer.echo(f"The old key {old.key_id} is valid until {_time(old.expires_at)} UTC.")


@app.command(epilog="Example: tidegauge keys limit 2hQ8vXk0TzR --spans-per-s 500")
def limit(
    key_id: KeyId,
    spans_per_s: SpansPerS = None,
    bytes_per_s: BytesPerS = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change how much a key may send to each collector; what is over it is put off, not lost.

    What is not named stays as it is. Ten seconds' worth may come at once, and a key that sent
    more is put off for ten seconds at most.
    """
    from tidegauge.store import keys

    if spans_per_s is None and bytes_per_s is None:
        raise typer.BadParameter("say --spans-per-s or --bytes-per-s; 0 lifts a limit")
    with _changing(settings(database_url=database_url)) as db:
        before = keys.find(db, keys.id_in(key_id))
        after = keys.Limit(
            before.limit.spans_per_s if spans_per_s is None else spans_per_s or None,
            before.limit.bytes_per_s if bytes_per_s is None else bytes_per_s or None,
        )
        key = keys.set_limit(db, before.key_id, after)
    typer.echo(f"Key {key.key_id} ('{key.name}'): {_limit(key.limit)}. {_ACTS}")


@contextmanager
def _store(chosen: Settings) -> Iterator[Engine]:
    from tidegauge.store import migrate
    from tidegauge.store.engine import open_engine

    migrate.upgrade(chosen.database_url)
    engine = open_engine(chosen.database_url, pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _changing(chosen: Settings) -> Iterator[Connection]:
    from tidegauge.store.engine import write

    with _store(chosen) as engine, write(engine) as db:
        yield db


def _say_new(key: Key, token: str) -> None:
    """Print a key once, as the line that its app needs. Not through Rich: it would fold it."""
    ends = "does not expire" if key.expires_at is None else f"expires {_time(key.expires_at)} UTC"
    typer.echo(f"Key {key.key_id} ('{key.name}', project '{key.project}', {key.scope}) {ends}.")
    typer.echo("Keep it: it is not shown again.\n")
    header = f"x-tidegauge-key={token}"
    sends = str(key.scope) == KeyScope.INGEST
    typer.echo(f"  export OTEL_EXPORTER_OTLP_HEADERS={header}\n" if sends else f"  {header}\n")
    typer.echo(_ACTS)


def record(key: Key, now: datetime) -> Mapping[str, Any]:
    """Return what is known of ``key``."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "project": key.project,
        "scope": key.scope,
        "state": key.state(now),
        "created_at": key.created_at.replace(microsecond=0),
        "expires_at": key.expires_at and key.expires_at.replace(microsecond=0),
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "spans_per_s": key.limit.spans_per_s,
        "bytes_per_s": key.limit.bytes_per_s,
    }


def print_table(found: Sequence[Key], now: datetime, console: Console) -> None:
    """Print one line per key."""
    table = plain(
        "key", "name", "project", "scope", "state", "expires (UTC)", "last used (UTC)", "limit",
        names=_NAMES,
    )  # fmt: skip
    for key in found:
        cells = (
            key.key_id,
            key.name,
            key.project,
            key.scope,
            key.state(now),
            "never" if key.expires_at is None else _time(key.expires_at),
            "never" if key.last_used_at is None else _time(key.last_used_at),
            _limit(key.limit),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table if found else "No keys. `tidegauge keys create --name APP` makes one.")


def _limit(limit: Limit) -> str:
    parts = ((limit.spans_per_s, "spans/s"), (limit.bytes_per_s, "bytes/s"))
    return ", ".join(f"{most:,} {unit}" for most, unit in parts if most) or "no limit"


def _time(at: datetime | None) -> str:
    return "-" if at is None else at.strftime("%Y-%m-%d %H:%M")


def _write(one: Mapping[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(one, option=orjson.OPT_UTC_Z).decode() + "\n")
    sys.stdout.flush()
