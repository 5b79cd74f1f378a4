"""Tokens by the applications' own metrics, beside those of their calls: a cross-check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Row, and_, case, func, or_, select

from tidegauge.store.engine import Connection, insert_into
from tidegauge.store.rows import to_ns
from tidegauge.store.schema import span, token_point
from tidegauge.store.times import to_s
from tidegauge.token_count import TokenCount, TokenType

# A stream that began so long before its process was first heard of counts from what it said first:
# its earlier tokens are of a time when we did not listen. Longer than exporters wait between points.
LATE = timedelta(hours=1)
REMEMBER = timedelta(days=7)  # how far back the last point of a stream is looked for
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
        """Return the tokens of the calls as a share of those of the metrics; 1 is right.

        Less says that spans are missing, more that calls are counted twice.
        """
        if not self.by_metric:
            return None
        return (self.by_calls or 0) / self.by_metric


def record(db: Connection, counts: Iterable[TokenCount]) -> None:
    """Keep what these points say. In any order, once or many times, the result is the same."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(_row, counts):
        key = tuple(row[name] for name in _KEY)
        rows[key] = _merged(rows[key], row) if key in rows else row
    if not rows:
        return
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
    # In one order everywhere: two collectors that hold the same rows would deadlock.
    db.execute(upsert, [rows[key] for key in sorted(rows)])


def compare(db: Connection, project: str, since: datetime, until: datetime) -> list[TokenCheck]:
    """Return the tokens of the hours that start in [since, until), by service, model and type.

    Only services that sent a metric: of the others there is nothing to compare.
    """
    by_calls = _by_calls(db, project, since, until)
    by_metric = _by_model(_by_metric(_points(db, project, since, until), since), by_calls)
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


def _points(db: Connection, project: str, since: datetime, until: datetime) -> Sequence[Row[Any]]:
    query = (
        select(token_point)
        .where(
            token_point.c.project == project,
            token_point.c.hour_s >= to_s(since - REMEMBER),
            token_point.c.hour_s < to_s(until),
        )
        .order_by(token_point.c.stream, token_point.c.began_ns, token_point.c.hour_s)
    )
    return db.execute(query).all()


def _by_metric(points: Sequence[Row[Any]], since: datetime) -> dict[tuple[Counted, str], int]:
    """Return the tokens from ``since`` on by what was counted.

    Two metrics of one process that count the same are not added: the larger one stands.
    """
    heard: dict[bytes, int] = {}
    for point in points:
        heard[point.instance] = min(point.first_ns, heard.get(point.instance, point.first_ns))
    each: dict[tuple[bytes, Counted, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for _, stream in groupby(points, key=lambda point: (point.stream, point.began_ns)):
        said: int | None = None
        for point in stream:
            base = said if said is not None else _base(point, heard[point.instance])
            said = point.last_tokens
            if point.hour_s >= to_s(since):
                what = (point.service, point.request_model, point.response_model)
                used = said - base if said >= base else said
                each[point.instance, what, point.type][point.metric] += used
    totals: dict[tuple[Counted, str], int] = defaultdict(int)
    for (_, what, kind), by_metric in each.items():
        totals[what, kind] += max(by_metric.values())
    return totals


def _base(point: Row[Any], heard_ns: int) -> int:
    """Return what a stream had counted before we listened to its process."""
    late_ns = LATE // timedelta(microseconds=1) * 1_000
    return 0 if point.began_ns >= heard_ns - late_ns else int(point.first_tokens)


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
