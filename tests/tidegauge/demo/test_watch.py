"""Which message of on-call tells of which fault."""

from __future__ import annotations

from tidegauge.demo.receiver import Page
from tidegauge.demo.traffic import APPS, BILLING_BOT, CHECKOUT_BOT, SUPPORT_BOT, App
from tidegauge.demo.watch import Watch, explains


def page(
    app: App = CHECKOUT_BOT, kind: str = "alert.firing", at_s: float = 0.0, **data: str
) -> Page:
    usual = {
        "service": app.service,
        "rule": min(app.rules),
        "title": "",
        "likely_cause": f"... {app.cause} ...",
    }
    return Page({"type": kind, "data": usual | data}, at_s)


def test_a_page_counts_only_for_its_app_its_rule_and_with_the_cause_named() -> None:
    assert explains(page(), CHECKOUT_BOT)
    assert not explains(page(), SUPPORT_BOT)
    assert not explains(page(rule="errors"), CHECKOUT_BOT)
    assert not explains(page(likely_cause="No cause found."), CHECKOUT_BOT)
    assert not explains(page(kind="alert.resolved"), CHECKOUT_BOT)


def test_the_cause_may_also_stand_in_the_title() -> None:
    assert explains(page(BILLING_BOT, title="prompt changed", likely_cause=""), BILLING_BOT)


def test_the_first_message_of_a_fault_is_the_one_that_counts() -> None:
    watch = Watch(started_s=100.0)

    for at_s in (130.0, 190.0):
        watch.take(page(CHECKOUT_BOT, at_s=at_s))

    assert watch.messages == 2
    assert watch.after_s(watch.told[CHECKOUT_BOT.service]) == 30.0
    assert watch.missed == [app for app in APPS if app is not CHECKOUT_BOT]
