"""OTLP metrics to counts of tokens; every other metric is only counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collector import wire
from collector.dialects.values import first, text
from collector.limits import DEFAULT, BadOtlp
from collector.raw import MAX_INT64, Value, clean_text
from collector.wire import Group, Room
from tidegauge.token_count import TokenCount, TokenType

NAME_CHARS = 200
MOST_TOKENS = 10**12  # of one point: a sum of millions of them still fits the database's numbers

_OLD = "gen_ai.client.token.usage"  # the kind of token is an attribute
_NEW = {
    f"gen_ai.client.{name}": kind
    for kind in TokenType
    for name in (
        f"inference.usage.{kind}_tokens",
        f"inference.operation.{kind}_tokens",
        f"embeddings.operation.{kind}_tokens",
    )
}
_TYPES = {
    "input": TokenType.INPUT,
    "output": TokenType.OUTPUT,
    "prompt": TokenType.INPUT,
    "completion": TokenType.OUTPUT,
}
_DELTA, _CUMULATIVE = 1, 2
_NO_VALUE = 1  # a flag: the stream has ended, and this point says nothing

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
# By their names in OTLP/JSON; of a point only what we use is read.
_KINDS: dict[str, tuple[str, type[Any], tuple[str, ...]]] = {
    "gauge": ("gauge", NumberDataPoint, ("asDouble", "asInt")),
    "sum": ("sum", NumberDataPoint, ("asDouble", "asInt")),
    "histogram": ("histogram", HistogramDataPoint, ("sum",)),
    "exponentialHistogram": ("exponential_histogram", ExponentialHistogramDataPoint, ("sum",)),
    "summary": ("summary", SummaryDataPoint, ()),
}
_HISTOGRAMS = ("histogram", "exponential_histogram")
_POINT = ("startTimeUnixNano", "timeUnixNano", "flags")
_TEMPORALITIES = {
    "AGGREGATION_TEMPORALITY_DELTA": _DELTA,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": _CUMULATIVE,
}


@dataclass(frozen=True, slots=True)
class _Of:
    """What a point is of: its metric, and who measured it."""

    project: str
    resource: Mapping[str, Value]
    scope: str
    metric: str
    kind: str
    temporality: int
    rises: bool  # it only ever rises: what a count of used tokens does

    @property
    def counts_tokens(self) -> bool:
        return self.metric == _OLD or self.metric in _NEW


class _BadPoint(ValueError):
    """A point cannot be kept; the message says what its sender has to change."""


def read(
    body: bytes, project: str, *, json: bool, most: int = DEFAULT.spans
) -> list[Group[TokenCount]]:
    """Return the counts of one ``ExportMetricsServiceRequest`` by resource.

    Raises ``BadOtlp``, and ``TooLarge`` for JSON of more than ``most`` points: of protobuf, the
    walk before has counted them.

    A point that is invalid is rejected alone.
    """
    if json:
        return list(_from_json(body, project, Room(most)))
    return list(_from_protobuf(body, project))


def _from_protobuf(body: bytes, project: str) -> Iterator[Group[TokenCount]]:
    for sent in wire.decoded(ExportMetricsServiceRequest, body).resource_metrics:
        group = Group[TokenCount](wire.attributes(sent.resource.attributes))
        for scope in sent.scope_metrics:
            for metric in scope.metrics:
                _take_metric(metric, project, clean_text(scope.scope.name), group)
        yield group


def _take_metric(metric: Metric, project: str, scope: str, into: Group[TokenCount]) -> None:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    of = _Of(
        project,
        into.resource,
        scope,
        metric.name,
        kind,
        getattr(data, "aggregation_temporality", 0),
        getattr(data, "is_monotonic", kind in _HISTOGRAMS),
    )
    for point in data.data_points:
        _take(point, of, into)


def _from_json(body: bytes, project: str, room: Room) -> Iterator[Group[TokenCount]]:
    for sent in wire.objects(wire.json_root(body), "resourceMetrics"):
        resource = wire.message(Resource(), sent.get("resource") or {}, ("attributes",))
        group = Group[TokenCount](wire.attributes(resource.attributes))
        for scope in wire.objects(sent, "scopeMetrics"):
            named = scope.get("scope")
            name = named.get("name") if isinstance(named, dict) else None
            for metric in wire.objects(scope, "metrics"):
                _take_json(metric, project, name if isinstance(name, str) else "", group, room)
        yield group


def _take_json(
    metric: dict[str, Any], project: str, scope: str, into: Group[TokenCount], room: Room
) -> None:
    for key, (kind, made, fields) in _KINDS.items():
        data = wire.get(metric, key)
        if data is None:
            continue
        if not isinstance(data, dict):
            raise BadOtlp(f"{key} must be an object")
        temporality = wire.get(data, "aggregationTemporality")
        of = _Of(
            project,
            into.resource,
            clean_text(scope),
            str(metric.get("name")),
            kind,
            _TEMPORALITIES.get(str(temporality), temporality if temporality in (1, 2) else 0),
            wire.get(data, "isMonotonic") is True if kind == "sum" else kind in _HISTOGRAMS,
        )
        names = (*_POINT, *fields, "attributes") if of.counts_tokens else _POINT
        for item in room.take(wire.items(data, "dataPoints")):
            try:
                point = wire.message(made(), item, names)
            except BadOtlp as fault:
                into.rejected.append(str(fault))
            else:
                _take(point, of, into)


def _take(point: Point, of: _Of, into: Group[TokenCount]) -> None:
    try:
        found = _count(point, of)
    except _BadPoint as fault:
        into.rejected.append(str(fault))
        return
    if found is None:
        into.not_kept += 1
    else:
        into.kept.append(found)


def _count(point: Point, of: _Of) -> TokenCount | None:
    """Return what a point counts; None where it is of another metric. Raises ``_BadPoint``."""
    if point.time_unix_nano == 0:
        raise _BadPoint("timeUnixNano must not be 0")
    if not of.counts_tokens or not of.rises or point.flags & _NO_VALUE:
        return None
    told = wire.attributes(point.attributes)
    kind = _NEW.get(of.metric) or _TYPES.get(str(told.get("gen_ai.token.type")))
    if kind is None:
        return None
    if of.temporality not in (_DELTA, _CUMULATIVE):
        raise _BadPoint("aggregationTemporality must be delta or cumulative")
    until = min(point.time_unix_nano, MAX_INT64)
    began = min(point.start_time_unix_nano, until)
    if of.temporality == _DELTA and began == 0:
        began = until  # each point of its own: else all of them would be one stream's
    return TokenCount(
        project=of.project,
        instance=_hash([dict(of.resource)]),
        stream=_hash([dict(of.resource), of.scope, of.metric, of.kind, told]),
        began_ns=began,
        until_ns=until,
        tokens=_value(point, of.kind),
        service=str(of.resource.get("service.name") or "unknown_service")[:NAME_CHARS],
        request_model=_model(told, "gen_ai.request.model"),
        response_model=_model(told, "gen_ai.response.model"),
        type=kind,
        metric=f"{of.scope[:NAME_CHARS]} {of.metric}",
    )


def _value(point: Any, kind: str) -> int:
    value: float
    if kind == "sum":
        value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    elif point.HasField("sum"):
        value = point.sum
    else:
        raise _BadPoint("a histogram of tokens must have a sum")
    if not math.isfinite(value) or value < 0:
        raise _BadPoint("a count of tokens must be a number of 0 or more")
    if value > MOST_TOKENS:
        raise _BadPoint(f"a count of tokens must be at most {MOST_TOKENS:,}")
    return round(value)


def _model(told: Mapping[str, Value], name: str) -> str | None:
    found = text(first(told, (name,)))
    return found and found[:NAME_CHARS]


def _hash(names: Iterable[Any]) -> bytes:
    packed = orjson.dumps(list(names), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).digest()
