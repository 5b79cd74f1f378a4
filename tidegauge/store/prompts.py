"""System prompts by checksum: when each was used, and of which template it is one filling."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Row, bindparam, case, delete, func, select, tuple_, update

from tidegauge.store import spans
from tidegauge.store.contents import Place, unpack
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.rows import NS
from tidegauge.store.schema import content_block, prompt_template, prompt_variant, span
from tidegauge.store.times import to_s

Group = int  # service and use case, as a hash: their names may be long
Key = tuple[Group, str]  # group and checksum

MOST_UNREAD = 500  # prompts of a project that wait to be read; more are left as they are
_AT_ONCE = 400  # keys in one statement
_V, _T = prompt_variant.c, prompt_template.c

T = TypeVar("T")


class Seen(NamedTuple):
    """When some calls carried a prompt, whole seconds since 1970, and one of them."""

    first_s: int
    last_s: int
    trace_id: bytes
    span_id: bytes


@dataclass(frozen=True, slots=True)
class Variant:
    """A prompt as its calls carry it. Of its words there are hashes."""

    checksum: str
    first_s: int
    last_s: int
    tokens: tuple[int, ...] | None  # None: not read yet; empty: it cannot be read
    identity: str | None  # of the template that it is a filling of


@lru_cache(maxsize=4_096)
def group_of(service: str, use_case: str) -> Group:
    """Return what stands for a service and a use case."""
    name = f"{service}\0{use_case}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)


def identities(db: Connection, project: str, keys: Iterable[Key]) -> dict[Key, str | None]:
    """Return the identity of each known variant; None for one that is no filling."""
    found: dict[Key, str | None] = {}
    for some in _batched(sorted(keys), _AT_ONCE):
        query = select(_V.group_id, _V.checksum, _V.identity).where(
            _V.project == project, tuple_(_V.group_id, _V.checksum).in_(some)
        )
        found |= {(row.group_id, row.checksum): row.identity for row in db.execute(query)}
    return found


def own_names(db: Connection, project: str, keys: Iterable[Key]) -> set[Key]:
    """Return which of ``keys`` are templates: what their fillings are called."""
    found: set[Key] = set()
    for some in _batched(sorted(keys), _AT_ONCE):
        query = select(_T.group_id, _T.identity).where(
            _T.project == project, tuple_(_T.group_id, _T.identity).in_(some)
        )
        found |= {(row.group_id, row.identity) for row in db.execute(query)}
    return found


def note(db: Connection, project: str, seen: Mapping[Key, Seen], known: Iterable[Key]) -> None:
    """Remember when variants were used. ``known`` are those that are not new."""
    new = sorted(seen.keys() - set(known))
    room = max(0, MOST_UNREAD - _unread(db, project)) if new else 0
    left_out = set(new[room:])
    rows = [
        {"project": project, "group_id": key[0], "checksum": key[1], "is_fresh": True}
        | one._asdict()
        for key, one in sorted(seen.items())
        if key not in left_out
    ]
    if rows:
        statement = insert_into(db, prompt_variant)
        given = statement.excluded
        earlier, later = given.first_s < _V.first_s, given.last_s > _V.last_s
        changes = {
            "first_s": case((earlier, given.first_s), else_=_V.first_s),
            "last_s": case((later, given.last_s), else_=_V.last_s),
            # A filling of a known template needs no other look.
            "is_fresh": _V.identity.is_(None),
        }
        key_of = ["project", "group_id", "checksum"]
        db.execute(statement.on_conflict_do_update(index_elements=key_of, set_=changes), rows)


def _unread(db: Connection, project: str) -> int:
    query = select(func.count()).where(
        _V.project == project, _V.is_fresh.is_(True), _V.tokens.is_(None)
    )
    return int(db.execute(query.select_from(prompt_variant)).scalar_one())


def fresh_groups(db: Connection, limit: int) -> list[tuple[str, Group]]:
    """Return some projects and groups in which a prompt without a template was used."""
    key = (_V.project, _V.group_id)
    query = select(*key).where(_V.is_fresh.is_(True)).distinct().order_by(*key).limit(limit)
    return [(row.project, row.group_id) for row in db.execute(query)]


def variants(
    db: Connection, project: str, group: Group, *, free: int, joined: int
) -> list[Variant]:
    """Return the newest variants of a group: so many without a template, and so many with one."""
    found: list[Variant] = []
    for limit, which in ((free, _V.identity.is_(None)), (joined, _V.identity.is_not(None))):
        query = (
            select(prompt_variant)
            .where(_V.project == project, _V.group_id == group, which)
            .order_by(_V.last_s.desc(), _V.checksum)
            .limit(limit)
        )
        found += [_variant(row) for row in db.execute(query)]
    return found


def system_contents(
    db: Connection, project: str, group: Group, checksums: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Return what is kept of one call of each variant, by checksum; nothing where it is gone."""
    found: dict[str, Mapping[str, Any]] = {}
    of_call = (
        (span.c.project == _V.project)
        & (span.c.trace_id == _V.trace_id)
        & (span.c.span_id == _V.span_id)
    )
    of_block = (content_block.c.project == span.c.project) & (
        content_block.c.block_id == span.c.block_id
    )
    columns = (span.c.block_id, span.c.block_offset, span.c.block_size, content_block.c.packed)
    joined = prompt_variant.join(span, of_call).join(content_block, of_block)
    for some in _batched(checksums, _AT_ONCE):
        query = (
            select(_V.checksum, *columns)
            .select_from(joined)
            .where(_V.project == project, _V.group_id == group, _V.checksum.in_(some))
        )
        for row in db.execute(query):
            place = Place(row.block_id, row.block_offset, row.block_size)
            found[row.checksum] = unpack(row.packed, [place])[0]
    return found


