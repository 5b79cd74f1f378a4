"""One identity for the prompts that differ only in what was filled in, by comparing calls.

The collector's checksum masks numbers, dates and ids. A name that is filled in is a word like any
other; only beside other calls of the same use case can it be told from the developer's words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from analysis.rollup import Groups, Watcher
from analysis.slots import SLOT, Template, Tokens, Use, templates, tokens_of, values_of
from tidegauge.policy import Policy
from tidegauge.store import prompts as store
from tidegauge.store.engine import Connection, Engine, read, write
from tidegauge.store.prompts import Group, Key, Seen, Variant

#: What one run does at most. Two long prompts (1,500 words) take 3 ms to compare, and nobody waits
#: for a lock meanwhile.
GROUPS, READ, COMPARED, RENAMED = 20, 200, 40, 5_000
SLICE_S = 6 * 3600  # of the past, in which calls are renamed in one run
KEEP = timedelta(days=8)  # of a variant after its last use; as long as changes are found anew
IDLE = timedelta(days=1)  # of one that is a filling: it is read again if it comes again
_NS = 1_000_000_000
_SYSTEM = ("system", "developer")
# Of these only the whole is compared: two sets of tools are two prompts.
_TOOLS = re.compile(r"tool\.definitions|^llm\.tools|request\.functions|prompt\.tools|chat\.tools")


@dataclass(frozen=True, slots=True)
class Renamed:
    """A row of a call, under the identity of its prompt's template."""

    row: Any
    prompt_checksum: str

    def __getattr__(self, name: str) -> Any:
        """Return what the row has."""
        return getattr(self.row, name)


@dataclass(frozen=True, slots=True)
class Renaming:
    """A ``rollup.Watcher`` before another: it shows that one every prompt under its identity.

    Whatever writes a checksum into a row has its minute counted again, so every row passes here:
    fillings of known templates are renamed at once, and all others remembered for ``find_slots``.
    """

    then: Watcher

    def __call__(self, db: Connection, project: str, calls: Groups, now: datetime) -> None:
        """Rename what is known in ``calls``, and hand them on."""
        seen = _seen(calls)
        if not seen:
            return self.then(db, project, calls, now)
        known = store.identities(db, project, seen)
        own = store.own_names(db, project, seen.keys() - known.keys())
        store.note(db, project, {k: v for k, v in seen.items() if k not in own}, known)
        names = {key: identity for key, identity in known.items() if identity is not None}
        if names:
            calls = {series: [_named(row, names) for row in rows] for series, rows in calls.items()}
            changed = (row for rows in calls.values() for row in rows if isinstance(row, Renamed))
            store.rename(db, project, [(one.row, one.prompt_checksum) for one in changed])
        self.then(db, project, calls, now)


def _key(row: Any) -> Key:
    return store.group_of(row.service, row.use_case), row.prompt_checksum


def _named(row: Any, names: Mapping[Key, str]) -> Any:
    identity = names.get(_key(row)) if row.prompt_checksum is not None else None
    return row if identity is None else Renamed(row, identity)


def _seen(calls: Groups) -> dict[Key, Seen]:
    """Return when each prompt was used; rows come in order of time within a series."""
    found: dict[Key, Seen] = {}
    for row in (row for rows in calls.values() for row in rows if row.prompt_checksum is not None):
        at_s, key = row.started_ns // _NS, _key(row)
        one = found.get(key) or Seen(at_s, at_s, row.trace_id, row.span_id)
        found[key] = one._replace(first_s=min(one.first_s, at_s), last_s=max(one.last_s, at_s))
    return found


def find_slots(engine: Engine, now: datetime) -> int:
    """Compare the prompts that were used since the last run; return how many it looked at.

    A bounded piece of work, the rest of which is done by the next runs: ``GROUPS`` use cases,
    ``READ`` prompts read, ``COMPARED`` of a use case compared, ``RENAMED`` calls of the past.
    """
    looked = 0
    with read(engine) as db:
        groups = store.fresh_groups(db, GROUPS)
    for project, group in groups:
        looked += _compare(engine, project, group, now, READ - looked)
        if looked >= READ:
            break
    with read(engine) as db:
        waiting = store.projects_to_rename(db)
    for project in waiting:
        with write(engine) as db:
            looked += store.rename_some(db, project, slice_s=SLICE_S, limit=RENAMED)
    return looked


