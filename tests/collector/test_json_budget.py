from __future__ import annotations

import subprocess
import sys

import pytest

from collector.dialects import normalise
from collector.json_budget import JsonBudget
from collector.raw import RawEvent
from tests.collector.dialects.spans import NANO, a_raw_span

MESSAGES = '[{"role": "user", "content": "What is the tide in Brest?"}]'
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": '["length"]'}


def test_json_within_the_budget_is_read() -> None:
    budget = JsonBudget(3)
    raw = a_raw_span(CHAT | {"gen_ai.input.messages": MESSAGES})
    assert budget.checked(raw) is raw
    assert (budget.spent, budget.refused) == (3, 0)


def test_json_beyond_the_budget_stays_text_and_the_rest_is_read() -> None:
    budget = JsonBudget(5)
    spans = [a_raw_span(CHAT | {"gen_ai.input.messages": MESSAGES}) for _ in range(2)]

    first, second = [normalise(budget.checked(raw), "p") for raw in spans]

    assert first.input == [{"role": "user", "content": "What is the tide in Brest?"}]
    assert second.input == [{"role": "user", "content": MESSAGES}]
    assert second.finish_reasons == ("length",)
    assert budget.refused == 1


@pytest.mark.parametrize("place", ["attribute", "list", "mapping", "event"])
def test_json_is_counted_wherever_it_stands(place: str) -> None:
    text = "[" + "{}," * 150
    value = {"list": [text], "mapping": {"a": [text]}}.get(place, text)
    event = RawEvent("e", NANO, {"x": value})
    raw = a_raw_span(events=(event,)) if place == "event" else a_raw_span({"x": value})
    budget = JsonBudget(100)

    budget.checked(raw)

    assert (budget.spent, budget.refused) == (0, 1)


_WORST = """
import resource, sys
from datetime import UTC, datetime
sys.path.insert(0, {root!r})
from collector.capture import Plan
from collector.intake import take_in
from collector.sender import Sender
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
request = ExportTraceServiceRequest()
spans = request.resource_spans.add().scope_spans.add().spans
for number in range(300):
    span = spans.add(trace_id=number.to_bytes(15) + b"x", span_id=b"12345678")
    for key, text in (("gen_ai.operation.name", "chat"), ("gen_ai.input.messages", {unit!r})):
        span.attributes.add(key=key).value.string_value = text
body = request.SerializeToString()
assert len(body) > 14 * 2**20
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
batch = take_in(body, json=False, encoding=None, sender=Sender("p"), plan=Plan(),
                received_at=datetime.now(UTC))
assert len(batch.calls) == 300, batch.rejected
print(peak() - before)
"""


@pytest.mark.parametrize("item", ["[]", "{}", '{"a":1}', "1.5", '"ab"', "[[[]]]"])
def test_a_request_full_of_json_takes_little_memory(item: str) -> None:
    unit = "[" + ",".join([item] * (50_000 // (len(item) + 1))) + "]"
    done = subprocess.run(
        [sys.executable, "-c", _WORST.format(root=".", unit=unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 250  # MiB; with all of it read it would be up to 1,000
