"""System: is Tidegauge itself well?"""

from __future__ import annotations

import pytest

from dashboard.views.system import warnings_of
from tests.dashboard.conftest import Show
from tidegauge.settings import Settings


def test_ledger_jobs_outbox_detectors_and_versions_are_shown(show: Show) -> None:
    page = show("system")
    assert not page.exception
    ledger, jobs, outbox, detectors, versions = (one.value for one in page.dataframe)
    assert list(ledger["accepted"]) == [1260] * 5
    assert set(jobs["Job"]) == {"rollup", "detect", "deliver"}
    assert list(outbox["Waiting"]) == [1]
    moved = dict(zip(detectors["Detector"], detectors["Moved"], strict=True))
    assert moved == {"latency": 0, "truncation": 0, "output_tokens": 1}
    assert "current" in list(versions["Version"])


def test_a_database_without_anything_says_what_is_missing(show: Show, empty: str) -> None:
    page = show("system", url=empty)
    assert not page.exception
    told = " ".join(one.value for one in page.text)
    for words in ("No spans were received", "No job has run yet", "No detector has looked yet"):
        assert words in told


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
