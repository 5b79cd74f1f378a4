"""What the simulated apps do is decided by the seed alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median

import pytest

from tidegauge.demo.traffic import (
    APPS,
    BILLING_BOT,
    CHECKOUT_BOT,
    SUPPORT_BOT,
    App,
    ModelCall,
    history,
    live,
)

UNTIL = datetime(2026, 1, 15, 12, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=2)


def before(app: App) -> list[ModelCall]:
    return [call for turn in history(app, 7, SINCE, UNTIL, 1.0) for call in turn.calls]


def after(app: App) -> list[ModelCall]:
    return [call for turn in islice(live(app, 7, UNTIL, 3.0), 500) for call in turn.calls]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_the_same_seed_gives_the_same_turns_and_another_seed_gives_others(app: App) -> None:
    first = list(history(app, 7, SINCE, UNTIL, 1.0))

    assert first == list(history(app, 7, SINCE, UNTIL, 1.0))
    assert first != list(history(app, 8, SINCE, UNTIL, 1.0))
    assert list(islice(live(app, 7, UNTIL, 3.0), 50)) == list(islice(live(app, 7, UNTIL, 3.0), 50))


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.service)
def test_turns_start_in_order_and_within_the_history(app: App) -> None:
    starts = [turn.calls[0].started_ns / 1e9 for turn in history(app, 7, SINCE, UNTIL, 1.0)]

    assert starts == sorted(starts)
    assert SINCE.timestamp() <= starts[0] <= starts[-1] <= UNTIL.timestamp()


@pytest.mark.parametrize(("app", "ratio"), [(CHECKOUT_BOT, 2.7), (BILLING_BOT, 0.69)])
def test_the_fault_changes_the_length_of_outputs(app: App, ratio: float) -> None:
    usual = median(call.output_tokens for call in before(app))
    now = median(call.output_tokens for call in after(app))

    assert now / usual == pytest.approx(ratio, rel=0.12)


def test_the_lower_limit_cuts_three_answers_in_ten_of_the_support_bot() -> None:
    cut = [call.truncated for call in after(SUPPORT_BOT)]
    usual = [call.truncated for call in before(SUPPORT_BOT)]

    assert sum(cut) / len(cut) == pytest.approx(0.30, abs=0.05)
    assert sum(usual) / len(usual) < 0.02
    assert all(call.output_tokens == 256 for call in after(SUPPORT_BOT) if call.truncated)


def test_the_silent_change_leaves_release_version_and_limit_as_they_were() -> None:
    old, new = BILLING_BOT.before, BILLING_BOT.after

    assert old.system != new.system
    assert (old.release, old.prompt_version, old.max_tokens) == (
        new.release,
        new.prompt_version,
        new.max_tokens,
    )


def test_about_one_call_in_two_hundred_fails() -> None:
    failed = [call.failed for app in APPS for call in before(app) + after(app)]

    assert 0.002 < sum(failed) / len(failed) < 0.01
