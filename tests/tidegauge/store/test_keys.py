"""API keys in the database: made, found, replaced, revoked; never with their secret."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidegauge.store import keys
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.keys import Key, KeyRefused, Limit, Scope

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def now(now: datetime) -> datetime:
    """Return a whole second: no table keeps less."""
    return now.replace(microsecond=0)


def made(engine: Engine, now: datetime, name: str = "bot", project: str = "shop") -> Key:
    key, _ = keys.new(project, name, Scope.INGEST, now)
    with write(engine) as db:
        keys.add(db, key)
    return key


def test_a_key_is_kept_as_it_was_made(engine: Engine, now: datetime) -> None:
    key, _ = keys.new("shop", "bot", Scope.READ, now, lasts=DAY, limit=Limit(50, 2**40))
    with write(engine) as db:
        keys.add(db, key)
        assert keys.find(db, key.key_id) == key
        assert keys.every(db) == keys.every(db, "shop") == keys.valid(db, now) == [key]
        assert keys.every(db, "other") == []


def test_what_the_owner_sends_leads_to_the_key_and_its_hash(now: datetime) -> None:
    key, token = keys.new("shop", "bot", Scope.INGEST, now)
    parts = keys.split(token)
    assert parts is not None
    assert parts[0] == key.key_id
    assert keys.hash_of(parts[1]) == key.secret_hash
    assert parts[1] not in repr(key)


def test_two_keys_have_nothing_in_common(now: datetime) -> None:
    tokens = {keys.new("shop", "bot", Scope.INGEST, now)[1] for _ in range(100)}
    assert len({token[:14] for token in tokens}) == len({token[15:] for token in tokens}) == 100


@pytest.mark.parametrize(
    "text", ["", "tg_", "tg_a_b", "x" * 58, "TG_" + "a" * 11 + "_" + "b" * 43, "tg_ä", "\x00"]
)
def test_what_is_no_key_has_no_parts(text: str) -> None:
    assert keys.split(text) is None


@pytest.mark.parametrize("more", ["\n", "a", " "])
def test_a_key_with_something_behind_it_is_none(now: datetime, more: str) -> None:
    assert keys.split(keys.new("shop", "bot", Scope.INGEST, now)[1] + more) is None


@given(some.binary(min_size=32, max_size=32))
def test_base_62_loses_nothing(secret: bytes) -> None:
    number = 0
    for digit in keys.base62(secret, 43):
        number = number * 62 + keys._DIGITS.index(digit)
    assert number.to_bytes(32) == secret


def test_a_name_that_is_taken_is_refused_until_its_key_has_ended(
    engine: Engine, now: datetime
) -> None:
    first = made(engine, now)
    made(engine, now, project="other")
    with pytest.raises(KeyRefused, match="keys rotate"):
        made(engine, now)
    with write(engine) as db:
        keys.revoke(db, first.key_id, now)
    made(engine, now)


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "n" * 101])
def test_a_name_that_would_break_a_table_is_refused(
    sqlite_engine: Engine, now: datetime, name: str
) -> None:
    with pytest.raises(KeyRefused, match="printable"):
        made(sqlite_engine, now, name)


def test_in_rotation_both_keys_are_live_until_the_grace_is_over(
    engine: Engine, now: datetime
) -> None:
    old = made(engine, now)
    later = now + DAY
    with write(engine) as db:
        told, new, token = keys.rotate(db, old.key_id, later, grace=DAY)
        assert keys.find(db, old.key_id) == told
        assert keys.find(db, new.key_id) == new
    assert token.startswith(f"tg_{new.key_id}_")
    assert (new.project, new.name, new.scope, new.limit) == ("shop", "bot", "ingest", old.limit)
    assert new.secret_hash != old.secret_hash
    assert [told.state(later), new.state(later)] == ["live", "live"]
    assert [told.state(later + DAY), new.state(later + DAY)] == ["expired", "live"]


def test_at_most_two_keys_of_a_name_are_live(engine: Engine, now: datetime) -> None:
    old = made(engine, now)
    with write(engine) as db:
        _, new, _ = keys.rotate(db, old.key_id, now, grace=DAY)
    with write(engine) as db, pytest.raises(KeyRefused, match="keys revoke"):
        keys.rotate(db, new.key_id, now, grace=DAY)
    with write(engine) as db:
        keys.revoke(db, old.key_id, now)
        keys.rotate(db, new.key_id, now, grace=DAY)


def test_a_new_key_lasts_as_long_as_the_old_one_was_made_for(
    sqlite_engine: Engine, now: datetime
) -> None:
    old, _ = keys.new("shop", "bot", Scope.INGEST, now, lasts=10 * DAY)
    later = now + 8 * DAY
    with write(sqlite_engine) as db:
        keys.add(db, old)
        told, new, _ = keys.rotate(db, old.key_id, later, grace=7 * DAY)
    assert told.expires_at == now + 10 * DAY  # a rotation prolongs nothing
    assert new.expires_at == later + 10 * DAY


def test_a_key_that_has_ended_cannot_be_replaced(sqlite_engine: Engine, now: datetime) -> None:
    key = made(sqlite_engine, now)
    with write(sqlite_engine) as db:
        keys.revoke(db, key.key_id, now)
        with pytest.raises(KeyRefused, match="is revoked"):
            keys.rotate(db, key.key_id, now, grace=DAY)


def test_a_key_that_is_revoked_twice_was_revoked_the_first_time(
    engine: Engine, now: datetime
) -> None:
    key = made(engine, now)
    with write(engine) as db:
        keys.revoke(db, key.key_id, now)
        assert keys.revoke(db, key.key_id, now + DAY).revoked_at == now
        assert keys.valid(db, now) == []
        assert keys.every(db)[0].state(now) == "revoked"


def test_a_key_that_expired_long_ago_is_forgotten_by_collectors(
    sqlite_engine: Engine, now: datetime
) -> None:
    key, _ = keys.new("shop", "bot", Scope.INGEST, now, lasts=DAY)
    with write(sqlite_engine) as db:
        keys.add(db, key)
        assert keys.valid(db, now + 30 * DAY) == [key]
        assert keys.valid(db, now + 32 * DAY) == []


def test_a_key_that_is_not_there_is_said(sqlite_engine: Engine, now: datetime) -> None:
    with write(sqlite_engine) as db:
        with pytest.raises(KeyRefused, match="keys list"):
            keys.revoke(db, "0123456789a", now)
        with pytest.raises(KeyRefused, match="keys list"):
            keys.set_limit(db, "0123456789a", Limit(5))


def test_a_limit_is_changed_and_lifted(engine: Engine, now: datetime) -> None:
    key = made(engine, now)
    with write(engine) as db:
        assert keys.set_limit(db, key.key_id, Limit(5, None)).limit == Limit(5, None)
        assert keys.set_limit(db, key.key_id, Limit()).limit == Limit()


def test_a_use_is_noted_once_a_minute_whoever_says_so(engine: Engine, now: datetime) -> None:
    key, other = made(engine, now), made(engine, now, "other")

    def noted(at: datetime) -> datetime | None:
        with write(engine) as db:
            keys.note_use(db, {key.key_id: at, "gone": at})
            return keys.find(db, key.key_id).last_used_at

    assert noted(now) == now
    assert noted(now + 59 * SECOND) == now
    assert noted(now + 60 * SECOND) == now + 60 * SECOND
    assert noted(now) == now + 60 * SECOND  # another collector, which is slower
    with read(engine) as db:
        assert keys.find(db, other.key_id).last_used_at is None


def test_what_a_person_typed_is_not_repeated(now: datetime) -> None:
    _, token = keys.new("shop", "bot", Scope.INGEST, now)
    assert keys.id_in(f" {token}\n") == token[3:14]
    with pytest.raises(KeyRefused) as caught:
        keys.id_in(token[3:14] + "x" + token[15:])
    assert token[15:] not in str(caught.value)


def test_no_secret_is_in_the_database(sqlite_engine: Engine, now: datetime, tmp_path: Path) -> None:
    tokens = []
    with write(sqlite_engine) as db:
        for name in "abc":
            key, token = keys.new("shop", name, Scope.INGEST, now)
            keys.add(db, key)
            tokens.append(token)
        tokens.append(keys.rotate(db, key.key_id, now, grace=DAY)[2])
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.key_id.encode() in written
    assert not any(token[15:].encode() in written for token in tokens)
