"""Alerts: is this alert real?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dashboard.parts import named_range
from dashboard.runbooks import RUNBOOKS
from tests.dashboard.conftest import Show
from tests.world import NOON
from tidegauge.alert import PROMPT, Notice, State
from tidegauge.finding import Signal
from tidegauge.store import alerts
from tidegauge.store.engine import Engine, read, write


@pytest.fixture
def alert_id(store: Engine) -> str:
    with read(store) as db:
        return alerts.list_alerts(db)[0].alert_id


def test_the_list_holds_the_open_alert(show: Show) -> None:
    page = show("alerts")
    assert not page.exception
    assert any("outputs are 2\\.7x longer" in one.value for one in page.markdown)


def test_a_filter_without_alerts_says_when_was_last_looked(show: Show) -> None:
    page = show("alerts", service="digest")
    assert "0 firing" in page.success[0].value
    assert "9 signals on 3 services" in page.success[0].value


def test_a_deep_link_opens_one_alert_with_all_that_is_known(show: Show, alert_id: str) -> None:
    page = show("alerts", alert=alert_id)
    assert not page.exception
    assert page.title[0].value == "checkout\\-bot\\: outputs are 2\\.7x longer than usual"
    told = [one.value for one in page.text]
    assert any("version 91 to 92" in text for text in told)
    timeline, deliveries, samples = (one.value for one in page.dataframe)
    evidence = [one.value for one in page.markdown if one.value.startswith("Output tokens")]
    assert evidence == ["Output tokens: **1,140 \\| 430 usual**"]
    assert list(timeline["What"]) == ["firing"]
    assert list(deliveries["To"]) == ["oncall"]
    assert set(samples["Service"]) == {"checkout-bot"}
    assert len(page.get("plotly_chart")) == 2


def test_opening_an_alert_changes_nothing(show: Show, alert_id: str, store: Engine) -> None:
    show("alerts", alert=alert_id)
    show("alerts", alert=alert_id, do="acknowledge")
    with read(store) as db:
        one = alerts.get(db, alert_id)
    assert one is not None
    assert one.state is State.FIRING


def test_acknowledging_takes_the_alert_by_the_reviewer_s_name(
    show: Show, alert_id: str, store: Engine
) -> None:
    page = show("alerts", alert=alert_id)
    page.button(key="acknowledge").click().run()
    with read(store) as db:
        one = alerts.get(db, alert_id)
    assert one is not None
    assert (one.state, one.acknowledged_by) == (State.ACKNOWLEDGED, "ana")
    assert "Acknowledged by ana" in [caption.value for caption in page.caption]
    with pytest.raises(KeyError):
        page.button(key="acknowledge")


def test_an_alert_that_is_not_there_is_said_in_words(show: Show, moment: datetime) -> None:
    page = show("alerts", alert="A-![x](http://evil/x.png)")
    assert not page.exception
    assert page.title[0].value == "Alert not found"


@pytest.mark.parametrize("asked_for", [True, False])
def test_the_runbook_of_a_link_is_open_else_it_is_folded(
    show: Show, alert_id: str, asked_for: bool
) -> None:
    page = show("alerts", alert=alert_id, **({"show": "runbook"} if asked_for else {}))
    (folded,) = (one for one in page.expander if one.label.startswith("Runbook"))
    assert folded.proto.expanded is asked_for
    assert "max\\_tokens" in folded.markdown[2].value or "max_tokens" in folded.markdown[2].value


def test_every_rule_has_a_runbook() -> None:
    assert set(RUNBOOKS) == {*Signal, PROMPT}


def test_a_silence_link_says_that_there_are_none_yet_and_changes_nothing(
    show: Show, alert_id: str
) -> None:
    page = show("alerts", alert=alert_id, do="silence")
    assert "no silences yet" in page.info[0].value


def test_an_old_alert_that_fires_is_not_hidden_by_newer_ones_that_are_over(
    show: Show, alert_id: str, store: Engine
) -> None:
    with write(store) as db:
        one = alerts.get(db, alert_id)
        assert one is not None
        for n in range(201):
            over = replace(
                one,
                alert_id=f"A-{n:012x}",
                fingerprint=f"{n:012x}",
                state=State.RESOLVED,
                opened_at=one.opened_at + timedelta(seconds=n + 1),
                ends_at=one.opened_at + timedelta(seconds=n + 2),
            )
            alerts.open_alert(db, Notice(kind="alert.firing", at=NOON, reason="", alert=over))
    page = show("alerts")
    assert not any("0 firing" in text.value for text in page.success)
    assert any("outputs are 2\\.7x longer" in text.value for text in page.markdown)


@pytest.mark.parametrize(
    ("since", "until"),
    [("0001-01-01T00:00:00+05:00", "0001-01-02T00:00:00+05:00"), ("soon", "later"), ("", "")],
)
def test_a_range_that_is_no_time_is_ignored(since: str, until: str) -> None:
    assert named_range(since, until, NOON) is None
