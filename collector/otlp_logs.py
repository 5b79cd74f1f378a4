"""OTLP log records to events of spans; all but those of the GenAI conventions are only counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collector import log_calls, wire
from collector.limits import DEFAULT, BadOtlp
from collector.raw import MAX_INT64
from collector.wire import Group, Room
from tidegauge.log_event import EVALUATION, LogEvent

DETAILS = "gen_ai.client.inference.operation.details"  # 1.37 and later: everything of a call
CHOICE = "gen_ai.choice"  # 1.28 to 1.36: an event per message; the role is in its name
ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
PROMPT, COMPLETION = "gen_ai.content.prompt", "gen_ai.content.completion"  # LiteLLM
SINGLE_PROMPT = "gen_ai.prompt"  # Semantic Kernel, of text completions
KEPT = frozenset({DETAILS, CHOICE, *ROLES, SINGLE_PROMPT, PROMPT, COMPLETION, EVALUATION})

_NAME_KEYS = ("event.name", "event_name")  # older SDKs and Semantic Kernel; LiteLLM
_FIELDS = ("timeUnixNano", "observedTimeUnixNano", "body", "attributes", "eventName")

Ids = tuple[str, str]  # trace and span, in hex; "" for what is no id


def read(
    body: bytes, project: str, *, json: bool, most: int = DEFAULT.spans
) -> list[Group[LogEvent]]:
    """Return the events of one ``ExportLogsServiceRequest`` by resource.

    Raises ``BadOtlp``, and ``TooLarge`` for JSON of more than ``most`` records: of protobuf, the
    walk before has counted them.

    A record that cannot be read is rejected alone. One without valid ids is kept where it still
    says something: an evaluation names its call by the id of the response, too.
    """
    if json:
        return list(_from_json(body, project, Room(most)))
    return list(_from_protobuf(body, project))


def _from_protobuf(body: bytes, project: str) -> Iterator[Group[LogEvent]]:
    for sent in wire.decoded(ExportLogsServiceRequest, body).resource_logs:
        group = Group[LogEvent](wire.attributes(sent.resource.attributes))
        for scope in sent.scope_logs:
            for record in scope.log_records:
                ids = wire.bytes_id(record.trace_id, 16), wire.bytes_id(record.span_id, 8)
                _take(record, ids, project, group, scope.scope.name)
        yield group


def _from_json(body: bytes, project: str, room: Room) -> Iterator[Group[LogEvent]]:
    for sent in wire.objects(wire.json_root(body), "resourceLogs"):
        resource = wire.message(Resource(), sent.get("resource") or {}, ("attributes",))
        group = Group[LogEvent](wire.attributes(resource.attributes))
        for scope in wire.objects(sent, "scopeLogs"):
            name = _scope_name(scope)
            for item in room.take(wire.items(scope, "logRecords")):
                _take_json(item, project, group, name)
        yield group


def _scope_name(scope: Any) -> str:
    known = scope.get("scope")
    name = known.get("name") if isinstance(known, dict) else None
    return name if isinstance(name, str) else ""


def _take_json(item: Any, project: str, into: Group[LogEvent], scope: str) -> None:
    try:
        record = wire.message(LogRecord(), item, _FIELDS)
    except BadOtlp as fault:
        into.rejected.append(str(fault))
        return
    ids = wire.hex_id(item, "traceId", 32), wire.hex_id(item, "spanId", 16)
    _take(record, ids, project, into, scope)


def _take(record: LogRecord, ids: Ids, project: str, into: Group[LogEvent], scope: str) -> None:
    name = record.event_name or _name_among(record.attributes)
    call = log_calls.span_of(scope, record, ids if all(ids) else ("", ""), into.resource)
    if call is not None:
        into.calls.append(call)
        return
    if name not in KEPT or not (all(ids) or name == EVALUATION):
        into.not_kept += 1
        return
    trace_id, span_id = ids if all(ids) else ("", "")
    into.kept.append(
        LogEvent(
            project=project,
            trace_id=trace_id,
            span_id=span_id,
            name=name,
            time_ns=min(record.time_unix_nano or record.observed_time_unix_nano, MAX_INT64),
            attributes=wire.attributes(record.attributes),
            body=wire.plain(record.body),
        )
    )


def _name_among(pairs: Iterable[KeyValue]) -> str:
    return next((pair.value.string_value for pair in pairs if pair.key in _NAME_KEYS), "")
