from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.alert_world import MIN, an_alert, fires, resolves, updates
from tidegauge.alert import Notice, State
from tidegauge.store import alerts, outbox
from tidegauge.store.alerts import Waiting
from tidegauge.store.engine import BadValue, Engine, read, write


def opened(engine: Engine, at: datetime) -> Notice:
    """Write one firing alert with one endpoint to tell."""
    notice = fires(an_alert(at), at)
    with write(engine) as db:
        outbox.register(db, {"webhook": "hash"})
        alerts.open_alert(db, notice)
    return notice


def whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def test_an_alert_comes_back_as_it_was_written(engine: Engine, now: datetime) -> None:
    notice = opened(engine, now)

    with read(engine) as db:
        assert alerts.get(db, notice.alert.alert_id) == notice.alert
        assert alerts.list_alerts(db) == [notice.alert]
        assert alerts.list_alerts(db, State.RESOLVED) == []
        assert alerts.get(db, "A-none") is None


def test_an_alert_its_event_and_its_message_are_one_transaction(
    engine: Engine, now: datetime
) -> None:
    notice = fires(an_alert(now), now)

    class Crash(Exception):
        pass

    with pytest.raises(Crash), write(engine) as db:  # noqa: PT012
        outbox.register(db, {"webhook": "hash"})
        alerts.open_alert(db, notice)
        assert alerts.deliveries(db, notice.alert.alert_id)
        raise Crash

    with read(engine) as db:
        assert alerts.list_alerts(db) == []
        assert alerts.events(db, notice.alert.alert_id) == []
        assert alerts.deliveries(db, notice.alert.alert_id) == []


def test_a_fingerprint_has_at_most_one_open_alert(engine: Engine, now: datetime) -> None:
    opened(engine, now)
    later = now + MIN

    with pytest.raises(BadValue), write(engine) as db:
        alerts.open_alert(db, fires(an_alert(later, sequence=2), later))


def test_a_fingerprint_whose_alert_is_over_may_fire_again_with_a_higher_sequence(
    engine: Engine, now: datetime
) -> None:
    first = opened(engine, now).alert
    with write(engine) as db:
        alerts.change_alert(db, first, resolves(first, now + MIN), told=True)
        sequence = alerts.next_sequence(db, first.fingerprint)
        later = now + 2 * MIN
        alerts.open_alert(db, fires(an_alert(later, sequence=sequence), later))

    assert sequence == 3
    with read(engine) as db:
        states = [one.state for one in alerts.list_alerts(db)]
    assert states == [State.FIRING, State.RESOLVED]


def test_a_person_can_take_an_alert_and_the_endpoints_hear_of_it(
    engine: Engine, now: datetime
) -> None:
    alert = opened(engine, now).alert
    with write(engine) as db:
        taken = alerts.acknowledge(db, alert.alert_id, "Ana", now + MIN)

    assert taken is not None
    with read(engine) as db:
        found = alerts.get(db, alert.alert_id)
        events = alerts.events(db, alert.alert_id)
        kinds = [one.kind for one in alerts.deliveries(db, alert.alert_id)]
    assert found == taken
    assert (taken.state, taken.acknowledged_by) == (State.ACKNOWLEDGED, "Ana")
    assert [(one.kind, one.by) for one in events] == [("firing", None), ("acknowledged", "Ana")]
    assert kinds == ["alert.firing", "alert.acknowledged"]


def test_an_alert_is_taken_once(engine: Engine, now: datetime) -> None:
    alert = opened(engine, now).alert
    with write(engine) as db:
        assert alerts.acknowledge(db, alert.alert_id, "Ana", now) is not None
        assert alerts.acknowledge(db, alert.alert_id, "Ben", now) is None
        assert alerts.acknowledge(db, "A-none", "Ben", now) is None


def test_a_decision_on_an_alert_that_was_taken_meanwhile_is_not_written(
    engine: Engine, now: datetime
) -> None:
    alert = opened(engine, now).alert
    with write(engine) as db:
        alerts.acknowledge(db, alert.alert_id, "Ana", now)
        assert not alerts.change_alert(db, alert, updates(alert, now + MIN), told=True)

    with read(engine) as db:
        found = alerts.get(db, alert.alert_id)
        assert found is not None
        assert found.state is State.ACKNOWLEDGED
        assert len(alerts.deliveries(db, alert.alert_id)) == 2


def test_a_change_that_is_not_told_leaves_no_message(engine: Engine, now: datetime) -> None:
    alert = opened(engine, now).alert
    calm = replace(alert, calm_since=now)
    with write(engine) as db:
        assert alerts.change_alert(db, alert, fires(calm, now), told=False)

    with read(engine) as db:
        assert alerts.get(db, alert.alert_id) == calm
        assert len(alerts.events(db, alert.alert_id)) == 1


def test_alerts_that_ended_long_ago_are_not_current(engine: Engine, now: datetime) -> None:
    alert = opened(engine, now).alert
    with write(engine) as db:
        alerts.change_alert(db, alert, resolves(alert, now), told=True)

    with read(engine) as db:
        assert len(alerts.current(db, now - timedelta(hours=1))) == 1
        assert alerts.current(db, now + timedelta(hours=1)) == []


def test_what_is_pending_is_replaced_as_a_whole(engine: Engine, now: datetime) -> None:
    at = whole(now)
    rows = [Waiting(fingerprint=name, since=at, counted=at, windows=1) for name in ("a", "b")]
    with write(engine) as db:
        alerts.write_pending(db, rows)
        alerts.write_pending(db, rows[1:])
        assert alerts.read_pending(db) == rows[1:]
        alerts.write_pending(db, [])
        assert alerts.read_pending(db) == []
