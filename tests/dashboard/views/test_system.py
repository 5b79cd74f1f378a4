"""System: is Tidegauge itself well?"""

from __future__ import annotations

import pytest

from dashboard.views.system import warnings_of
from tests.dashboard.conftest import Show
from tidegauge import clock
from tidegauge.settings import Settings
from tidegauge.source import Source
from tidegauge.store import ledger, token_metrics
from tidegauge.store.engine import Engine, write
from tidegauge.store.rows import to_ns
from tidegauge.token_count import TokenCount, TokenType


def test_ledger_jobs_outbox_detectors_and_versions_are_shown(show: Show) -> None:
    page = show("system")
    assert not page.exception
    ledger, jobs, outbox, detectors, versions = (one.value for one in page.dataframe)
    assert list(ledger["Stored"]) == [420] * 3
    assert list(ledger["State"]) == ["▲ not all stored", "✓ all stored", "✓ all stored"]
    assert list(ledger["Rejected"]) == ["1 bad_span_id", "", ""]
    assert "Clock wrong" not in ledger  # nowhere anything else than 0
    assert [one.value.replace("\\", "") for one in page.success] == [
        "Claimed as stored: 1,260; in the table: 1,260. They agree."
    ]
    assert any("1 source sent what is not stored" in one.value for one in page.warning)
    assert set(jobs["Job"]) == {"rollup", "detect", "deliver"}
    assert list(outbox["Waiting"]) == [1]
    moved = dict(zip(detectors["Detector"], detectors["Moved"], strict=True))
    assert moved == {"latency": 0, "truncation": 0, "output_tokens": 1}
    assert "current" in list(versions["Version"])


def test_a_database_without_anything_says_what_is_missing(show: Show, empty: str) -> None:
    page = show("system", url=empty)
    assert not page.exception
    told = " ".join(one.value for one in page.text)
    for words in ("Last span received: never", "No job has run yet", "No detector has looked yet"):
        assert words in told


def test_spans_that_are_gone_are_marked(show: Show, store: Engine) -> None:
    with write(store) as db:
        db.exec_driver_sql("DELETE FROM span WHERE service = 'search'")
    page = show("system")
    assert not page.exception
    assert [one.value for one in page.error if "420 are no longer there" in one.value]
    assert not page.success


def test_too_many_exporters_are_told(show: Show, store: Engine) -> None:
    with write(store) as db:
        many = Source("default", service=ledger.OTHER)
        ledger.record(db, clock.now(), {(many, "duplicate"): 1})
    page = show("system")
    assert any("More than 2,000 exporters" in one.value for one in page.warning)


def test_a_day_without_spans_says_when_the_last_one_came(show: Show, store: Engine) -> None:
    with write(store) as db:
        db.exec_driver_sql("DELETE FROM ingest_count")
    page = show("system")
    assert not page.exception
    assert any("the last one came" in one.value for one in page.text)
    assert any("tidegauge send-test" in one.value for one in page.code)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(host="0.0.0.0"), "no login"),  # noqa: S104 (what the warning is about)
        (Settings(), "Nobody is told"),
        (Settings(webhook_url="http://pager.example/hook"), "unencrypted"),
    ],
)
def test_a_setting_that_an_operator_should_know_of_is_told(settings: Settings, words: str) -> None:
    assert any(words in warning for warning in warnings_of(settings))


def test_safe_settings_have_no_warning() -> None:
    assert warnings_of(Settings(webhook_url="https://pager.example/hook")) == []


def test_tokens_of_metrics_stand_beside_those_of_the_calls(show: Show, store: Engine) -> None:
    before = len(show("system").dataframe)
    now = clock.now()
    with write(store) as db:
        token_metrics.record(
            db,
            [
                TokenCount(
                    project="default",
                    instance=b"i",
                    stream=b"s",
                    began_ns=to_ns(now),
                    until_ns=to_ns(now),
                    tokens=1_000,
                    service="a\x1b[31mshop",
                    request_model="gpt-4o-mini",
                    response_model=None,
                    type=TokenType.INPUT,
                    metric="m",
                )
            ],
        )
    page = show("system")
    assert not page.exception
    assert len(page.dataframe) == before + 1
    tokens = page.dataframe[1].value
    assert list(tokens["By its metric"]) == [1_000]
    assert list(tokens["Calls / metric"]) == ["0.0%"]
    assert "\x1b" not in tokens["Service"][0]