def forget(engine: Engine, policy: Policy, now: datetime) -> int:
    """Delete the prompts that are no longer used; return how many rows that were."""
    gone = 0
    with read(engine) as db:
        known = store.projects(db)
    for project in known:
        # Hashes of words keep no secret: they go when the content does.
        kept = min(KEEP, timedelta(days=policy.project(project).content_days))
        with write(engine) as db:
            gone += store.forget(db, project, now - kept, now - min(IDLE, kept))
    return gone


def _compare(engine: Engine, project: str, group: Group, now: datetime, most: int) -> int:
    """Read the new prompts of a use case, and join those that are fillings; return how many."""
    with read(engine) as db:
        known = store.templates(db, project, group)
        pool = store.variants(db, project, group, free=max(COMPARED, most), joined=COMPARED)
        unread = [one.checksum for one in pool if one.tokens is None][:most]
        words = _read(db, project, group, unread)
    # What takes its time is done while nobody waits for a lock.
    pool = [replace(one, tokens=words.get(one.checksum, one.tokens)) for one in pool]
    joins = list(_joins(pool, known))
    with write(engine) as db:
        store.keep_tokens(db, project, group, words)
        for identity, tokens, members in joins:
            store.join(db, project, group, identity, tokens, members, now)
        store.looked_at(db, project, group)
    return len(unread)


def _joins(
    pool: Sequence[Variant], known: Mapping[str, Tokens]
) -> Iterator[tuple[str, Tokens, list[Variant]]]:
    """Yield identity, tokens and new members of each template that gets some."""
    free = [one for one in pool if one.identity is None and one.tokens]
    fits: dict[str, list[Variant]] = defaultdict(list)
    left: list[Variant] = []
    for one in free:
        identity = _fitting(one.tokens or (), known)
        (left if identity is None else fits[identity]).append(one)
    for identity, members in fits.items():
        yield identity, known[identity], members
    joined = [one for one in pool if one.identity is not None and one.tokens]
    by_checksum = {one.checksum: one for one in pool}
    if left:
        for template in templates(map(_use, [*left[:COMPARED], *joined])):
            inside = [by_checksum[use.checksum] for use in template.members]
            if new := [one for one in inside if one.identity is None]:
                yield _name(template, inside), template.tokens, new


def _name(template: Template, inside: Sequence[Variant]) -> str:
    """Return the identity of a template: one that is known keeps its own, also where it grew."""
    names = Counter(one.identity for one in inside if one.identity is not None)
    return min(names, key=lambda name: (-names[name], name)) if names else template.identity


def _use(one: Variant) -> Use:
    return Use(one.checksum, one.tokens or (), one.first_s, one.last_s)


def _fitting(tokens: Tokens, known: Mapping[str, Tokens]) -> str | None:
    """Return the template that a prompt is a filling of, the most telling one; else None."""
    fits = [
        (-sum(token != SLOT for token in template), identity)
        for identity, template in known.items()
        if values_of(template, tokens) is not None
    ]
    return min(fits)[1] if fits else None


def _read(
    db: Connection, project: str, group: Group, checksums: Sequence[str]
) -> dict[str, Tokens]:
    """Return the tokens of prompts; none for one whose content is not kept."""
    contents = store.system_contents(db, project, group, checksums)
    return {one: _tokens(contents.get(one, {})) for one in checksums}


def _tokens(content: Mapping[str, Any]) -> Tokens:
    """Return the tokens of the system prompt of a call. If it has none, return none."""
    sent = content.get("input")
    messages = sent if isinstance(sent, list) else []
    texts = [
        text
        for message in messages
        if isinstance(message, dict) and message.get("role") in _SYSTEM
        for text in _texts(message.get("content"))
    ]
    return tokens_of("\n".join(texts), _tools(content)) if texts else ()


def _texts(value: Any, depth: int = 8) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth:
        for one in islice(value.values() if isinstance(value, dict) else value, 1_000):
            yield from _texts(one, depth - 1)


def _tools(content: Mapping[str, Any]) -> bytes:
    attributes = content.get("attributes")
    known: Mapping[str, Any] = attributes if isinstance(attributes, dict) else {}
    found = {name: value for name, value in known.items() if _TOOLS.search(name)}
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS) if found else b""
