from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from collector.limits import BadOtlp, TooLarge
from collector.otlp_metrics import read
from collector.wire import Group
from tests.collector import signals_corpus
from tidegauge.token_count import TokenCount, TokenType

USAGE = "gen_ai.client.token.usage"
DELTA, CUMULATIVE = 1, 2


def request(*metrics: Metric, service: str = "shop") -> bytes:
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    scope = group.scope_metrics.add()
    scope.scope.name = "sdk"
    scope.metrics.extend(metrics)
    return made.SerializeToString()


def histogram(
    value: float | None = 26.0,
    *,
    name: str = USAGE,
    temporality: int = CUMULATIVE,
    began: int = 10,
    until: int = 20,
    flags: int = 0,
    **attributes: str,
) -> Metric:
    made = Metric(name=name)
    made.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    point = made.histogram.data_points.add(
        start_time_unix_nano=began, time_unix_nano=until, count=1, flags=flags
    )
    if value is not None:
        point.sum = value
    told = {"type": "input", "request_model": "gpt-4o-mini", **attributes}
    keys = {"type": "gen_ai.token.type", "request_model": "gen_ai.request.model"}
    for name_, text in told.items():
        point.attributes.add(key=keys.get(name_, name_)).value.string_value = text
    return made


def only(*metrics: Metric) -> Group[TokenCount]:
    (group,) = read(request(*metrics), "p", json=False)
    return group


def of_corpus(file: str) -> list[TokenCount]:
    groups = read(signals_corpus.body(file), "p", json=False)
    assert all(group.rejected == [] for group in groups)
    return [count for group in groups for count in group.kept]


def test_a_point_says_who_used_how_many_tokens_of_what() -> None:
    (count,) = only(histogram()).kept
    assert (count.project, count.service, count.type) == ("p", "shop", TokenType.INPUT)
    assert (count.request_model, count.response_model) == ("gpt-4o-mini", None)
    assert (count.began_ns, count.until_ns, count.tokens) == (10, 20, 26)


def test_a_stream_is_a_resource_a_scope_a_metric_and_its_attributes() -> None:
    first, again, other_type, other_tag = (
        only(one).kept[0]
        for one in (
            histogram(),
            histogram(40.0, until=30),
            histogram(type="output"),
            histogram(server="b"),
        )
    )
    assert first.stream == again.stream
    assert len({first.stream, other_type.stream, other_tag.stream}) == 3
    (elsewhere,) = read(request(histogram(), service="bot"), "p", json=False)[0].kept
    assert elsewhere.stream != first.stream
    assert elsewhere.instance != first.instance == other_type.instance


@pytest.mark.parametrize(
    ("file", "tokens"),
    [
        ("otel-openai-v2/chat_tools.metrics-1.bin", {"input": 95, "output": 30}),
        ("traceloop-openai/chat_basic.metrics-1.bin", {"input": 26, "output": 15}),
        ("openlit/chat_basic.metrics-1.bin", {"input": 26, "output": 15}),
        ("google-adk/agent_tools.metrics-1.bin", {"input": 90, "output": 30}),
        ("otel-genai-openai/chat_length_exphist_gzip.metrics-1.bin", {"input": 29, "output": 22}),
    ],
)
def test_real_metrics_hold_the_tokens_that_were_used(file: str, tokens: dict[str, int]) -> None:
    assert {count.type: count.tokens for count in of_corpus(file)} == tokens


def test_the_new_counters_and_histograms_are_read_too() -> None:
    counts = of_corpus("semconv-events-synthetic/server_metrics.metrics-1.bin")
    found = {(count.metric.split()[-1], count.type.value): count.tokens for count in counts}
    assert found == {
        ("gen_ai.client.inference.usage.input_tokens", "input"): 40,
        ("gen_ai.client.inference.usage.output_tokens", "output"): 17,
        ("gen_ai.client.inference.operation.input_tokens", "input"): 40,
    }


def test_two_providers_that_export_one_stream_export_the_same_point() -> None:
    one = of_corpus("openlit/chat_basic.metrics-1.bin")
    two = of_corpus("openlit/chat_basic.metrics-2.bin")
    assert [(c.stream, c.began_ns, c.tokens) for c in one] == [
        (c.stream, c.began_ns, c.tokens) for c in two
    ]


