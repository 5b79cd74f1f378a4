"""Tokens by the applications' own metrics, beside those of their calls: a cross-check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, ColumnElement, and_, case, func, or_, select

from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.rows import to_ns
from tidegauge.store.schema import span, token_point
from tidegauge.store.times import to_s
from tidegauge.token_count import TokenCount, TokenType

# A stream that began so long before its process was first heard of counts from what it said first:
# its earlier tokens are of a time when we did not listen. Longer than exporters wait between points.
LATE = timedelta(hours=1)
REMEMBER = timedelta(days=7)  # how far back the last point of a stream is looked for
MOST_STREAMS = 2_000  # of a project in an hour: an attribute may hold a random number
_HOUR_NS = 3_600 * 10**9
_SAME = ("project", "stream", "began_ns")
_KEY = (*_SAME, "hour_s")

Model = tuple[str, str]  # service, model
Counted = tuple[str, str | None, str | None]  # service, request model, response model


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What a service used of a model: by its metrics and by its calls. None: nothing was sent."""

    service: str
    model: str
    type: TokenType
    by_metric: int | None
    by_calls: int | None

    @property
    def share(self) -> float | None:
        """Return the tokens of the calls as a share of those of the metrics; 1 is right, None unknown.

        Less says that spans are missing, more that calls are counted twice.
        """
        if not self.by_metric or self.by_calls is None:
            return None
        return self.by_calls / self.by_metric


def record(db: Connection, counts: Iterable[TokenCount], *, most: int = MOST_STREAMS) -> int:
    """Keep what these points say, in any order, once or many times; return how many are kept.

    Points of new streams are left out once ``most`` streams of their project are in their hour.
    """
    kept = _within(db, [_row(count) for count in counts], most)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in kept:
        key = tuple(row[name] for name in _KEY)
        rows[key] = _merged(rows[key], row) if key in rows else row
    if rows:
        _upsert(db, [rows[key] for key in sorted(rows)])
    return len(kept)