def keep_tokens(
    db: Connection, project: str, group: Group, tokens: Mapping[str, Sequence[int]]
) -> None:
    """Remember the words of variants, as hashes; none for one that cannot be read."""
    rows = [{"c": checksum, "t": _packed(words)} for checksum, words in sorted(tokens.items())]
    if rows:
        statement = update(prompt_variant).where(
            _V.project == project, _V.group_id == group, _V.checksum == bindparam("c")
        )
        db.execute(statement.values(tokens=bindparam("t")), rows)


def looked_at(db: Connection, project: str, group: Group) -> None:
    """Say that the variants that are read were compared; a use makes them fresh again."""
    mine = (_V.project == project, _V.group_id == group, _V.is_fresh.is_(True))
    read = _V.tokens.is_not(None)
    db.execute(update(prompt_variant).where(*mine, read).values(is_fresh=False))


def templates(db: Connection, project: str, group: Group) -> dict[str, tuple[int, ...]]:
    """Return the tokens of the templates of a group, by identity."""
    query = select(_T.identity, _T.tokens).where(_T.project == project, _T.group_id == group)
    return {row.identity: _unpacked(row.tokens) for row in db.execute(query)}


def join(
    db: Connection,
    project: str,
    group: Group,
    identity: str,
    tokens: Sequence[int],
    members: Sequence[Variant],
    now: datetime,
) -> None:
    """Make ``members`` fillings of a template; their calls are renamed by and by."""
    row = {"project": project, "group_id": group, "identity": identity}
    statement = insert_into(db, prompt_template)
    changes = {"tokens": statement.excluded.tokens, "last_s": statement.excluded.last_s}
    given = row | {"tokens": _packed(tokens), "last_s": to_s(now)}
    db.execute(statement.on_conflict_do_update(index_elements=list(row), set_=changes), given)
    mine = (_V.project == project, _V.group_id == group)
    db.execute(
        update(prompt_variant)
        .where(*mine, _V.checksum == bindparam("c"))
        .values(identity=identity, is_fresh=False, todo_s=bindparam("t")),
        [{"c": one.checksum, "t": one.first_s} for one in members],
    )


