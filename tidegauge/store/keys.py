"""API keys: who may send or read, for which project and how much; of the secrets only hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import or_, select, update

from tidegauge.store.engine import Connection
from tidegauge.store.schema import api_key
from tidegauge.store.times import from_s, to_s

KEY_ID_BYTES = 8
SECRET_BYTES = 32
NAME_CHARS = 100
USE_NOTED_EVERY = timedelta(minutes=1)
_EXPIRED_TOLD = timedelta(days=30)  # so long the owner of an expired key is told that it expired
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"tg_([0-9A-Za-z]{11})_([0-9A-Za-z]{43})")
_KEY_ID = re.compile(r"(?:tg_)?([0-9A-Za-z]{11})(?:_.*)?", re.DOTALL)


class Scope(StrEnum):
    """What a key is for. None includes another: a key that an app holds can only send."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


class KeyRefused(ValueError):
    """A key cannot be made or changed so; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a key may send; None: as much as it likes."""

    spans_per_s: int | None = None
    bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. Times are UTC, whole seconds."""

    key_id: str
    project: str
    name: str  # whose it is, for people
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None  # None: never
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  # to a minute; None: never
    limit: Limit = Limit()
    secret_hash: bytes = field(repr=False)  # SHA-256

    def state(self, now: datetime) -> str:
        """Return "live", "expired" or "revoked"."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


