"""What the models of a project were used for and what that cost, by the names calls give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from tidegauge.call import Operation
from tidegauge.store.engine import Connection
from tidegauge.store.rows import from_ns, to_ns
from tidegauge.store.schema import span

MOST = 500  # names of models: an application that makes up a new one a call has no more lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The calls of one model under one name. Tokens and US dollars are sums over them."""

    provider: str | None
    request_model: str | None
    response_model: str | None
    service_tier: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None  # of the calls that have a price; None: none has
    unpriced: int  # calls whose tokens are known and whose price is not
    unpriced_tokens: int  # of these, input and output
    without_tokens: int  # calls that cannot have a cost, whatever the price
    both: int  # calls that have a cost of ours and one that the application told
    ours_usd: Decimal | None  # over these
    app_usd: Decimal | None
    last: datetime  # when the newest began


def spent(db: Connection, project: str, since: datetime, until: datetime) -> list[Spent]:
    """Return what was used in [since, until), the most calls first; at most ``MOST`` lines.

    Reads every call of that time once: a second for a million.
    """
    names = [span.c[name] for name in _AS_IT_IS]
    own, told = span.c.cost_usd, span.c.app_cost_usd
    embeds = span.c.operation.in_([Operation.EMBEDDINGS.value, Operation.RERANK.value])
    counted = span.c.input_tokens.is_not(None) & or_(embeds, span.c.output_tokens.is_not(None))
    unpriced = own.is_(None) & counted
    both = and_(own.is_not(None), told.is_not(None))
    tokens = span.c.input_tokens + func.coalesce(span.c.output_tokens, 0)
    query = (
        select(
            *names,
            func.count().label("calls"),
            func.coalesce(func.sum(span.c.input_tokens), 0).label("input_tokens"),
            func.coalesce(func.sum(span.c.output_tokens), 0).label("output_tokens"),
            func.sum(own).label("cost_usd"),
            func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
            func.sum(case((unpriced, tokens), else_=0)).label("unpriced_tokens"),
            func.sum(case((own.is_(None) & ~counted, 1), else_=0)).label("without_tokens"),
            func.sum(case((both, 1), else_=0)).label("both"),
            func.sum(case((both, own))).label("ours_usd"),
            func.sum(case((both, told))).label("app_usd"),
            func.max(span.c.started_ns).label("last_ns"),
        )
        .where(
            span.c.project == project,
            span.c.started_ns >= to_ns(since),
            span.c.started_ns < to_ns(until),
            span.c.not_counted.is_(None),
        )
        .group_by(*names)
        .order_by(func.count().desc(), *(name.asc() for name in names))
        .limit(MOST)
    )
    return [_spent(row) for row in db.execute(query)]


_AS_IT_IS = ("provider", "request_model", "response_model", "service_tier")
_MONEY = ("cost_usd", "ours_usd", "app_usd")
_COUNTS = ("calls", "input_tokens", "output_tokens", "unpriced", "unpriced_tokens")


def _spent(row: Any) -> Spent:
    given: dict[str, Any] = {name: getattr(row, name) for name in (*_AS_IT_IS, *_MONEY)}
    # PostgreSQL's sum of whole numbers is a decimal.
    for name in (*_COUNTS, "without_tokens", "both"):
        given[name] = int(getattr(row, name))
    return Spent(**given, last=from_ns(row.last_ns))
