from __future__ import annotations

from datetime import datetime, timedelta

from tests.alert_world import MIN, an_alert, fires, resolves, updates
from tidegauge.alert import Notice
from tidegauge.store import outbox
from tidegauge.store.engine import Connection, Engine, read, write
from tidegauge.store.outbox import LEASE_S, Attempt, Message

REFUSED = Attempt(status=503, error="status 503", answer="busy", answered=True)
NO_ANSWER = Attempt(status=None, error="no answer", answer=None, answered=False)


def put(engine: Engine, *notices: Notice, endpoints: tuple[str, ...] = ("webhook",)) -> None:
    with write(engine) as db:
        outbox.register(db, dict.fromkeys(endpoints, "hash"))
        for notice in notices:
            outbox.enqueue(db, notice)


def take(engine: Engine, at: datetime) -> Message:
    with write(engine) as db:
        message = outbox.claim(db, at)
    assert message is not None
    return message


def states(engine: Engine, notice: Notice) -> list[tuple[str, str]]:
    with read(engine) as db:
        return [(one.kind, one.state) for one in outbox.deliveries(db, notice.alert.alert_id)]


def test_a_notice_is_one_message_for_each_endpoint_however_often_it_is_put(
    engine: Engine, now: datetime
) -> None:
    notice = fires(an_alert(now), now)
    put(engine, notice, notice, endpoints=("a", "b"))

    with read(engine) as db:
        found = outbox.deliveries(db, notice.alert.alert_id)
    assert [one.endpoint for one in found] == ["a", "b"]
    assert all("." not in one.message_id for one in found)  # the signature's own separator


def test_without_an_endpoint_nobody_is_told(engine: Engine, now: datetime) -> None:
    notice = fires(an_alert(now), now)
    with write(engine) as db:
        outbox.enqueue(db, notice)

    assert states(engine, notice) == []


def test_a_claimed_message_is_hidden_until_its_lease_lapses(engine: Engine, now: datetime) -> None:
    put(engine, fires(an_alert(now), now))
    first = take(engine, now)

    with write(engine) as db:
        assert outbox.claim(db, now + timedelta(seconds=LEASE_S - 1)) is None
        again = outbox.claim(db, now + timedelta(seconds=LEASE_S))
    assert again is not None
    assert again.message_id == first.message_id
    assert (first.attempts, again.attempts) == (1, 2)


def test_a_worker_whose_lease_has_lapsed_writes_nothing(engine: Engine, now: datetime) -> None:
    notice = fires(an_alert(now), now)
    put(engine, notice)
    slow = take(engine, now)
    take(engine, now + timedelta(seconds=LEASE_S))
    with write(engine) as db:
        outbox.dead(db, slow, now, REFUSED, "attention")

    assert states(engine, notice) == [("alert.firing", "waiting")]


def test_messages_of_one_alert_go_out_one_at_a_time_in_order(engine: Engine, now: datetime) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), updates(alert, now))
    first = take(engine, now)
    with write(engine) as db:
        assert outbox.claim(db, now) is None  # the second waits for the first
        outbox.sent(db, first, 200, now)
        second = outbox.claim(db, now)

    assert second is not None
    assert (first.kind, second.kind) == ("alert.firing", "alert.updated")


def test_one_alert_does_not_wait_for_another(engine: Engine, now: datetime) -> None:
    put(engine, fires(an_alert(now), now), fires(an_alert(now, "errors"), now))

    assert take(engine, now).message_id != take(engine, now).message_id


def test_a_message_put_off_is_due_later(engine: Engine, now: datetime) -> None:
    notice = fires(an_alert(now), now)
    put(engine, notice)
    message = take(engine, now)
    with write(engine) as db:
        outbox.again(db, message, now, REFUSED, now + MIN)

    with read(engine) as db:
        assert not outbox.due(db, now + MIN - timedelta(seconds=1))
        assert outbox.due(db, now + MIN)
        found = outbox.deliveries(db, notice.alert.alert_id)[0]
    assert (found.last_status, found.last_error, found.last_answer) == (503, "status 503", "busy")


def collapse(engine: Engine, at: datetime) -> int:
    with write(engine) as db:
        return outbox.collapse(db, at)


def test_an_alert_that_is_over_before_it_was_told_is_not_told_at_all(
    engine: Engine, now: datetime
) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), resolves(alert, now))

    assert collapse(engine, now) == 2
    assert states(engine, fires(alert, now)) == [
        ("alert.firing", "superseded"),
        ("alert.resolved", "superseded"),
    ]


def test_an_alert_that_every_attempt_was_refused_is_not_told_at_all(
    engine: Engine, now: datetime
) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), resolves(alert, now))
    message = take(engine, now)
    with write(engine) as db:
        outbox.again(db, message, now, REFUSED, now + MIN)

    assert collapse(engine, now) == 2