def _upsert(db: Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows in one order everywhere: two collectors that hold the same ones would deadlock."""
    insert = insert_into(db, token_point)
    old, new = token_point.c, insert.excluded
    earlier = _before(new.first_ns, new.first_tokens, old.first_ns, old.first_tokens)
    later = _before(old.last_ns, old.last_tokens, new.last_ns, new.last_tokens)
    newest = {
        "first_ns": case((earlier, new.first_ns), else_=old.first_ns),
        "first_tokens": case((earlier, new.first_tokens), else_=old.first_tokens),
        "last_ns": case((later, new.last_ns), else_=old.last_ns),
        "last_tokens": case((later, new.last_tokens), else_=old.last_tokens),
    }
    upsert = insert.on_conflict_do_update(
        index_elements=list(_KEY), set_=newest, where=or_(earlier, later)
    )
    db.execute(upsert, rows)


def _within(db: Connection, rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the rows whose stream has a place in its hour."""
    streams: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    for row in rows:
        streams[row["project"], row["hour_s"]].add(row["stream"])
    placed = {hour: _placed(db, *hour, wanted, most) for hour, wanted in streams.items()}
    return [row for row in rows if row["stream"] in placed[row["project"], row["hour_s"]]]


def _placed(db: Connection, project: str, hour_s: int, wanted: set[bytes], most: int) -> set[bytes]:
    """Return those of ``wanted`` that are in the hour already, and new ones while there is room."""
    of_hour = and_(token_point.c.project == project, token_point.c.hour_s == hour_s)
    query = select(token_point.c.stream).where(of_hour, token_point.c.stream.in_(wanted))
    known = {bytes(stream) for stream in db.execute(query.distinct()).scalars()}
    if known == wanted:
        return known
    count = select(func.count(token_point.c.stream.distinct())).where(of_hour)
    room = max(0, most - int(db.execute(count).scalar_one()))
    return known.union(sorted(wanted - known)[:room])


def compare(db: Connection, project: str, since: datetime, until: datetime) -> list[TokenCheck]:
    """Return the tokens of the hours that start in [since, until), by service, model and type.

    Only services that sent a metric: of the others there is nothing to compare.
    """
    by_calls = _by_calls(db, project, since, until)
    by_metric = _by_model(_by_metric(db, project, since, until), by_calls)
    services = {service for (service, _), _ in by_metric}
    known: dict[tuple[Model, TokenType], int] = defaultdict(int)
    for (service, asked, answered), tokens in by_calls.items():
        for kind, number in tokens.items():
            if service in services and number is not None:
                known[(service, asked or answered or "unknown"), kind] += number
    return [
        TokenCheck(*model, kind, by_metric.get((model, kind)), known.get((model, kind)))
        for model, kind in sorted(by_metric.keys() | known.keys())
    ]


def _row(count: TokenCount) -> dict[str, Any]:
    return {
        "project": count.project,
        "stream": count.stream,
        "began_ns": count.began_ns,
        "hour_s": count.until_ns // _HOUR_NS * 3_600,
        "instance": count.instance,
        "first_ns": count.until_ns,
        "first_tokens": count.tokens,
        "last_ns": count.until_ns,
        "last_tokens": count.tokens,
        "service": count.service,
        "request_model": count.request_model,
        "response_model": count.response_model,
        "type": count.type.value,
        "metric": count.metric,
    }


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    first = min((row["first_ns"], row["first_tokens"]) for row in (one, other))
    last = max((row["last_ns"], row["last_tokens"]) for row in (one, other))
    return {
        **one,
        "first_ns": first[0],
        "first_tokens": first[1],
        "last_ns": last[0],
        "last_tokens": last[1],
    }


def _before(at: Any, tokens: Any, other_at: Any, other_tokens: Any) -> Any:
    """Return SQL for: this point is earlier, or says less at the same time."""
    return or_(at < other_at, and_(at == other_at, tokens < other_tokens))


def _by_metric(
    db: Connection, project: str, since: datetime, until: datetime
) -> dict[tuple[Counted, str], int]:
    """Return the tokens from ``since`` on by what was counted.

    Two metrics of one process that count the same are not added: the larger one stands.
    """
    hours = _hours(project, since, until)
    base = func.coalesce(hours.c.said, _base(hours))
    used = case(
        (hours.c.last_tokens >= base, hours.c.last_tokens - base), else_=hours.c.last_tokens
    )
    what = ("service", "request_model", "response_model", "type")
    names = [hours.c[name] for name in what]
    each = (
        select(*names, func.sum(used).label("used"))
        .where(hours.c.hour_s >= to_s(since))
        .group_by(hours.c.instance, *names, hours.c.metric)
        .add_columns(hours.c.instance)
        .subquery()
    )
    grouped = [each.c[name] for name in what]
    larger = (
        select(*grouped, func.max(each.c.used).label("used"))
        .group_by(each.c.instance, *grouped)
        .subquery()
    )
    totals = [larger.c[name] for name in what]
    query = select(*totals, func.sum(larger.c.used).label("used")).group_by(*totals)
    return {
        ((row.service, row.request_model, row.response_model), row.type): int(row.used)
        for row in db.execute(query)
    }


def _hours(project: str, since: datetime, until: datetime) -> CTE:
    """Return each hour of each stream, with what the hour before said and when we first listened.

    A database does this: as objects, the points of a week are 80 MB.
    """
    point = token_point.c
    before = func.lag(point.last_tokens).over(
        partition_by=(point.stream, point.began_ns), order_by=point.hour_s
    )
    return (
        select(
            *point,
            before.label("said"),
            func.min(point.first_ns).over(partition_by=point.instance).label("heard_ns"),
        )
        .where(
            point.project == project,
            point.hour_s >= to_s(since - REMEMBER),
            point.hour_s < to_s(until),
        )
        .cte("hours")
    )


def _base(hours: CTE) -> ColumnElement[int]:
    """Return SQL for what a stream had counted before we listened to its process."""
    late_ns = LATE // timedelta(microseconds=1) * 1_000
    return case((hours.c.began_ns >= hours.c.heard_ns - late_ns, 0), else_=hours.c.first_tokens)


def _by_model(
    counted: Mapping[tuple[Counted, str], int],
    calls: Iterable[Counted],
) -> dict[tuple[Model, TokenType], int]:
    """Return the tokens by the names that calls go by.

    OpenLLMetry's metric names only the model that answered; the calls know what was asked for.
    """
    asked: dict[Model, set[str]] = defaultdict(set)
    for service, request, response in calls:
        if request and response:
            asked[service, response].add(request)
    totals: dict[tuple[Model, TokenType], int] = defaultdict(int)
    for ((service, request, response), kind), tokens in counted.items():
        known = asked[service, response] if request is None and response else set()
        only = next(iter(known)) if len(known) == 1 else None
        totals[(service, request or only or response or "unknown"), TokenType(kind)] += tokens
    return totals


def _by_calls(
    db: Connection, project: str, since: datetime, until: datetime
) -> dict[Counted, dict[TokenType, int | None]]:
    names = (span.c.service, span.c.request_model, span.c.response_model)
    query = (
        select(*names, func.sum(span.c.input_tokens), func.sum(span.c.output_tokens))
        .where(
            span.c.project == project,
            span.c.started_ns >= to_ns(since),
            span.c.started_ns < to_ns(until),
            span.c.not_counted.is_(None),
        )
        .group_by(*names)
    )
    return {
        (service, request, response): {
            TokenType.INPUT: None if sent is None else int(sent),
            TokenType.OUTPUT: None if received is None else int(received),
        }
        for service, request, response, sent, received in db.execute(query)
    }
