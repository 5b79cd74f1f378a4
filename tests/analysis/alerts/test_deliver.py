from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from standardwebhooks import Webhook

from analysis.alerts.addresses import networks
from analysis.alerts.deliver import JITTER, Place, deliver, next_attempt, send_test
from analysis.alerts.signature import key_of
from tests.alert_world import (
    MIN,
    OTHER_SECRET,
    SECRET,
    Receiver,
    a_receiver,
    an_alert,
    fires,
    resolves,
    updates,
)
from tidegauge import clock
from tidegauge.alert import Notice
from tidegauge.store import outbox
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.outbox import Delivery, Message

LOOPBACK = networks(("127.0.0.0/8",))
SECOND = timedelta(seconds=1)


def still() -> float:
    """Return no jitter: the middle of its range."""
    return 0.5


@dataclass
class World:
    """A database with one endpoint, and a clock that stands until it is moved."""

    engine: Engine
    url: str
    now: datetime = field(default_factory=lambda: clock.now().replace(microsecond=0))
    keys: tuple[bytes, ...] = (key_of(SECRET),)

    @property
    def places(self) -> Mapping[str, Place]:
        return {"webhook": Place(url=self.url, keys=self.keys, allow=LOOPBACK)}

    def put(self, *notices: Notice) -> None:
        with write(self.engine) as db:
            addresses = {name: place.address_hash for name, place in self.places.items()}
            outbox.register(db, addresses)
            for notice in notices:
                outbox.enqueue(db, notice)

    def run(self, after: timedelta = timedelta()) -> int:
        self.now += after
        return deliver(self.engine, self.places, lambda: self.now, jitter=still)

    def deliveries(self, notice: Notice) -> list[Delivery]:
        with read(self.engine) as db:
            return outbox.deliveries(db, notice.alert.alert_id)

    def states(self, notice: Notice) -> list[str]:
        return [one.state for one in self.deliveries(notice)]


def test_a_message_arrives_signed_and_once(engine: Engine) -> None:
    with a_receiver() as receiver:
        world = World(engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)

        assert (world.run(), world.run()) == (1, 0)

    headers, body = receiver.seen[0]
    event = Webhook(SECRET).verify(body, headers)
    assert event["type"] == "alert.firing"
    assert event["data"]["alert_id"] == notice.alert.alert_id
    assert world.states(notice) == ["sent"]


def test_with_two_keys_either_receiver_can_verify(sqlite_engine: Engine) -> None:
    with a_receiver() as receiver:
        world = World(sqlite_engine, receiver.url, keys=(key_of(SECRET), key_of(OTHER_SECRET)))
        world.put(fires(an_alert(world.now), world.now))
        world.run()

    headers, body = receiver.seen[0]
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(body, headers)


def test_a_receiver_that_is_down_is_tried_again_on_the_schedule_with_one_id(
    engine: Engine,
) -> None:
    with a_receiver(500, 500, 500, 200) as receiver:
        world = World(engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)
        waits = (0, 4, 1, 24, 1, 89, 1)  # attempts at 0, 5, 30 and 120 seconds, and not before
        made = [world.run(wait * SECOND) for wait in waits]

    assert made == [1, 0, 1, 0, 1, 0, 1]
    assert len(set(receiver.ids)) == 1
    times = [int(headers["webhook-timestamp"]) for headers, _ in receiver.seen]
    assert [one - times[0] for one in times] == [0, 5, 30, 120]  # of the attempt, not the event
    assert [(one.state, one.attempts) for one in world.deliveries(notice)] == [("sent", 4)]


def test_a_worker_that_dies_while_it_sends_loses_no_message(engine: Engine) -> None:
    with a_receiver() as receiver:
        world = World(engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)
        with write(engine) as db:
            dead = outbox.claim(db, world.now)  # and its process is killed here

        assert world.run(59 * SECOND) == 0
        assert world.run(1 * SECOND) == 1

    assert dead is not None
    assert receiver.ids == [dead.message_id]
    assert world.states(notice) == ["sent"]


