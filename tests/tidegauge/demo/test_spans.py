"""The demo's spans, read by the collector's own dialects: each number must arrive."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from tidegauge.demo.spans import spans
from tidegauge.demo.traffic import APPS, SUPPORT_BOT, App, live

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)


def some(app: App) -> list[ReadableSpan]:
    return [span for turn in islice(live(app, 7, AT, 3.0), 30) for span in spans(app, turn)]


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
    ids = [(span.context.trace_id, span.context.span_id) for span in some(app)]

    assert len(set(ids)) == len(ids)


def test_the_release_of_the_support_bot_is_in_its_resource() -> None:
    releases = {span.resource.attributes["service.version"] for span in some(SUPPORT_BOT)}

    assert releases == {SUPPORT_BOT.after.release}
