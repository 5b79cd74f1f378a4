"""Two hundred secrets, one in every place of what can be sent: none is stored, logged or exported."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psycopg
import pytest
import zstandard
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pysqlite3 import dbapi2 as sqlite

from bench.servers import Collector
from collector.patterns import is_luhn
from collector.redact import REDACTED
from tests.processes import until

NUMBER = 200
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def core(i: int) -> str:
    """Return letters and digits that no other secret has: what is looked for afterwards."""
    return (
        "".join(LETTERS[(i * 7 + k * k) % 26] + str((i + k) % 10) for k in range(10)) + f"{i:03d}"
    )


def card(i: int) -> str:
    start = f"4{i:03d}98765432{i:03d}"
    return next(start + digit for digit in "0123456789" if is_luhn(start + digit))


def dashed(number: str) -> str:
    return "-".join(number[at : at + 4] for at in range(0, 16, 4))


def jwt(i: int) -> str:
    # Its signature alone opens nothing, and stays where a name is read up to its last dot.
    return f"eyJ{core(i)}.eyJzdWIi{core(i)}.c2lnbmF0dXJl"


def basic(i: int) -> str:
    return "Basic " + base64.b64encode(f"user:{core(i)}".encode()).decode()


def pem(i: int) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{core(i)}\n-----END PRIVATE KEY-----"


# Each as it is sent. What is looked for is its core, or else all of it.
KINDS: tuple[Callable[[int], str], ...] = (
    lambda i: f"Bearer {core(i)}",
    lambda i: f"sk-proj-{core(i)}",
    lambda i: f"sk-ant-api03-{core(i)}",
    lambda i: f"ghp_{core(i)}abcdefghijklm",
    lambda i: f"github_pat_{core(i)}",
    lambda i: f"AKIA{core(i).upper()[-16:]}",
    lambda i: f"xoxb-{core(i)}",
    lambda i: f"AIza{core(i)}{core(i)}"[:39],
    jwt,
    basic,
    pem,
    card,
    lambda i: dashed(card(i)),
    lambda i: f"postgresql://tide:{core(i)}@db.example/tide",
    lambda i: f"Server=db;Password={core(i)};Encrypt=yes",
    lambda i: f'{{"api_key": "{core(i)}"}}',
    lambda i: f"{{'password': '{core(i)}'}}",
    lambda i: f"Cookie: sid={core(i)}",
    lambda i: f"OPENAI_API_KEY={core(i)}",
)


def looked_for(i: int) -> list[bytes]:
    """Return what of a secret must be nowhere."""
    sent = KINDS[i % len(KINDS)](i)
    found = {core(i), core(i).upper()[-16:], card(i), dashed(card(i)), basic(i).split()[1]}
    return [one.encode() for one in found if one in sent]


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def attribute(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=text(value))


Put = Callable[[Any, Span, str], None]  # the resource's spans, one span of it, a secret


def under(name: str, wrap: Callable[[str], str] = str) -> Put:
    def put(group: Any, span: Span, secret: str) -> None:
        del group
        span.attributes.append(attribute(name, wrap(secret)))

    return put


def of_resource(name: str) -> Put:
    def put(group: Any, span: Span, secret: str) -> None:
        del span
        kept = [one for one in group.resource.attributes if one.key != name]
        del group.resource.attributes[:]
        group.resource.attributes.extend([*kept, attribute(name, f"a {secret}")])

    return put


def message(secret: str) -> str:
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"it is {secret}"}]}])


def tool_call(secret: str) -> str:
    call = {"type": "tool_call", "name": "t", "arguments": json.dumps({"q": f"x {secret}"})}
    return json.dumps([{"role": "assistant", "parts": [call]}])


def event(span: Span, name: str, key: str, value: str) -> None:
    span.events.add(name=name, time_unix_nano=span.start_time_unix_nano + 1).attributes.append(
        attribute(key, value)
    )


def nested(span: Span, secret: str) -> None:
    outer = span.attributes.add(key="app.nested").value.kvlist_value
    inner = outer.values.add(key="list").value.array_value
    inner.values.append(text(f"deep {secret}"))


def key(span: Span, secret: str) -> None:
    span.attributes.append(attribute(f"app {secret}", "x"))


def link(span: Span, secret: str) -> None:
    span.links.add(trace_id=os.urandom(16), span_id=os.urandom(8)).attributes.append(
        attribute("link.note", secret)
    )


def name(span: Span, secret: str) -> None:
    span.name = f"chat {secret}"


def status(span: Span, secret: str) -> None:
    span.status.code = Status.STATUS_CODE_ERROR
    span.status.message = f"401: {secret}"


def scope(group: Any, secret: str) -> None:
    group.scope_spans[0].scope.name = f"scope {secret}"


def scope_attribute(group: Any, secret: str) -> None:
    group.scope_spans[0].scope.attributes.append(attribute("scope.note", secret))


def trace_state(span: Span, secret: str) -> None:
    span.trace_state = f"vendor={secret}"


def bare(secret: str) -> str:
    """Return the core of a secret, for a place whose name alone says what it is."""
    found = re.search(r"[a-z]\d[a-z]\d\w{12,}", secret, re.IGNORECASE)
    return found[0] if found else secret


PLACES: tuple[Put, ...] = (
    under("gen_ai.input.messages", message),
    under("gen_ai.output.messages", message),
    under("gen_ai.output.messages", tool_call),
    under("gen_ai.system_instructions", lambda s: json.dumps([{"type": "text", "content": s}])),
    under("gen_ai.tool.definitions", lambda s: json.dumps([{"name": "t", "description": s}])),
    under("gen_ai.prompt", lambda s: f"ask {s}"),
    under("app.note", lambda s: f"line\n{s}\nline"),
    under("app.json", lambda s: json.dumps({"body": json.dumps({"a": [s]})})),
    under("app.repr", lambda s: repr({"headers": [("x", s)]})),
    under("http.request.header.authorization", bare),
    under("app.client_secret", bare),
    under("gen_ai.request.stop_sequences"),
    under("gen_ai.request.model", lambda s: f"m {s}"),
    under("gen_ai.response.model", lambda s: f"m {s}"),
    under("gen_ai.response.id", lambda s: f"id {s}"),
    under("gen_ai.response.finish_reasons"),
    under("gen_ai.provider.name", lambda s: f"p {s}"),
    under("gen_ai.output.type", lambda s: f"o {s}"),
    under("gen_ai.prompt.name", lambda s: f"n {s}"),
    under("gen_ai.prompt.version", lambda s: f"v {s}"),
    under("gen_ai.agent.name", lambda s: f"a {s}"),
    under("gen_ai.conversation.id", lambda s: f"c {s}"),
    under("user.id", lambda s: f"u {s}"),
    under("error.type", lambda s: f"e {s}"),
    under("tidegauge.use_case", lambda s: f"case {s}"),
    of_resource("service.name"),
    of_resource("service.version"),
    of_resource("deployment.environment.name"),
    of_resource("telemetry.sdk.name"),
    of_resource("process.command_line"),
    of_resource("tidegauge.use_case"),
    lambda group, span, secret: scope(group, secret),
    lambda group, span, secret: scope_attribute(group, secret),
    lambda group, span, secret: name(span, secret),
    lambda group, span, secret: status(span, secret),
    lambda group, span, secret: nested(span, secret),
    lambda group, span, secret: key(span, secret),
    lambda group, span, secret: link(span, secret),
    lambda group, span, secret: trace_state(span, secret),
    lambda group, span, secret: event(span, "exception", "exception.message", f"E: {secret}"),
    lambda group, span, secret: event(span, "gen_ai.user.message", "content", f"E: {secret}"),
    lambda group, span, secret: event(span, f"note {secret}", "a", "b"),
)


def a_request(i: int) -> ExportTraceServiceRequest:
    """Return one model call with the secret number ``i`` in one place of it."""
    now = time.time_ns()
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(attribute("service.name", "shop"))
    span = group.scope_spans.add().spans.add(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name="chat",
        start_time_unix_nano=now - 2 * 10**9,
        end_time_unix_nano=now - 10**9,
    )
    span.attributes.append(attribute("gen_ai.operation.name", "chat"))
    if i % len(PLACES) not in (12, 16):
        span.attributes.append(attribute("gen_ai.request.model", "gpt-4o-mini"))
    PLACES[i % len(PLACES)](group, span, KINDS[i % len(KINDS)](i))
    return request


def as_json(request: Any) -> bytes:
    """Return OTLP's JSON, whose ids are hex."""

    def with_hex(value: Any) -> Any:
        if isinstance(value, list):
            return [with_hex(item) for item in value]
        if not isinstance(value, dict):
            return value
        ids = ("traceId", "spanId")
        return {
            name: base64.b64decode(item).hex() if name in ids else with_hex(item)
            for name, item in value.items()
        }

    return json.dumps(with_hex(MessageToDict(request))).encode()