def test_an_alert_that_is_over_before_it_could_be_told_is_not_told(engine: Engine) -> None:
    with a_receiver(503) as receiver:
        world = World(engine, receiver.url)
        alert = an_alert(world.now)
        notice = fires(alert, world.now)
        world.put(notice)
        world.run()
        world.put(resolves(alert, world.now))
        receiver.answers.clear()
        world.run(MIN)

    assert len(receiver.seen) == 1  # the attempt that was refused
    assert world.states(notice) == ["superseded", "superseded"]


def test_an_alert_that_was_told_gets_its_end_in_order(engine: Engine) -> None:
    with a_receiver() as receiver:
        world = World(engine, receiver.url)
        alert = an_alert(world.now)
        world.put(fires(alert, world.now))
        world.run()
        world.put(resolves(alert, world.now))
        world.run()

    events = [json.loads(body) for _, body in receiver.seen]
    assert [one["type"] for one in events] == ["alert.firing", "alert.resolved"]
    assert [one["data"]["sequence"] for one in events] == [1, 2]


def test_the_latest_state_wins_and_still_says_that_it_fires(sqlite_engine: Engine) -> None:
    with a_receiver() as receiver:
        world = World(sqlite_engine, receiver.url)
        alert = an_alert(world.now)
        world.put(fires(alert, world.now), updates(alert, world.now))
        world.run()

    event = json.loads(receiver.seen[0][1])
    assert (event["type"], event["data"]["sequence"]) == ("alert.firing", 2)
    assert len(receiver.seen) == 1


def test_gone_disables_the_endpoint_until_its_address_changes(engine: Engine) -> None:
    with a_receiver(410) as receiver, a_receiver() as other:
        world = World(engine, receiver.url)
        first, second = (
            fires(an_alert(world.now), world.now),
            fires(an_alert(world.now, "errors"), world.now),
        )
        world.put(first, second)
        world.run()
        world.run(MIN)

        assert len(receiver.seen) == 1
        assert world.states(first) == world.states(second) == ["dead"]
        with read(engine) as db:
            assert outbox.endpoints(db)[0].state == "disabled"

        world.url = other.url
        third = fires(an_alert(world.now, "latency"), world.now)
        world.put(third)
        world.run()
    assert world.states(third) == ["sent"]


@pytest.mark.parametrize("status", [400, 404, 413])
def test_a_message_that_will_never_be_taken_is_a_dead_letter(
    sqlite_engine: Engine, status: int
) -> None:
    with a_receiver(status) as receiver:
        world = World(sqlite_engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)
        world.run()
        world.run(MIN)

    found = world.deliveries(notice)[0]
    assert len(receiver.seen) == 1
    assert (found.state, found.last_status) == ("dead", status)
    with read(sqlite_engine) as db:
        assert outbox.endpoints(db)[0].state == "attention"


def test_a_redirect_is_a_failure_that_is_tried_again(sqlite_engine: Engine) -> None:
    with a_receiver(302, 200) as receiver:
        world = World(sqlite_engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)
        world.run()
        assert world.states(notice) == ["waiting"]
        world.run(5 * SECOND)

    assert world.states(notice) == ["sent"]


def test_a_receiver_that_asks_for_time_gets_it(sqlite_engine: Engine) -> None:
    with a_receiver() as receiver:
        receiver.then(429, {"retry-after": "90"})
        receiver.then(200)
        world = World(sqlite_engine, receiver.url)
        world.put(fires(an_alert(world.now), world.now))
        made = [world.run(), world.run(89 * SECOND), world.run(1 * SECOND)]

    assert made == [1, 0, 1]


def test_a_blocked_address_is_a_dead_letter_and_nothing_is_sent(sqlite_engine: Engine) -> None:
    with a_receiver() as receiver:
        world = World(sqlite_engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)
        places = {"webhook": Place(url=receiver.url, keys=world.keys)}
        deliver(sqlite_engine, places, lambda: world.now, jitter=still)

    found = world.deliveries(notice)[0]
    assert receiver.seen == []
    assert found.state == "dead"
    assert found.last_error is not None
    assert found.last_error.startswith("blocked address")


