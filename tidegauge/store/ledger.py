"""The ingest ledger: what became of everything that each exporter sent, by hour."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import delete, func, select

from tidegauge.clock import HOUR, floor
from tidegauge.source import Source
from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.schema import ingest_count, ingest_source, span
from tidegauge.store.times import from_s, to_s

MOST_SOURCES = 2_000  # of a project: a name of a service may hold a random number
OTHER = "__other__"  # the service that all further sources are counted under
KEEP = timedelta(days=90)

# Spans, each of them exactly one of these: the first two were acknowledged.
ACCEPTED = "accepted"  # stored
DUPLICATE = "duplicate"  # stored before
REJECTED = "rejected:"  # + why; a span
REFUSED = "refused:"  # + why; a whole request, of which no span was read
# Stored spans with something to say of them; a span may be several.
LATE = "late"
FUTURE = "future"
CLOCK_SKEWED = "clock_skewed"
ATTRIBUTES_CUT = "attributes_cut"
JSON = "json_"  # + what of its JSON was unusual: not_read, or what OTLP forbids
JSON_LENIENT = "json_lenient:"  # + what of it OTLP forbids, and was read all the same
DIALECT = "dialect:"  # + dialect:rule: its tokens were adjusted or doubted, or it was not read
# Log records and metric points, and what became of them: no spans.
LOGS, METRICS = "logs:", "metrics:"
SDK_DROPPED = "sdk_dropped:"  # + attributes, events or links: how many of them, not of spans

Counts = Mapping[tuple[Source, str], int]  # by source and outcome


@dataclass(frozen=True, slots=True)
class Line:
    """What one source sent within some hours; spans, but for ``refused``."""

    source: Source
    counts: Mapping[str, int]
    first_seen: datetime
    last_seen: datetime

    @property
    def stored(self) -> int:
        """Return how many spans came for the first time, and are rows now."""
        return self.counts.get(ACCEPTED, 0)

    @property
    def duplicate(self) -> int:
        """Return how many had been stored before; an exporter that tries again sends such."""
        return self.counts.get(DUPLICATE, 0)

    @property
    def rejected(self) -> dict[str, int]:
        """Return how many were left out of a stored request, by reason."""
        return self.among(REJECTED)

    @property
    def refused(self) -> dict[str, int]:
        """Return how many whole requests were not read, by reason."""
        return self.among(REFUSED)

    @property
    def sdk_dropped(self) -> dict[str, int]:
        """Return how many attributes, events and links its SDK says that it left out."""
        return self.among(SDK_DROPPED)

    @property
    def json(self) -> dict[str, int]:
        """Return of how many spans the JSON was unusual, by what."""
        return self.among(JSON)

    @property
    def received(self) -> int:
        """Return how many spans were read."""
        return self.stored + self.duplicate + sum(self.rejected.values())

    @property
    def lost(self) -> bool:
        """Return whether something that was sent is not stored and will not be."""
        return bool(self.rejected or self.refused)

    def among(self, prefix: str) -> dict[str, int]:
        """Return the counts whose outcome begins with ``prefix``, by the rest of their names."""
        return {
            outcome.removeprefix(prefix): number
            for outcome, number in self.counts.items()
            if outcome.startswith(prefix)
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """How many spans the ledger says were stored, and how many rows there are.

    ``since`` is where they begin, if that is later than asked: before, one of both is not kept.
    """

    stored: int
    rows: int
    since: datetime | None = None

    @property
    def text(self) -> str:
        """Return in words whether the two are the same.

        >>> Claim(12, 12).text
        'Claimed as stored: 12; in the table: 12. They agree.'
        """
        said = f"Claimed as stored: {self.stored:,}; in the table: {self.rows:,}."
        if self.since is not None:
            said = (
                f"Since {self.since:%Y-%m-%d %H:%M} UTC, as further back not both are kept: {said}"
            )
        if self.stored == self.rows:
            return f"{said} They agree."
        if self.stored > self.rows:
            return f"{said} {self.stored - self.rows:,} are no longer there: erased, or lost."
        return f"{said} {self.rows - self.stored:,} were written past the collector."


def source_id(source: Source) -> int:
    """Return a hash of the names, below 2**63: the same in every collector, no counter needed.

    >>> source_id(Source("p", "k", "bot")) == source_id(Source("p", "k", "bot"))
    True
    """
    digest = hashlib.blake2b(orjson.dumps(astuple(source)), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def record(db: Connection, at: datetime, counts: Counts, *, most: int = MOST_SOURCES) -> None:
    """Add ``counts`` to the hour of ``at``; zeros are left out.

    Called last in a transaction: two collectors that count for one source wait for each other from
    here to the commit. Sources beyond ``most`` of a project are counted under ``__other__``.
    """
    by_project: dict[str, dict[Source, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for (source, outcome), number in counts.items():
        if number:
            by_project[source.project][source][outcome] = number
    for project, found in sorted(by_project.items()):
        places = _places(db, project, found, most)
        _see(db, {places[source]: source for source in found}, to_s(at))
        _add(db, project, to_s(floor(at, HOUR)), places, found)


def try_to_write(db: Connection) -> None:
    """Write a row and take it back: nothing is left, but the database has to write as for spans."""
    mark = {"project": "", "hour_s": 0, "source_id": 0, "outcome": "try", "count": 0}
    db.execute(ingest_count.insert(), mark)
    db.execute(delete(ingest_count).where(ingest_count.c.project == ""))


def lines(
    db: Connection, project: str, since: datetime, *, service: str | None = None
) -> list[Line]:
    """Return the sources counted since the hour of ``since``, those with the most counted first."""
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for id_, outcome, number in db.execute(
        select(ingest_count.c.source_id, ingest_count.c.outcome, func.sum(ingest_count.c.count))
        .where(ingest_count.c.project == project, ingest_count.c.hour_s >= _hour(since))
        .group_by(ingest_count.c.source_id, ingest_count.c.outcome)
        .order_by(ingest_count.c.outcome)
    ):
        counts[id_][outcome] = int(number)
    query = select(ingest_source).where(ingest_source.c.project == project)
    if service is not None:
        query = query.where(ingest_source.c.service == service)
    found = [
        Line(
            Source(project, row.key_id, row.service, row.sdk, row.user_agent),
            counts[row.source_id],
            from_s(row.first_seen_s),
            from_s(row.last_seen_s),
        )
        for row in db.execute(query)
        if _says(row.service, counts.get(row.source_id, {}))
    ]
    return sorted(found, key=lambda line: (-line.received, astuple(line.source)))


def _says(service: str, counts: Mapping[str, int]) -> bool:
    """Return whether a line is worth reading: of no service, records that are no spans are not."""
    return any(service or not outcome.startswith((LOGS, METRICS)) for outcome in counts)


def read_counts(db: Connection, project: str, since: datetime, until: datetime) -> dict[str, int]:
    """Return how many of each outcome were counted in the hours that start in [since, until)."""
    query = (
        select(ingest_count.c.outcome, func.sum(ingest_count.c.count))
        .where(
            ingest_count.c.project == project,
            ingest_count.c.hour_s >= to_s(since),
            ingest_count.c.hour_s < to_s(until),
        )
        .group_by(ingest_count.c.outcome)
    )
    return {outcome: int(number) for outcome, number in db.execute(query)}


def both_since(now: datetime, numbers_days: int) -> datetime:
    """Return the hour from which on both counts and spans are kept whole.

    >>> from datetime import UTC
    >>> both_since(datetime(2026, 1, 5, 10, 7, tzinfo=UTC), 1).isoformat()
    '2026-01-04T11:00:00+00:00'
    """
    return floor(now - min(KEEP, timedelta(days=numbers_days)), HOUR) + HOUR


def claim(
    db: Connection, project: str, since: datetime, *, kept_since: datetime | None = None
) -> Claim:
    """Return what was claimed since the hour of ``since``, and what is there.

    Not before ``kept_since``, see ``both_since``: what is forgotten would look lost, or smuggled in.

    One statement: between two, spans may come in, and the numbers would seem to disagree. The index
    span_received answers the second half.
    """
    cut = kept_since if kept_since is not None and kept_since > floor(since, HOUR) else None
    begin_s = _hour(cut or since)
    claimed = select(func.coalesce(func.sum(ingest_count.c.count), 0)).where(
        ingest_count.c.project == project,
        ingest_count.c.hour_s >= begin_s,
        ingest_count.c.outcome == ACCEPTED,
    )
    rows = select(func.count()).where(span.c.project == project, span.c.received_s >= begin_s)
    found = db.execute(select(claimed.scalar_subquery(), rows.scalar_subquery())).one()
    return Claim(int(found[0]), int(found[1]), cut)


def forget(db: Connection, before: datetime) -> int:
    """Delete counts of the hours before ``before``, and sources not seen since; return how many."""
    old_counts = delete(ingest_count).where(ingest_count.c.hour_s < to_s(before))
    old_sources = delete(ingest_source).where(ingest_source.c.last_seen_s < to_s(before))
    return int(db.execute(old_counts).rowcount + db.execute(old_sources).rowcount)


def _hour(at: datetime) -> int:
    return to_s(floor(at, HOUR))


def _places(
    db: Connection, project: str, sources: Iterable[Source], most: int
) -> dict[Source, int]:
    """Return the id under which each source is counted: its own, or that of ``__other__``."""
    ids = {source: source_id(source) for source in sources}
    mine = ingest_source.c.project == project
    query = select(ingest_source.c.source_id).where(
        mine, ingest_source.c.source_id.in_(ids.values())
    )
    known = set(db.execute(query).scalars())
    new = sorted(set(ids.values()) - known)
    if new:
        there = db.execute(select(func.count()).select_from(ingest_source).where(mine))
        room = max(0, most - int(there.scalar_one()))
        known.update(new[:room])
    other = source_id(Source(project, service=OTHER))
    return {source: id_ if id_ in known else other for source, id_ in ids.items()}


def _see(db: Connection, seen: Mapping[int, Source], at_s: int) -> None:
    """Note that these sources, by id, sent something."""
    rows = []
    # In one order everywhere: two collectors that hold the same rows would deadlock.
    for id_, source in sorted(seen.items()):
        named = source if id_ == source_id(source) else Source(source.project, service=OTHER)
        rows.append(
            {
                "project": named.project,
                "source_id": id_,
                "key_id": named.key_id,
                "service": named.service,
                "sdk": named.sdk,
                "user_agent": named.user_agent,
                "first_seen_s": at_s,
                "last_seen_s": at_s,
            }
        )
    insert = insert_into(db, ingest_source)
    newest = insert.excluded.last_seen_s
    db.execute(
        insert.on_conflict_do_update(
            index_elements=["project", "source_id"],
            set_={"last_seen_s": newest},
            where=ingest_source.c.last_seen_s < newest,
        ),
        rows,
    )


def _add(
    db: Connection,
    project: str,
    hour_s: int,
    places: Mapping[Source, int],
    found: Mapping[Source, Mapping[str, int]],
) -> None:
    totals: dict[tuple[int, str], int] = defaultdict(int)
    for source, outcomes in found.items():
        for outcome, number in outcomes.items():
            totals[places[source], outcome] += number
    insert = insert_into(db, ingest_count)
    total = ingest_count.c.count + insert.excluded.count
    key = [column.name for column in ingest_count.primary_key]
    db.execute(
        insert.on_conflict_do_update(index_elements=key, set_={"count": total}),
        _rows(project, hour_s, totals),
    )


def _rows(
    project: str, hour_s: int, totals: Mapping[tuple[int, str], int]
) -> Sequence[dict[str, object]]:
    """Return the rows to add, in the one order that all collectors take them in."""
    return [
        {
            "project": project,
            "hour_s": hour_s,
            "source_id": id_,
            "outcome": outcome,
            "count": number,
        }
        for (id_, outcome), number in sorted(totals.items())
    ]
