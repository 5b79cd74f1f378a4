"""Overview: is something wrong?"""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.dashboard import world
from tests.dashboard.conftest import Show
from tests.world import a_call
from tidegauge.store import alerts, jobs, spans
from tidegauge.store.engine import Engine, open_engine, write


def test_the_worst_alert_is_the_first_sentence(show: Show) -> None:
    page = show("overview")
    assert not page.exception
    assert page.title[0].value == "Overview"
    assert "outputs are 2\\.7x longer than usual" in page.error[0].value


def test_five_numbers_stand_beside_those_of_a_week_earlier(show: Show) -> None:
    page = show("overview")
    titles = [metric.label for metric in page.metric]
    assert titles == [
        *("Requests per hour", "Errors", "Latency, p95".replace(",", ",")),
        *("Output tokens, p95", "Cut answers"),
    ]
    assert all(metric.delta for metric in page.metric)


def test_the_alert_s_signal_is_drawn_beside_latency(show: Show) -> None:
    page = show("overview")
    headings = [one.value for one in page.markdown if one.value.startswith("**")]
    assert [heading.split("**")[1] for heading in headings] == ["Output tokens", "Latency"]
    assert len(page.get("plotly_chart")) == 2


def test_every_service_has_a_row_with_its_state(show: Show) -> None:
    table = show("overview").dataframe[0].value
    states = dict(zip(table["Service"], table["State"], strict=True))
    assert states == {"checkout-bot": "▲ firing", "search": "✓ usual", "digest": "✓ usual"}


def test_a_filter_leaves_only_its_service(show: Show) -> None:
    page = show("overview", service="search")
    assert list(page.dataframe[0].value["Service"]) == ["search"]
    assert not page.error
    assert "Nothing is firing" in page.success[0].value


def test_an_acknowledged_alert_is_shown_as_taken(
    show: Show, store: Engine, moment: datetime
) -> None:
    with write(store) as db:
        one = alerts.list_alerts(db)[0]
        alerts.acknowledge(db, one.alert_id, "ben", moment)
    page = show("overview")
    assert not page.error
    assert page.warning[0].value.endswith("taken by ben")


def test_without_spans_the_page_says_what_to_paste(show: Show, empty: str) -> None:
    page = show("overview", url=empty)
    assert not page.exception
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318" in page.code[0].value


def test_a_page_up_to_date_has_no_amber_bar(show: Show) -> None:
    assert not show("overview").warning


def test_a_page_that_nobody_feeds_or_watches_says_so(
    show: Show, sqlite_url: str, moment: datetime, empty: str
) -> None:
    old = moment - timedelta(hours=2)
    engine = open_engine(empty)
    with write(engine) as db:
        spans.insert(db, [a_call(started_at=old)], received_at=old)
        world.rollups.register(db, [world.BOT], old)
        jobs.start(db, "detect", old)
        jobs.finish(db, "detect", old, old, looked_at=1)
    engine.dispose()
    (warning,) = show("overview", url=empty).warning
    assert "the last span came 2 h ago" in warning.value
    assert "the detectors last looked 2 h ago" in warning.value


def test_a_database_that_does_not_answer_is_said_in_words(show: Show, tmp_path: object) -> None:
    page = show("overview", url=f"sqlite:///{tmp_path}/not-migrated.db")
    assert not page.exception
    assert "does not answer" in page.error[0].value