def test_after_an_hour_down_every_alert_arrives_once_and_in_order(sqlite_engine: Engine) -> None:
    with a_receiver(503) as receiver:
        world = World(sqlite_engine, receiver.url)
        began = world.now
        told = [an_alert(began, name) for name in ("latency", "errors")]
        world.put(*(fires(one, began) for one in told))
        while world.now - began < timedelta(hours=1):
            world.run(5 * SECOND)
        attempts = _times(receiver)
        receiver.seen.clear()
        receiver.answers.clear()
        for _ in range(240):
            world.run(30 * SECOND)
        world.put(*(resolves(one, world.now) for one in told))
        world.run()

    late = [b - a for a, b in pairwise(attempts[4:])]
    assert min(late) >= 60  # a receiver in trouble is not asked more than once a minute
    kinds = [json.loads(body)["type"] for _, body in receiver.seen]
    assert kinds == ["alert.firing"] * 2 + ["alert.resolved"] * 2


def _times(receiver: Receiver) -> list[int]:
    return [int(headers["webhook-timestamp"]) for headers, _ in receiver.seen]


def _message(attempts: int, created_at: datetime) -> Message:
    return Message(
        message_id="m",
        endpoint="webhook",
        kind="alert.firing",
        notice=fires(an_alert(created_at), created_at),
        created_at=created_at,
        attempts=attempts,
    )


def test_the_schedule_is_that_of_the_manual(now: datetime) -> None:
    at, made = now, []
    for attempts in range(1, 11):
        due = next_attempt(_message(attempts, now), None, at, still)
        assert due is not None
        at = due
        made.append(round((at - now).total_seconds()))

    assert made == [5, 30, 120, 300, 600, 1200, 2400, 6000, 9600, 13200]


def test_jitter_spreads_the_attempts_by_a_fifth(now: datetime) -> None:
    def wait(share: float) -> float:
        due = next_attempt(_message(3, now), None, now, lambda: share)
        assert due is not None
        return (due - now).total_seconds()

    assert [wait(0.0), wait(0.5), wait(1.0)] == [90 * (1 - JITTER), 90.0, 90 * (1 + JITTER)]


def test_a_message_is_given_up_after_a_day(now: datetime) -> None:
    old = _message(30, now - timedelta(hours=23, minutes=30))

    assert next_attempt(old, None, now, still) is None
    assert next_attempt(_message(30, now - timedelta(hours=22)), None, now, still) is not None


def test_the_address_and_the_keys_are_in_no_text() -> None:
    place = Place(url="https://hooks.test/secret", keys=(b"k" * 24,))

    assert "secret" not in repr(place)
    assert "kkkk" not in repr(place)


def test_a_test_message_is_sent_once_and_leaves_no_row(sqlite_engine: Engine) -> None:
    with a_receiver(503) as receiver:
        world = World(sqlite_engine, receiver.url)
        outcome = send_test(world.places["webhook"], world.now)
        world.put(fires(an_alert(world.now), world.now))

    headers, body = receiver.seen[0]
    assert Webhook(SECRET).verify(body, headers)["type"] == "delivery.test"
    assert outcome.status == 503
    assert len(receiver.seen) == 1
    with read(sqlite_engine) as db:
        assert outbox.endpoints(db)[0].waiting == 1


def test_an_attempt_that_breaks_is_recorded_tried_again_and_holds_up_no_other_endpoint(
    sqlite_engine: Engine,
) -> None:
    with a_receiver() as receiver:
        world = World(sqlite_engine, receiver.url)
        notice = fires(an_alert(world.now), world.now)
        world.put(notice)

        def broken(host: str, port: int) -> list[str]:
            raise ZeroDivisionError(receiver.url)

        made = deliver(sqlite_engine, world.places, lambda: world.now, jitter=still, resolve=broken)

        assert made == 1
        (one,) = world.deliveries(notice)
        assert (one.state, one.attempts) == ("waiting", 1)
        assert one.last_error == "attempt broke (ZeroDivisionError)"
        assert world.run(5 * SECOND) == 1
    assert world.states(notice) == ["sent"]