def projects_to_rename(db: Connection) -> list[str]:
    """Return the projects in which calls still have the checksum of a filling."""
    query = select(_V.project).where(_V.todo_s.is_not(None)).distinct().order_by(_V.project)
    return list(db.execute(query).scalars())


def rename_some(db: Connection, project: str, *, slice_s: int, limit: int) -> int:
    """Give calls of fillings the identity of their template, the oldest first; return how many.

    Looks at ``slice_s`` seconds and at most ``limit`` calls; their minutes are counted again.
    """
    waiting = db.execute(
        select(prompt_variant).where(_V.project == project, _V.todo_s.is_not(None))
    ).all()
    if not waiting:
        return 0
    begin = min(row.todo_s for row in waiting)
    end = begin + slice_s
    names = {(row.group_id, row.checksum): row.identity for row in waiting}
    query = (
        select(span)
        .where(
            span.c.project == project,
            span.c.started_ns >= begin * NS,
            span.c.started_ns < end * NS,
            span.c.prompt_checksum.is_not(None),
        )
        .order_by(span.c.started_ns)
    )
    renamed: list[tuple[Row[Any], str]] = []
    for row in db.execute(query):
        identity = names.get((group_of(row.service, row.use_case), row.prompt_checksum))
        if identity is not None:
            renamed.append((row, identity))
            if len(renamed) >= limit and row.started_ns // NS > begin:
                end = row.started_ns // NS  # its second may have more
                break
    rename(db, project, renamed)
    counted = [row for row, _ in renamed if row.not_counted is None and not row.clock_invalid]
    spans.mark_stale(db, ((project, row.started_ns) for row in counted))
    _move_on(db, project, end)
    return len(renamed)


def _move_on(db: Connection, project: str, until_s: int) -> None:
    """Remember that everything before ``until_s`` is renamed."""
    waits = (_V.project == project, _V.todo_s < until_s)
    left = case((_V.last_s < until_s, None), else_=until_s)
    db.execute(update(prompt_variant).where(*waits).values(todo_s=left))


def rename(db: Connection, project: str, rows: Iterable[tuple[Row[Any], str]]) -> None:
    """Write the identities of ``rows`` of span into the column prompt_checksum."""
    given = [
        {"t": row.trace_id, "s": row.span_id, "was": row.prompt_checksum, "i": identity}
        for row, identity in rows
    ]
    if given:
        db.execute(
            update(span)
            .where(
                span.c.project == project,
                span.c.trace_id == bindparam("t"),
                span.c.span_id == bindparam("s"),
                span.c.prompt_checksum == bindparam("was"),
            )
            .values(prompt_checksum=bindparam("i")),
            # In the order of every other writer: two in another order would deadlock.
            sorted(given, key=lambda one: (one["t"], one["s"])),
        )


def forget(db: Connection, project: str, before: datetime, idle: datetime) -> int:
    """Delete variants last used before, fillings already if before ``idle``; return how many.

    Templates stay as long as variants would: a filling that comes again finds its own.
    """
    free = (_V.last_s < to_s(before)) & _V.identity.is_(None)
    filled = (_V.last_s < to_s(idle)) & _V.identity.is_not(None) & _V.todo_s.is_(None)
    mine = _V.project == project
    gone = db.execute(delete(prompt_variant).where(mine, free)).rowcount
    gone += db.execute(delete(prompt_variant).where(mine, filled)).rowcount
    old = (_T.project == project) & (_T.last_s < to_s(before))
    return gone + db.execute(delete(prompt_template).where(old)).rowcount


def projects(db: Connection) -> list[str]:
    """Return the projects that have variants or templates."""
    both = select(_V.project).union(select(_T.project))
    return sorted(db.execute(both).scalars())


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def _variant(row: Row[Any]) -> Variant:
    tokens = None if row.tokens is None else _unpacked(row.tokens)
    return Variant(row.checksum, row.first_s, row.last_s, tokens, row.identity)


def _packed(tokens: Sequence[int]) -> bytes:
    return array("I", tokens).tobytes()


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return tuple(array("I", packed))