@pytest.mark.parametrize(
    "metric",
    [
        histogram(name="http.client.duration"),
        histogram(type="cache_read"),
        histogram(flags=1, value=None),  # the stream has ended
        Metric(name=USAGE, gauge={"data_points": [{"time_unix_nano": 5, "as_int": 3}]}),  # type: ignore[arg-type]
        Metric(name=USAGE, summary={"data_points": [{"time_unix_nano": 5, "sum": 3}]}),  # type: ignore[arg-type]
    ],
)
def test_any_other_metric_is_counted(metric: Metric) -> None:
    group = only(metric)
    assert (group.kept, group.not_kept, group.rejected) == ([], 1, [])


@pytest.mark.parametrize("name", [USAGE, "http.client.duration"])
def test_o39_a_point_without_a_time_is_rejected(name: str) -> None:
    group = only(histogram(until=0, name=name), histogram())
    assert (len(group.kept), len(group.rejected)) == (1, 1)
    assert "timeUnixNano" in group.rejected[0]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, 1e300, None])
def test_o13_a_count_that_is_none_is_rejected_alone(value: float | None) -> None:
    group = only(histogram(value), histogram())
    assert (len(group.kept), len(group.rejected)) == (1, 1)


@pytest.mark.parametrize("value", [1e300, 2.0**63, 1e12 + 1])
def test_a_count_that_is_too_large_is_told_so(value: float) -> None:
    assert only(histogram(value)).rejected == [
        "a count of tokens must be at most 1,000,000,000,000"
    ]
    assert only(histogram(1e12)).kept[0].tokens == 10**12


def test_a_whole_number_that_is_too_large_is_told_so() -> None:
    made = Metric(name="gen_ai.client.inference.usage.input_tokens")
    made.sum.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
    made.sum.is_monotonic = True
    made.sum.data_points.add(time_unix_nano=5, as_int=2**63 - 1)
    assert "at most" in only(made).rejected[0]


def test_a_temporality_must_be_named() -> None:
    assert len(only(histogram(temporality=0)).rejected) == 1


def test_a_delta_without_a_start_is_a_stream_of_its_own() -> None:
    (one, two) = only(
        histogram(temporality=DELTA, began=0, until=20),
        histogram(temporality=DELTA, began=0, until=30),
    ).kept
    assert (one.began_ns, two.began_ns) == (20, 30)


def test_a_start_after_the_end_is_the_end() -> None:
    assert only(histogram(began=99)).kept[0].began_ns == 20


@pytest.mark.parametrize(
    ("body", "json"), [(b"", False), (b"{}", True), (b'{"resourceMetrics":[]}', True)]
)
def test_o12_an_empty_request_holds_nothing(body: bytes, json: bool) -> None:
    assert read(body, "p", json=json) == []


@pytest.mark.parametrize(
    ("body", "json"),
    [
        (request(histogram())[:-1], False),
        (b"nonsense", False),
        (b"{", True),
        (b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":3}]}]}]}', True),
        (b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":3}]}]}', True),
    ],
)
def test_o17_what_is_no_request_is_refused(body: bytes, json: bool) -> None:
    with pytest.raises(BadOtlp):
        read(body, "p", json=json)


def test_json_and_protobuf_say_the_same() -> None:
    files = signals_corpus.files("metrics")
    assert len(files) > 5
    for file in files:
        body = signals_corpus.body(file)
        message = ExportMetricsServiceRequest.FromString(body)
        for enums_as_ints in (True, False):  # names are not valid OTLP, and some send them
            told: Any = MessageToDict(message, use_integers_for_enums=enums_as_ints)
            for resource in told["resourceMetrics"]:
                for scope in resource["scopeMetrics"]:
                    for metric in scope["metrics"]:
                        metric["newField"] = {"a": 1}
            found = read(json.dumps(told).encode(), "p", json=True)
            assert found == read(body, "p", json=False), file


def test_o13_a_json_point_of_the_wrong_form_is_rejected_alone() -> None:
    good = {
        "timeUnixNano": "20",
        "startTimeUnixNano": "10",
        "sum": 5,
        "attributes": [{"key": "gen_ai.token.type", "value": {"stringValue": "output"}}],
    }
    points = [good, {**good, "timeUnixNano": "x"}, {**good, "sum": "many"}, 3]
    metric = {"name": USAGE, "histogram": {"dataPoints": points, "aggregationTemporality": 2}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    (group,) = read(json.dumps(body).encode(), "p", json=True, most=4)
    assert [count.tokens for count in group.kept] == [5]
    assert len(group.rejected) == 3
    with pytest.raises(TooLarge):
        read(json.dumps(body).encode(), "p", json=True, most=3)