def test_a_receiver_that_may_have_heard_of_an_alert_hears_its_end(
    engine: Engine, now: datetime
) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), resolves(alert, now))
    message = take(engine, now)
    with write(engine) as db:
        outbox.again(db, message, now, NO_ANSWER, now + MIN)

    assert collapse(engine, now) == 1
    assert states(engine, fires(alert, now)) == [
        ("alert.firing", "superseded"),
        ("alert.resolved", "waiting"),
    ]


def test_an_alert_that_was_told_always_gets_its_end(engine: Engine, now: datetime) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), resolves(alert, now))
    message = take(engine, now)
    with write(engine) as db:
        outbox.sent(db, message, 204, now)

    assert collapse(engine, now) == 0
    assert take(engine, now).kind == "alert.resolved"


def test_a_new_alert_does_not_swallow_the_end_of_the_one_before(
    engine: Engine, now: datetime
) -> None:
    first, second = an_alert(now), an_alert(now + MIN, sequence=3)
    put(engine, fires(first, now), resolves(first, now), fires(second, now + MIN))
    message = take(engine, now)
    with write(engine) as db:
        outbox.sent(db, message, 200, now)

    assert collapse(engine, now) == 0
    assert take(engine, now + MIN).kind == "alert.resolved"


def test_an_update_that_overtakes_the_first_message_says_that_it_fires(
    engine: Engine, now: datetime
) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), updates(alert, now))

    assert collapse(engine, now) == 1
    message = take(engine, now)
    assert (message.kind, message.notice.alert.sequence) == ("alert.firing", 2)


def test_a_message_in_flight_is_not_overtaken(engine: Engine, now: datetime) -> None:
    alert = an_alert(now)
    put(engine, fires(alert, now), resolves(alert, now))
    take(engine, now)

    assert collapse(engine, now) == 0


def test_an_endpoint_that_fails_three_times_is_left_alone_for_a_minute(
    engine: Engine, now: datetime
) -> None:
    put(engine, fires(an_alert(now), now))
    for _ in range(3):
        message = take(engine, now)
        with write(engine) as db:
            outbox.again(db, message, now, REFUSED, now)

    with read(engine) as db:
        endpoint = outbox.endpoints(db)[0]
        assert not outbox.due(db, now + timedelta(seconds=59))
        assert outbox.due(db, now + timedelta(seconds=60))
    assert (endpoint.failures, endpoint.waiting) == (3, 1)
    assert endpoint.failing_since == now.replace(microsecond=0)


def test_what_waits_for_a_disabled_endpoint_is_given_up_and_a_new_address_starts_afresh(
    engine: Engine, now: datetime
) -> None:
    notice = fires(an_alert(now), now)
    other = fires(an_alert(now, "errors"), now)
    put(engine, notice, other)
    message = take(engine, now)
    with write(engine) as db:
        outbox.dead(db, message, now, REFUSED, "disabled")
        assert outbox.claim(db, now) is None
        assert outbox.bury(db, now) == 1
        outbox.register(db, {"webhook": "hash"})
        assert _state(db) == "disabled"
        outbox.register(db, {"webhook": "another"})
        assert _state(db) == "working"


def _state(db: Connection) -> str:
    return outbox.endpoints(db)[0].state


def test_a_dead_message_can_be_sent_again_and_a_waiting_one_cannot(
    engine: Engine, now: datetime
) -> None:
    put(engine, fires(an_alert(now), now))
    message = take(engine, now)
    with write(engine) as db:
        assert not outbox.replay(db, message.message_id, now)
        outbox.dead(db, message, now, REFUSED, "attention")
        assert outbox.replay(db, message.message_id, now + MIN)

    later = take(engine, now + MIN)
    assert (later.message_id, later.attempts) == (message.message_id, 1)


def test_messages_that_are_done_are_forgotten_and_waiting_ones_are_not(
    engine: Engine, now: datetime
) -> None:
    done, waiting = fires(an_alert(now), now), fires(an_alert(now, "errors"), now)
    put(engine, done, waiting)
    message = take(engine, now)
    with write(engine) as db:
        outbox.sent(db, message, 200, now)
        assert outbox.forget(db, now) == 0
        assert outbox.forget(db, now + timedelta(days=30)) == 1
        assert outbox.untidy(db)


def test_an_endpoint_is_in_trouble_when_messages_have_not_arrived_for_half_an_hour(
    engine: Engine, now: datetime
) -> None:
    put(engine, fires(an_alert(now), now))
    message = take(engine, now)
    with write(engine) as db:
        outbox.again(db, message, now, REFUSED, now)
        endpoint = outbox.endpoints(db)[0]

    assert not endpoint.in_trouble(now + 29 * MIN)
    assert endpoint.in_trouble(now + 31 * MIN)
