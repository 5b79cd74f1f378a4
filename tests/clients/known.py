"""The spans that every client sends, and what must stand in the store afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from collector.dialects.assemble import BESIDE
from tidegauge.call import Call, NotCounted
from tidegauge.store import spans
from tidegauge.store.engine import open_engine, read

BEGAN_NS = 1_767_225_600_123_456_789  # 2026-01-01, with digits for every unit
LASTED_NS = 1_500_250_000
BYTES = "00ff10"

RESOURCE = {"service.version": "1.4.2", "deployment.environment.name": "staging"}
APP = {
    "app.text": "Grüße, 世界 🌍",
    "app.empty": "",
    "app.whole": 2**53 - 1,  # the largest that JavaScript keeps
    "app.negative": -7,
    "app.double": 0.1,
    "app.tiny": 5e-324,
    "app.true": True,
    "app.false": False,
    "app.texts": ["a", "世"],
    "app.wholes": [1, -2],
    "app.doubles": [0.5, 1e300],
    "app.bools": [True, False],
}
GEN_AI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.25,
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 34,
    "gen_ai.response.finish_reasons": ["stop"],
}


def options(*, with_bytes: bool) -> dict[str, Any]:
    """Return what a client has to be told; times as text, since JavaScript would round them."""
    return {
        "began_ns": str(BEGAN_NS),
        "ended_ns": str(BEGAN_NS + LASTED_NS),
        "resource": RESOURCE,
        "attributes": {**GEN_AI, **APP},
        "bytes": BYTES if with_bytes else "",
    }


def stored(url: str, trace_id: str) -> list[Call]:
    """Return the spans of a trace that are in a database."""
    engine = open_engine(url)
    with read(engine) as db:
        found = list(spans.trace(db, "default", trace_id))
    engine.dispose()
    return found


def check(found: list[Call], service: str, *, with_bytes: bool) -> None:
    """Raise AssertionError where the stored spans differ from those that were sent."""
    assert len(found) == 2
    agent, chat = sorted(found, key=lambda call: call.parent_span_id is not None)
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=123_456)
    for call in (agent, chat):
        assert (call.started_at, call.duration_s, call.clock_invalid) == (began, 1.50025, False)
        assert (call.service, call.service_version) == (service, "1.4.2")
        assert call.environment == "staging"
    assert (agent.name, agent.parent_span_id) == ("invoke_agent shop", None)
    assert agent.not_counted is NotCounted.WRAPPER
    check_chat(chat, agent)
    sent = {**APP, "app.bytes": "AP8Q"} if with_bytes else APP
    assert {key: chat.attributes.get(key) for key in sent} == sent
    check_beside(chat.attributes[BESIDE], service)


def check_chat(chat: Call, agent: Call) -> None:
    assert (chat.name, chat.parent_span_id) == ("chat gpt-4o", agent.span_id)
    assert chat.trace_id == agent.trace_id
    assert (chat.provider, chat.request_model, chat.temperature) == ("openai", "gpt-4o", 0.25)
    assert (chat.input_tokens, chat.output_tokens) == (120, 34)
    assert chat.finish_reasons == ("stop",)
    assert chat.failed


def check_beside(beside: dict[str, Any], service: str) -> None:
    assert beside["scope"] == {"name": "known.client", "version": "1.2.3"}
    assert beside["kind"] == 3
    assert beside["links"] == 1
    assert beside["status"] == {"code": 2, "message": "kaputt: 壊れた"}
    (event,) = beside["events"]
    assert event == {
        "name": "cache.miss",
        "time_ns": BEGAN_NS + 1_000,
        "attributes": {"tries": 2, "keys": ["a", "ß"]},
    }
    assert beside["resource"]["service.name"] == service
    assert beside["resource"].items() >= RESOURCE.items()