def some_logs(numbers: range) -> ExportLogsServiceRequest:
    """Return events of the kind that tell a span's messages, each with a secret."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.append(attribute("service.name", "shop"))
    records = group.scope_logs.add().log_records
    for i in numbers:
        secret = KINDS[i % len(KINDS)](i)
        record = records.add(
            trace_id=os.urandom(16), span_id=os.urandom(8), time_unix_nano=time.time_ns()
        )
        record.event_name = ("gen_ai.user.message", "gen_ai.evaluation.result", "app.note")[i % 3]
        record.attributes.append(attribute("gen_ai.system", "openai"))
        if i % 2:
            record.body.kvlist_value.values.append(attribute("content", f"it is {secret}"))
        else:
            record.body.string_value = json.dumps({"content": f"it is {secret}"})
            record.attributes.append(attribute("gen_ai.evaluation.explanation", secret))
    return request


def a_metric(i: int) -> ExportMetricsServiceRequest:
    """Return a token counter whose service and model hold a secret."""
    secret = KINDS[i % len(KINDS)](i)
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.append(attribute("service.name", f"svc {secret}"))
    metric = group.scope_metrics.add().metrics.add(name="gen_ai.client.token.usage")
    metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    now = time.time_ns()
    point = metric.histogram.data_points.add(
        start_time_unix_nano=now - 10**10, time_unix_nano=now, count=1, sum=5.0
    )
    point.attributes.extend(
        [
            attribute("gen_ai.token.type", "input"),
            attribute("gen_ai.request.model", f"m {secret}"),
            attribute("gen_ai.operation.name", "chat"),
        ]
    )
    return request


def send_all(collector: Collector) -> None:
    """Send every secret: as protobuf, as JSON and over gRPC; some also where nothing is stored."""
    sender = f"agent/1 {KINDS[1](0)}"
    with (
        httpx.Client(
            base_url=f"http://{collector.http}", timeout=30, headers={"user-agent": sender}
        ) as http,
        grpc.insecure_channel(collector.grpc) as channel,
    ):
        spans: Any = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        logs: Any = LogsServiceStub(channel)  # type: ignore[no-untyped-call]
        for i in range(NUMBER):
            request = a_request(i)
            match i % 3:
                case 0:
                    assert post(http, "traces", request.SerializeToString()).is_success
                case 1:
                    assert post(http, "traces", as_json(request), "json").is_success
                case 2:
                    assert not spans.Export(request, timeout=30).partial_success.rejected_spans
        logs.Export(some_logs(range(0, NUMBER, 2)), timeout=30)
        assert post(http, "logs", as_json(some_logs(range(1, NUMBER, 2))), "json").is_success
        for i in range(len(KINDS)):
            assert post(http, "metrics", a_metric(i).SerializeToString()).is_success
            refuse(http, KINDS[i](i))


def post(http: httpx.Client, signal: str, body: bytes, kind: str = "x-protobuf") -> httpx.Response:
    return http.post(f"/v1/{signal}", content=body, headers={"content-type": f"application/{kind}"})


def refuse(http: httpx.Client, secret: str) -> None:
    """Send what is refused, with a secret in it: in a path, a header, bodies that are no OTLP."""
    plain = secret.replace("\n", " ")
    answers = [
        http.get("/v1/nothing", params={"api_key": plain}),
        http.post("/v1/traces", params={"key": plain}, content=b"{", headers={"x": plain}),
        http.post(
            "/v1/traces",
            content=b'{"resourceSpans": "' + secret.encode() + b'"}',
            headers={"content-type": "application/json"},
        ),
        http.post("/v1/traces", content=secret.encode(), headers={"content-encoding": plain[:20]}),
    ]
    assert all(answer.is_error for answer in answers)


def unpacked(value: object) -> Iterator[bytes]:
    """Yield a database's value as bytes, and what is compressed in it."""
    if value is None:
        return
    packed = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    yield packed
    for at in [found.start() for found in re.finditer(rb"\x28\xb5\x2f\xfd", packed)]:
        yield zstandard.ZstdDecompressor().decompressobj().decompress(packed[at:])


