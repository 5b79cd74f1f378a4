"""The demo's spans, read by the collector's own dialects: each number must arrive."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from collector.dialects import normalise
from collector.otlp import read_spans
from tests.world import NOON
from tidegauge.call import Audit, Call, NotCounted
from tidegauge.demo.spans import spans
from tidegauge.demo.traffic import (
    APPS,
    BILLING_BOT,
    CHECKOUT_BOT,
    SUPPORT_BOT,
    App,
    ModelCall,
    Turn,
    history,
    live,
)
from tidegauge.pricing import price

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
DIALECTS = {
    CHECKOUT_BOT.service: "genai",
    SUPPORT_BOT.service: "openinference",
    BILLING_BOT.service: "openllmetry",
}


def after(app: App) -> list[Turn]:
    """Return turns of the live traffic, which has the app's fault."""
    return list(islice(live(app, 7, AT, 3.0), 150))


def before(app: App) -> list[Turn]:
    return list(islice(history(app, 7, NOON - timedelta(days=1), NOON, 1.0), 20))


def finished(app: App, turns: Iterable[Turn]) -> list[ReadableSpan]:
    return [span for turn in turns for span in spans(app, turn)]


def received(app: App, turns: Iterable[Turn]) -> dict[str, Call]:
    """Return what the collector makes of the turns, by span id."""
    body = encode_spans(finished(app, turns)).SerializeToString()
    decoded = read_spans(body, json=False)
    assert not decoded.rejected
    calls = [price(normalise(raw, "default")) for raw in decoded.spans]
    return {call.span_id: call for call in calls}


def made(turns: Iterable[Turn]) -> list[ModelCall]:
    return [call for turn in turns for call in turn.calls]


def hex_of(call: ModelCall) -> str:
    return f"{call.span_id:016x}"


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_a_turn_is_one_wrapper_with_its_calls_inside(app: App) -> None:
    (turn,) = islice(live(app, 7, AT, 3.0), 1)

    *calls, wrapper = spans(app, turn)

    assert wrapper.parent is None
    assert len(calls) == len(turn.calls)
    for call in calls:
        assert call.parent is not None
        assert call.parent.span_id == wrapper.context.span_id
        assert (wrapper.start_time or 0) <= (call.start_time or 0)
        assert (call.end_time or 0) <= (wrapper.end_time or 0)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_every_span_has_an_id_of_its_own(app: App) -> None:
    ids = [(span.context.trace_id, span.context.span_id) for span in finished(app, after(app))]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_every_model_call_arrives_as_a_call_and_every_wrapper_does_not_count(app: App) -> None:
    turns = after(app)
    got = received(app, turns)

    counted = {span_id for span_id, call in got.items() if call.not_counted is None}
    wrappers = [call for call in got.values() if call.not_counted is NotCounted.WRAPPER]
    assert counted == {hex_of(call) for call in made(turns)}
    assert len(wrappers) == len(turns)
    assert all(call.output_tokens is None for call in wrappers)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_the_app_is_known_by_its_names_and_speaks_its_dialect(app: App) -> None:
    for call in received(app, after(app)).values():
        assert (call.service, call.environment) == (app.service, "production")
        assert call.service_version == app.after.release
        assert call.use_case == app.use_case
        if call.not_counted is None:
            assert call.dialect == DIALECTS[app.service]
            assert call.model == app.model


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_every_number_of_a_call_arrives(app: App) -> None:
    turns = after(app)
    got = received(app, turns)

    for sent in made(turns):
        call = got[hex_of(sent)]
        assert call.max_tokens == sent.setup.max_tokens
        assert call.duration_s == pytest.approx((sent.ended_ns - sent.started_ns) / 1e9, abs=1e-6)
        assert call.failed is sent.failed
        if sent.failed:
            assert call.error_type == "rate_limit"
            continue
        assert (call.input_tokens, call.output_tokens) == (sent.input_tokens, sent.output_tokens)
        assert call.tokens_audit is Audit.OK
        assert call.truncated is sent.truncated
        assert call.response_model == app.response_model
        assert call.cost_usd is not None
        assert call.cost_usd > 0
        if app.streaming:
            assert call.time_to_first_token_s == pytest.approx(sent.first_token_s)


def test_the_traffic_holds_failed_and_truncated_calls_to_read() -> None:
    calls = [call for app in APPS for call in made(after(app))]

    assert any(call.failed for call in calls)
    assert sum(call.truncated for call in made(after(SUPPORT_BOT))) > 50


def checksums(app: App, turns: Iterable[Turn]) -> set[str | None]:
    calls = received(app, turns).values()
    return {call.prompt_checksum for call in calls if call.not_counted is None}


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_the_prompt_has_one_checksum_that_changes_with_its_text_alone(app: App) -> None:
    old, new = checksums(app, before(app)), checksums(app, after(app))

    assert len(old) == len(new) == 1
    assert None not in old | new
    assert (old == new) is (app.before.system == app.after.system)


@pytest.mark.parametrize(
    ("app", "versions"),
    [(CHECKOUT_BOT, ("91", "92")), (SUPPORT_BOT, (None, None)), (BILLING_BOT, (None, None))],
    ids=lambda value: getattr(value, "service", ""),
)
def test_only_the_checkout_bot_names_the_version_of_its_prompt(
    app: App, versions: tuple[str | None, str | None]
) -> None:
    for turns, version in zip((before(app), after(app)), versions, strict=True):
        calls = received(app, turns).values()
        assert {c.prompt_version for c in calls if c.not_counted is None} == {version}