def new(
    project: str,
    name: str,
    scope: Scope,
    now: datetime,
    *,
    lasts: timedelta | None = None,
    limit: Limit = Limit(),
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[Key, str]:
    """Return a key, and the text that its owner sends: the only place where its secret stands."""
    key_id = base62(random(KEY_ID_BYTES), 11)
    secret = base62(random(SECRET_BYTES), 43)
    key = Key(
        key_id=key_id,
        project=project,
        name=name,
        scope=scope,
        created_at=now,
        expires_at=None if lasts is None else now + lasts,
        limit=limit,
        secret_hash=hash_of(secret),
    )
    return key, f"tg_{key_id}_{secret}"


def base62(value: bytes, digits: int) -> str:
    """Return ``value`` as a number of that many base-62 digits; 43 hold 32 bytes, 11 hold 8.

    >>> base62(bytes(31) + b"\\x3e", 43)[-4:], len(base62(b"\\xff" * 32, 43))
    ('0010', 43)
    """
    number, text = int.from_bytes(value), ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _DIGITS[digit] + text
    return text


def split(token: str) -> tuple[str, str] | None:
    """Return the id and the secret in what an owner sends. If it is no key of ours, return None."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def hash_of(secret: str) -> bytes:
    """Return what is kept of a secret. One of 256 random bits cannot be guessed, however fast."""
    return hashlib.sha256(secret.encode()).digest()


def id_in(text: str) -> str:
    """Return the key id in what a person typed: the id alone, with ``tg_``, or a whole key.

    Raises KeyRefused, which does not repeat the text: it may be a secret.

    >>> id_in("tg_0123456789a_secret")
    '0123456789a'
    """
    found = _KEY_ID.fullmatch(text.strip())
    if not found:
        raise KeyRefused("a key id has 11 letters and digits; `tidegauge keys list` shows them")
    return found[1]


def add(db: Connection, key: Key) -> None:
    """Store a new key. Raises KeyRefused where a live one of its project has its name."""
    if not (0 < len(key.name) <= NAME_CHARS and key.name.isprintable()):
        raise KeyRefused(f"the name of a key has 1 to {NAME_CHARS} printable characters")
    if _of_one_name(db, key, key.created_at):
        raise KeyRefused(
            f"project '{key.project}' has a live key of the name '{key.name}'; choose another name, "
            "or replace that one with `tidegauge keys rotate`"
        )
    _insert(db, key)


def rotate(
    db: Connection,
    key_id: str,
    now: datetime,
    *,
    grace: timedelta,
    lasts: timedelta | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[Key, Key, str]:
    """Replace a live key: return the old one, the new one, and what the owner sends from now on.

    The old one expires after ``grace``; until then both are valid. The new one lasts as long as
    the old one was made for, unless ``lasts`` says otherwise. Raises KeyRefused.
    """
    old = _live(db, key_id, now)
    if len(_of_one_name(db, old, now)) > 1:
        raise KeyRefused(
            f"two keys of the name '{old.name}' are live already; "
            "revoke one of them with `tidegauge keys revoke`"
        )
    if lasts is None and old.expires_at is not None:
        lasts = old.expires_at - old.created_at
    fresh = new(old.project, old.name, old.scope, now, lasts=lasts, limit=old.limit, random=random)
    _insert(db, fresh[0])
    ends = min(filter(None, (now + grace, old.expires_at)))
    _set(db, key_id, expires_s=to_s(ends))
    return (replace(old, expires_at=ends), *fresh)


def revoke(db: Connection, key_id: str, now: datetime) -> Key:
    """End a key for good, and return it. One that is revoked already stays as it is.

    Raises KeyRefused where there is no such key.
    """
    key = find(db, key_id)
    if key.revoked_at is None:
        _set(db, key_id, revoked_s=to_s(now))
    return find(db, key_id)


def set_limit(db: Connection, key_id: str, limit: Limit) -> Key:
    """Change how much a key may send, and return it. Raises KeyRefused: there is no such key."""
    find(db, key_id)
    _set(db, key_id, spans_per_s=limit.spans_per_s, bytes_per_s=limit.bytes_per_s)
    return find(db, key_id)


def find(db: Connection, key_id: str) -> Key:
    """Return a key by its id. Raises KeyRefused where there is none."""
    row = db.execute(select(api_key).where(api_key.c.key_id == key_id)).one_or_none()
    if row is None:
        raise KeyRefused(f"there is no key {key_id}; `tidegauge keys list` shows them all")
    return _key(row._mapping)


def every(db: Connection, project: str | None = None) -> list[Key]:
    """Return all keys, of one project or of all, the oldest first."""
    query = select(api_key).order_by(api_key.c.created_s, api_key.c.key_id)
    if project is not None:
        query = query.where(api_key.c.project == project)
    return [_key(row._mapping) for row in db.execute(query)]


def valid(db: Connection, now: datetime) -> list[Key]:
    """Return the keys that are not revoked, and not expired for long: what a collector knows."""
    query = select(api_key).where(
        api_key.c.revoked_s.is_(None),
        or_(api_key.c.expires_s.is_(None), api_key.c.expires_s > to_s(now - _EXPIRED_TOLD)),
    )
    return [_key(row._mapping) for row in db.execute(query)]


def note_use(db: Connection, used: Mapping[str, datetime]) -> None:
    """Note when keys were last used; at most once a minute, however many collectors say so."""
    # In one order everywhere: two collectors that hold the same rows would deadlock.
    for key_id, at in sorted(used.items()):
        last = api_key.c.last_used_s
        stale = or_(last.is_(None), last <= to_s(at - USE_NOTED_EVERY))
        row = update(api_key).where(api_key.c.key_id == key_id, stale)
        db.execute(row.values(last_used_s=to_s(at)))


def _live(db: Connection, key_id: str, now: datetime) -> Key:
    key = find(db, key_id)
    if (state := key.state(now)) != "live":
        raise KeyRefused(f"key {key_id} is {state}; make a new one with `tidegauge keys create`")
    return key


def _of_one_name(db: Connection, key: Key, now: datetime) -> Sequence[Key]:
    """Return the live keys that have the project and the name of ``key``."""
    same = (one for one in every(db, key.project) if one.name == key.name)
    return [one for one in same if one.state(now) == "live"]


def _insert(db: Connection, key: Key) -> None:
    db.execute(
        api_key.insert().values(
            key_id=key.key_id,
            project=key.project,
            name=key.name,
            scope=key.scope,
            secret_hash=key.secret_hash,
            created_s=to_s(key.created_at),
            expires_s=None if key.expires_at is None else to_s(key.expires_at),
            spans_per_s=key.limit.spans_per_s,
            bytes_per_s=key.limit.bytes_per_s,
        )
    )


def _set(db: Connection, key_id: str, **values: int | None) -> None:
    db.execute(update(api_key).where(api_key.c.key_id == key_id).values(**values))


def _key(row: Mapping[Any, Any]) -> Key:
    def time(name: str) -> datetime | None:
        return None if row[name] is None else from_s(row[name])

    return Key(
        key_id=row["key_id"],
        project=row["project"],
        name=row["name"],
        scope=Scope(row["scope"]),
        created_at=from_s(row["created_s"]),
        expires_at=time("expires_s"),
        revoked_at=time("revoked_s"),
        last_used_at=time("last_used_s"),
        limit=Limit(row["spans_per_s"], row["bytes_per_s"]),
        secret_hash=bytes(row["secret_hash"]),
    )
