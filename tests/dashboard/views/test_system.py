"""System: is Tidegauge itself well?"""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import connect
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
    ledger, _audit, jobs, outbox, detectors, versions = (one.value for one in page.dataframe)
    assert list(ledger["Stored"]) == [420] * 3
    assert list(ledger["State"]) == ["▲ not all stored", "✓ all stored", "✓ all stored"]
    assert list(ledger["Rejected"]) == ["1 bad_span_id", "", ""]
    assert "Clock wrong" not in ledger  # nowhere anything else than 0
    assert [one.value.replace("\\", "") for one in page.success] == [
        "Claimed as stored: 1,260; in the table: 1,260. They agree."
    ]
    assert any("1 source sent what is not stored" in one.value for one in page.warning)
    assert any(one.value.endswith(": rejected: 1 bad_span_id") for one in page.text)
    assert any("whatever the filters say" in one.value for one in page.caption)
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


@pytest.mark.parametrize("days", ["1", "'not a number'"])
def test_what_is_erased_on_time_is_not_said_to_be_lost(
    show: Show, store: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, days: str
) -> None:
    # The spans of this hour go one after the other, while it is one of the page's last 24 hours.
    oldest = clock.floor(clock.now() - clock.DAY, clock.HOUR)
    with write(store) as db:
        ledger.record(db, oldest, {(Source("default", service="gone"), "accepted"): 5})
    assert any("5 are no longer there" in one.value for one in show("system").error)
    policy = tmp_path / "tidegauge.toml"
    policy.write_text(f"[projects.default]\ncontent_days = 1\nnumbers_days = {days}\n")
    settings = Settings(database_url=store.url.render_as_string(), policy_file=policy)
    monkeypatch.setattr(connect, "settings", lambda: settings)
    page = show("system")
    assert not page.exception
    assert not page.error
    assert any("They agree" in one.value for one in page.success)


def test_too_many_exporters_are_told(show: Show, store: Engine) -> None:
    with write(store) as db:
        many = Source("default", service=ledger.OTHER)
        ledger.record(db, clock.now(), {(many, "duplicate"): 1})
    page = show("system")
    assert any("More than 2,000 exporters" in one.value for one in page.warning)


def test_of_two_exporters_of_one_service_each_reason_stands_whole(
    show: Show, store: Engine
) -> None:
    http, grpc = (Source("default", "", "send-test", "", agent) for agent in ("otlp-http", "g-rpc"))
    unread = Source("default", user_agent="![x](http://evil.example/x.png)")
    counts = {(http, "rejected:bad_trace_id"): 1, (grpc, "rejected:bad_end_time"): 2}
    with write(store) as db:
        ledger.record(db, clock.now(), {**counts, (unread, "refused:bad_otlp"): 9})
    page = show("system")
    assert any("4 sources sent" in one.value for one in page.warning)
    (lines,) = (one.value.splitlines() for one in page.text if "rejected: " in one.value)
    assert lines[0].endswith("refused: 9 bad_otlp")
    assert lines[1] == "send-test · g-rpc: rejected: 2 bad_end_time"
    assert "send-test · otlp-http: rejected: 1 bad_trace_id" in lines


def test_many_sources_with_losses_are_not_all_written_out(show: Show, store: Engine) -> None:
    many = [Source("default", service=f"s{number}") for number in range(30)]
    with write(store) as db:
        ledger.record(db, clock.now(), {(one, "rejected:bad_span_id"): 5 for one in many})
    page = show("system")
    (told,) = (one.value for one in page.text if "rejected: " in one.value)
    assert told.splitlines()[-1] == "and 11 more sources"
    assert len(told.splitlines()) == 21


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
    assert list(tokens["By its metric"]) == ["1,000"]
    assert list(tokens["By its calls"]) == list(tokens["Calls / metric"]) == [""]
    assert "\x1b" not in tokens["Service"][0]
