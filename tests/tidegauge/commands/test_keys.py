"""``tidegauge keys`` as a person and as a program use it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from tidegauge.cli import app
from tidegauge.store import keys
from tidegauge.store.engine import Engine, read, write

TOKEN = re.compile(r"tg_[0-9A-Za-z]{11}_[0-9A-Za-z]{43}")


class Desk:
    """The command line over one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, *words: str) -> Result:
        env = {"COLUMNS": "200", "TIDEGAUGE_DATABASE_URL": self._url}
        return CliRunner().invoke(app, ["keys", *words], env=env)

    def said(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 2
        assert not isinstance(result.exception, ValueError)
        return result.output

    def rows(self, *words: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.said(*words, "--format", "jsonl").splitlines()]

    def made(self, name: str = "bot", *more: str) -> str:
        (row,) = self.rows("create", "--name", name, *more)
        return str(row["key_id"])


@pytest.fixture
def desk(url: str) -> Desk:
    """Return the command line over an empty database of each kind."""
    return Desk(url)


@pytest.fixture
def lite(sqlite_url: str) -> Desk:
    """Return the command line over an empty database, for what does not depend on its kind."""
    return Desk(sqlite_url)


def test_a_key_is_shown_once_and_nowhere_else(desk: Desk) -> None:
    said = desk.said("create", "--name", "checkout-bot", "--project", "shop")
    (token,) = TOKEN.findall(said)
    assert f"  export OTEL_EXPORTER_OTLP_HEADERS=x-tidegauge-key={token}\n" in said
    assert "TIDEGAUGE_PROJECT='shop'" in said

    later = desk.said("list") + desk.said("list", "--format", "jsonl")
    later += desk.said("limit", token[3:14], "--spans-per-s", "5") + desk.said("revoke", token)
    assert token[3:14] in later
    assert token[15:] not in later


def test_a_program_reads_the_key_from_one_line(desk: Desk) -> None:
    wish = ("--expires-in", "90d", "--spans-per-s", "50", "--bytes-per-s", "1000000")
    (made,) = desk.rows("create", "--name", "bot", *wish)
    assert TOKEN.fullmatch(made.pop("key"))
    assert (made["project"], made["scope"], made["state"]) == ("default", "ingest", "live")
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lasts == timedelta(days=90)
    assert desk.rows("list") == [made]


def test_the_table_shows_whose_each_key_is_and_what_it_may(lite: Desk) -> None:
    assert "No keys. `tidegauge keys create --name APP` makes one." in lite.said("list")
    lite.made("[bold]bot", "--spans-per-s", "1500", "--scope", "ingest")
    lite.made("board", "--scope", "read", "--expires-in", "1w")
    table = lite.said("list")
    assert "[bold]bot" in table
    assert "1,500 spans/s" in table
    assert re.search(r"board +default +read +live +\d{4}-\d\d-\d\d \d\d:\d\d +never", table)


def test_keys_that_have_ended_are_listed_on_request(lite: Desk) -> None:
    ended, kept = lite.made("old"), lite.made("new")
    lite.said("revoke", ended)
    assert [row["key_id"] for row in lite.rows("list")] == [kept]
    states = {row["key_id"]: row["state"] for row in lite.rows("list", "--all")}
    assert states == {ended: "revoked", kept: "live"}
    assert lite.rows("list", "--project", "shop") == []


def test_a_rotation_gives_a_second_key_and_an_end_to_the_first(desk: Desk) -> None:
    old = desk.made("bot", "--project", "shop")
    (new,) = desk.rows("rotate", old, "--grace", "2d")
    assert TOKEN.fullmatch(new["key"])
    assert (new["replaces"], new["project"], new["name"]) == (old, "shop", "bot")
    first, second = desk.rows("list")
    assert {first["key_id"], second["key_id"]} == {old, new["key_id"]}
    ends = {row["key_id"]: row["expires_at"] for row in (first, second)}
    assert ends[new["key_id"]] is None
    assert ends[old] is not None
    assert "keys revoke" in desk.refused("rotate", old)


def test_a_rotation_says_until_when_the_old_key_is_valid(lite: Desk) -> None:
    said = lite.said("rotate", lite.made(), "--expires-in", "30d")
    assert len(TOKEN.findall(said)) == 1
    assert re.search(r"The old key \w{11} is valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", said)


def test_limits_are_changed_one_by_one_and_lifted(desk: Desk) -> None:
    key_id = desk.made("bot", "--spans-per-s", "5")
    assert "5 spans/s, 9,000 bytes/s" in desk.said("limit", key_id, "--bytes-per-s", "9000")
    assert ": 9,000 bytes/s." in desk.said("limit", key_id, "--spans-per-s", "0")
    assert "no limit" in desk.said("limit", key_id, "--bytes-per-s", "0")
    assert "--spans-per-s" in desk.refused("limit", key_id)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "--name", "bot"), "keys rotate"),
        (("create", "--name", "\n"), "printable"),
        (("create", "--name", "x", "--expires-in", "soon"), "90d"),
        (("create", "--name", "x", "--expires-in", "0d"), "90d"),
        (("create", "--name", "x", "--expires-in", "99999999999w"), "90d"),
        (("create", "--name", "x", "--scope", "root"), "ingest"),
        (("create", "--name", "x", "--spans-per-s", "-1"), "spans-per-s"),
        (("create", "--name", "x", "--spans-per-s", "9" * 20), "spans-per-s"),
        (("create", "--name", "x", "--bytes-per-s", "9" * 20), "bytes-per-s"),
        (("create", "--name", "x", "--project", ""), "--project"),
        (("revoke", "0123456789a"), "no key 0123456789a"),
        (("revoke", "mine"), "keys list"),
        (("rotate", "0123456789a"), "no key 0123456789a"),
        (("limit", "0123456789a", "--spans-per-s", "5"), "no key 0123456789a"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(lite: Desk, words: list[str], told: str) -> None:
    lite.made()
    assert told in lite.refused(*words)


def test_a_key_that_is_mistyped_is_not_repeated(lite: Desk) -> None:
    secret = "Q" * 43
    assert secret not in lite.refused("revoke", f"tg_short_{secret}")


def test_what_is_listed_is_what_the_database_holds(
    sqlite_engine: Engine, lite: Desk, now: datetime
) -> None:
    key, _ = keys.new("shop", "bot", keys.Scope.ADMIN, now.replace(microsecond=0))
    with write(sqlite_engine) as db:
        keys.add(db, key)
        keys.note_use(db, {key.key_id: now})
        keys.revoke(db, key.key_id, now)
    assert lite.rows("list", "--all") == [
        {
            "key_id": key.key_id,
            "name": "bot",
            "project": "shop",
            "scope": "admin",
            "state": "revoked",
            "created_at": "2026-01-15T12:00:30Z",
            "expires_at": None,
            "revoked_at": "2026-01-15T12:00:30Z",
            "last_used_at": "2026-01-15T12:00:30Z",
            "spans_per_s": None,
            "bytes_per_s": None,
        }
    ]
    with read(sqlite_engine) as db:
        assert keys.valid(db, now) == []


@pytest.mark.parametrize("verb", ["create", "list", "revoke", "rotate", "limit"])
def test_each_verb_has_an_example(lite: Desk, verb: str) -> None:
    assert f"Example: tidegauge keys {verb}" in lite.said(verb, "--help")