def sqlite_bytes(url: str) -> bytes:
    """Return the file, its log, and every value with what is compressed in it."""
    path = Path(url.removeprefix("sqlite:///"))
    found = [one.read_bytes() for one in path.parent.glob(f"{path.name}*")]
    assert any(one.name.endswith("-wal") for one in path.parent.iterdir())
    db = sqlite.connect(f"file:{path}?mode=ro", uri=True)
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for row in db.execute(f'SELECT * FROM "{table}"'):  # noqa: S608
            found += [part for value in row for part in unpacked(value)]
    db.close()
    return b"\n".join(found)


def postgres_bytes(url: str) -> bytes:
    found: list[bytes] = []
    with psycopg.connect(url) as db:
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables.fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"').fetchall():  # noqa: S608
                found += [part for value in row for part in unpacked(value)]
    return b"\n".join(found)


def exported(url: str) -> bytes:
    words = ["calls", "--all", "--format", "jsonl", "--limit", "1000", "--database-url", url]
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge", *words], capture_output=True, check=True, timeout=120
    )
    assert done.stdout.count(b"\n") == NUMBER
    return done.stdout + done.stderr


def analysed(url: str) -> bytes:
    """Return what the analyst says of it all; what it would send stands in the database then."""
    words = ["analyse", "--once", "--database-url", url]
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge", *words], check=False, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_secrets_are_two_hundred_and_all_different() -> None:
    wanted = [one for i in range(NUMBER) for one in looked_for(i)]

    assert len({KINDS[i % len(KINDS)](i) for i in range(NUMBER)}) == NUMBER
    assert len(set(wanted)) == len(wanted) >= NUMBER
    assert {i % len(PLACES) for i in range(NUMBER)} == set(range(len(PLACES)))
    for i in range(NUMBER):  # each is in what is sent: nothing is looked for in vain
        sent = a_request(i).SerializeToString()
        assert any(one in sent for one in looked_for(i)), i


@pytest.mark.slow
def test_no_secret_is_stored_logged_or_exported(url: str) -> None:
    with Collector(url, log_format="json") as collector:
        send_all(collector)
        output = analysed(url) + exported(url)
        stored = sqlite_bytes(url) if url.startswith("sqlite") else postgres_bytes(url)
        status_page = httpx.get(f"http://{collector.http}/metrics").content
        code, log = collector.stop()
    assert code == 0
    assert until(lambda: collector.process.poll() is not None)

    found = {
        (where, i): one
        for where, text_ in (
            ("database", stored), ("log", log.encode()), ("export", output), ("metrics", status_page),
        )
        for i in range(NUMBER)
        for one in looked_for(i)
        if one in text_
    }  # fmt: skip
    assert not found
    assert stored.count(REDACTED.encode()) > NUMBER / 2
