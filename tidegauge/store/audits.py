"""What each instrumentation told of its calls, counted by what is missing; and who tells it twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, func, or_, select, type_coerce

from tidegauge.audit import Counts, Group, Metered, Told, Twice
from tidegauge.call import NotCounted, Operation
from tidegauge.store import token_metrics
from tidegauge.store.engine import Connection
from tidegauge.store.schema import span
from tidegauge.store.times import to_s

MOST = 2_000  # groups; a service that makes up names would else fill the page
_APP_COST_SHARE = 20  # the application's cost may differ from ours by one part of so many
_OTHER_OPERATIONS = (Operation.EMBEDDINGS.value, Operation.RERANK.value)
_UNREAD = ("none", "generic")
# Names of spans that are model calls in one convention or another.
_CALL_NAMES = (
    "chat%",
    "%.chat",
    "%completion%",
    "%llm%",
    "%generate_content%",
    "%messages.create%",
)


def told(
    db: Connection, project: str, since: datetime, until: datetime, service: str | None = None
) -> tuple[list[Told], bool]:
    """Return what was received in [since, until), by group, the most calls first; and if there is more.

    By when it was received, not by when it began: a clock that is wrong is one of the findings.
    Reads every span of that time once.
    """
    names = [span.c[name] for name in Group._fields]
    rules = (span.c.tokens_audit, span.c.tokens_audit_rule)
    counts = [_number(one).label(name) for name, one in _conditions().items()]
    query = (
        select(*names, *rules, *counts)
        .where(_received(project, since, until, service), or_(_counted(), _looks_like_call()))
        .group_by(*names, *rules)
        .order_by(func.count().desc(), *names)
        .limit(MOST + 1)
    )
    rows = db.execute(query).all()
    summed: dict[Group, Counts] = {}
    found: dict[Group, dict[tuple[str, str], int]] = defaultdict(dict)
    for row in rows[:MOST]:
        group = Group(*row[: len(names)])
        counted = Counts(*map(int, row[len(names) + len(rules) :]))
        summed[group] = summed.get(group, Counts()).plus(counted)
        if row.tokens_audit and row.tokens_audit_rule:
            found[group][row.tokens_audit, row.tokens_audit_rule] = counted.calls
    told = [Told(group=one, counts=summed[one], rules=found[one]) for one in summed]
    return told, len(rows) > MOST


def twice(
    db: Connection, project: str, since: datetime, until: datetime, service: str | None = None
) -> list[Twice]:
    """Return which libraries tell of calls that another span stands for, the most first."""
    other = span.alias("other")
    names = (
        span.c.service, span.c.library, span.c.library_version,
        other.c.service.label("other_service"), other.c.library.label("other_library"),
        other.c.library_version.label("other_version"),
    )  # fmt: skip
    kept = and_(
        other.c.project == span.c.project,
        other.c.trace_id == func.substr(span.c.duplicate_of, 1, 16),
        other.c.span_id == func.substr(span.c.duplicate_of, 17, 8),
    )
    query = (
        select(*names, func.count().label("calls"))
        .join(other, kept)
        .where(
            _received(project, since, until, service),
            span.c.not_counted == NotCounted.DUPLICATE.value,
        )
        .group_by(*names)
        .order_by(func.count().desc(), *names)
        .limit(MOST)
    )
    return [Twice(**row._mapping) for row in db.execute(query)]


def metered(
    db: Connection, project: str, since: datetime, until: datetime, service: str | None = None
) -> list[Metered]:
    """Return the tokens of the hours that start in [since, until) by metric and by calls.

    Only where an application sent a metric.
    """
    return [
        Metered(
            service=one.service,
            model=one.model,
            type=one.type.value,
            by_metric=one.by_metric,
            by_calls=one.by_calls or 0,
        )
        for one in token_metrics.compare(db, project, since, until)
        if one.by_metric and service in (None, one.service)
    ]


def _received(
    project: str, since: datetime, until: datetime, service: str | None
) -> ColumnElement[bool]:
    wanted = [
        span.c.project == project,
        span.c.received_s >= to_s(since),
        span.c.received_s <= to_s(until),
    ]
    return and_(*wanted, *([span.c.service == service] if service is not None else []))


def _counted() -> ColumnElement[bool]:
    return span.c.not_counted.is_(None)


def _looks_like_call() -> ColumnElement[bool]:
    names = func.lower(span.c.name)
    return and_(
        span.c.not_counted == NotCounted.WRAPPER.value,
        span.c.dialect.in_(_UNREAD),
        or_(*(names.like(one) for one in _CALL_NAMES)),
    )


def _number(true_of: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((true_of, 1), else_=0)), 0)


def _conditions() -> Mapping[str, ColumnElement[bool]]:
    """Return the SQL of each of ``Counts``, in their order."""
    call = _counted()
    column: Any = span.c
    answered = and_(call, column.error_type.is_(None))
    texts = and_(answered, column.operation.not_in(_OTHER_OPERATIONS))
    streams = and_(texts, column.streaming.is_(True))
    silent = or_(
        column.input_tokens.is_(None),
        and_(column.output_tokens.is_(None), column.operation.not_in(_OTHER_OPERATIONS)),
    )
    both = and_(call, column.cost_usd.is_not(None), column.app_cost_usd.is_not(None))
    # Of whole billionths of a dollar, as they are stored: no float, no decimal.
    apart = func.abs(_raw("app_cost_usd") - _raw("cost_usd"))
    found = {
        "calls": call,
        "answered": answered,
        "texts": texts,
        "streams": streams,
        "priced_by_app": both,
        "looks_like_call": ~call,
        "no_usage_on_streams": and_(streams, silent),
        "no_usage": and_(answered, column.streaming.is_not(True), silent),
        "no_finish_reason": and_(texts, column.finish_reasons.in_(("", "unknown"))),
        "no_response_model": and_(answered, column.response_model.is_(None)),
        "no_response_id": and_(texts, column.response_id.is_(None)),
        "streaming_unknown": and_(texts, column.streaming.is_(None)),
        "no_first_token": and_(streams, column.time_to_first_token_s.is_(None)),
        "no_content": and_(answered, column.input_checksum.is_(None)),
        "unpriced": and_(answered, column.cost_usd.is_(None), ~silent),
        "app_cost_differs": and_(both, apart * _APP_COST_SHARE > _raw("cost_usd")),
        "no_use_case": and_(call, column.use_case_from.is_(None)),
        "clock_invalid": and_(call, column.clock_invalid.is_(True)),
    }
    return {name: found[name] for name in Counts._fields}


def _raw(name: str) -> ColumnElement[int]:
    return type_coerce(span.c[name], BigInteger)
