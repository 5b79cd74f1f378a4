"""The gate: who is let in, and where a collector may start without a key."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product

import pytest

from bench.servers import Postgres
from collector import auth
from collector.auth import Gate, NoKey, Rule, Unauthenticated, WrongScope, open_gate, rule
from collector.metrics import Metrics
from tests.processes import until
from tidegauge import clock
from tidegauge.store import keys
from tidegauge.store.engine import Engine, StoreBusy, open_engine, read, write
from tidegauge.store.keys import Key, Limit, Scope
from tidegauge.store.migrate import upgrade

DAY = timedelta(days=1)
WITHIN_S = 5.0  # a revocation acts
NO_LIMIT = Limit()
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  (never bound here)


def a_key(
    engine: Engine,
    *,
    name: str = "bot",
    project: str = "shop",
    scope: Scope = Scope.INGEST,
    lasts: timedelta | None = None,
    limit: Limit = NO_LIMIT,
    now: datetime | None = None,
) -> tuple[Key, str]:
    """Make a key and store it; return it and what its owner sends."""
    key, token = keys.new(project, name, scope, now or clock.now(), lasts=lasts, limit=limit)
    with write(engine) as db:
        keys.add(db, key)
    return key, token


def a_gate(engine: Engine, now: datetime, who: Rule = Rule.REQUIRED) -> Gate:
    gate = Gate(engine, who, clock=lambda: now, metrics=Metrics())
    gate.refresh()
    return gate


def why(gate: Gate, headers: Mapping[str, str]) -> str:
    with pytest.raises(Unauthenticated) as caught:
        gate.admit(headers)
    assert "x-tidegauge-key" in str(caught.value)
    assert "authorization: Bearer" in str(caught.value)
    return caught.value.why


def with_key(token: str) -> dict[str, str]:
    return {"x-tidegauge-key": token}


@pytest.mark.parametrize(
    "headers",
    [
        lambda token: {"x-tidegauge-key": token},
        lambda token: {"x-tidegauge-key": f" {token} "},
        lambda token: {"authorization": f"Bearer {token}"},
        lambda token: {"authorization": f"bearer  {token}"},
        lambda token: {"authorization": f"Bearer%20{token}"},  # what some SDKs do with the variable
        lambda token: {"authorization": "Bearer of-the-proxy", "x-tidegauge-key": token},
    ],
)
def test_a_key_is_read_from_either_header(
    sqlite_engine: Engine, now: datetime, headers: Callable[[str], Mapping[str, str]]
) -> None:
    key, token = a_key(sqlite_engine, now=now)
    admitted = a_gate(sqlite_engine, now).admit(headers(token))
    assert admitted is not None
    assert (admitted.key_id, admitted.project) == (key.key_id, "shop")


def test_each_bad_key_is_refused_and_counted_by_why(engine: Engine, now: datetime) -> None:
    _, token = a_key(engine, now=now)
    metrics = Metrics()
    gate = Gate(engine, Rule.REQUIRED, clock=lambda: now, metrics=metrics)
    gate.refresh()
    stranger = keys.new("shop", "x", Scope.INGEST, now)[1]
    assert gate.admit(with_key(token)) is not None

    assert why(gate, {}) == "missing"
    assert why(gate, {"authorization": "Basic eDp5"}) == "missing"
    assert why(gate, with_key("")) == "malformed"
    assert why(gate, with_key(token + "x")) == "malformed"
    assert why(gate, with_key("tg_\xff\u20ac_" + "\x00" * 9)) == "malformed"
    assert why(gate, with_key(stranger)) == "unknown"
    assert why(gate, with_key(token[:15] + stranger[15:])) == "wrong_secret"
    assert why(gate, with_key(stranger[:15] + token[15:])) == "unknown"
    counted = {one: metrics.value("tidegauge_key_refusals_total", why=one) for one in auth.WHY}
    assert counted == {
        "missing": 2, "malformed": 3, "unknown": 2, "wrong_secret": 1, "expired": 0, "scope": 0,
    }  # fmt: skip


def test_the_secret_is_in_no_message(sqlite_engine: Engine, now: datetime) -> None:
    _, token = a_key(sqlite_engine, now=now, lasts=DAY)
    for sent in (token + "x", token[:-1] + "0", token):
        with pytest.raises(Unauthenticated) as caught:
            a_gate(sqlite_engine, now + 2 * DAY).admit(with_key(sent))
        assert sent[15:] not in str(caught.value)


def test_an_expired_key_is_refused_from_that_second_on(engine: Engine, now: datetime) -> None:
    _, token = a_key(engine, now=now.replace(microsecond=0), lasts=DAY)
    gate = a_gate(engine, now)
    assert gate.admit(with_key(token)) is not None
    gate._clock = lambda: now.replace(microsecond=0) + DAY
    with pytest.raises(Unauthenticated, match="has expired"):
        gate.admit(with_key(token))


@pytest.mark.parametrize("scope", [Scope.READ, Scope.ADMIN])
def test_a_key_for_something_else_cannot_send(
    sqlite_engine: Engine, now: datetime, scope: Scope
) -> None:
    _, token = a_key(sqlite_engine, now=now, scope=scope)
    gate = a_gate(sqlite_engine, now)
    with pytest.raises(WrongScope, match=f"is for '{scope}'; one for 'ingest' is needed"):
        gate.admit(with_key(token))
    assert gate.admit(with_key(token), scope) is not None


def test_a_key_that_can_send_cannot_read(sqlite_engine: Engine, now: datetime) -> None:
    _, token = a_key(sqlite_engine, now=now)
    with pytest.raises(WrongScope, match="is for 'ingest'; one for 'read' is needed"):
        a_gate(sqlite_engine, now).admit(with_key(token), Scope.READ)


def test_a_wrong_secret_takes_as_long_wherever_it_is_wrong(
    sqlite_engine: Engine, now: datetime
) -> None:
    _, token = a_key(sqlite_engine, now=now)
    gate = a_gate(sqlite_engine, now)
    first = token[:15] + ("1" if token[15] == "0" else "0") + token[16:]
    last = token[:-1] + ("1" if token[-1] == "0" else "0")
    unknown = keys.new("shop", "x", Scope.INGEST, now)[1]

    def refused_after(sent: str) -> float:
        began = time.perf_counter()
        with suppress(Unauthenticated):
            gate.admit(with_key(sent))
            raise AssertionError("a wrong secret was let in")
        return time.perf_counter() - began

    taken = [[refused_after(sent) for sent in (first, last, unknown)] for _ in range(3_000)]
    # The low tenth: what others do to this machine meanwhile is left out.
    times = [sorted(one)[300] for one in zip(*taken, strict=True)]
    assert max(times) < 1.25 * min(times), times


def test_an_unknown_key_is_compared_like_any_other(
    sqlite_engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, token = a_key(sqlite_engine, now=now)
    gate = a_gate(sqlite_engine, now)
    compared: list[tuple[int, bytes]] = []
    compare = hmac.compare_digest

    def note(a: bytes, b: bytes) -> bool:
        compared.append((len(a), b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", note)
    gate.admit(with_key(token))
    assert why(gate, with_key(keys.new("shop", "x", Scope.INGEST, now)[1])) == "unknown"
    assert compared == [(32, key.secret_hash), (32, bytes(32))]


def test_strangers_cost_no_memory(sqlite_engine: Engine, now: datetime) -> None:
    metrics = Metrics()
    gate = Gate(sqlite_engine, Rule.REQUIRED, clock=lambda: now, metrics=metrics)

    def knock(times: int) -> int:
        for number in range(times):
            for sent in (f"x{number}", keys.new("p", "n", Scope.INGEST, now)[1]):
                with pytest.raises(Unauthenticated):
                    gate.admit(with_key(sent))
        return len(metrics.render().splitlines())

    lines = knock(1)
    assert knock(500) == lines
    assert not gate._used
    assert not gate._keys


HOSTS = {"127.0.0.1": True, "127.1.2.3": True, "localhost": True, "::1": True}
HOSTS |= {EVERY_ADDRESS: False, "::": False, "": False, "10.0.0.5": False}


@pytest.mark.parametrize("there", ["none", "ingest", "read", "expired", "revoked"])
def test_a_start_without_a_key_is_refused_where_one_is_needed(
    sqlite_engine: Engine, now: datetime, there: str
) -> None:
    if there != "none":
        scope = Scope.READ if there == "read" else Scope.INGEST
        lasts = timedelta(seconds=-1) if there == "expired" else None
        key, _ = a_key(sqlite_engine, scope=scope, lasts=lasts, now=now)
        with write(sqlite_engine) as db:
            if there == "revoked":
                keys.revoke(db, key.key_id, now)
    for (host, loopback), insecure, require in product(HOSTS.items(), (0, 1), (0, 1)):
        who = rule(host, require_keys=bool(require), insecure=bool(insecure))
        needed = require or not (loopback or insecure)
        assert (who is Rule.REQUIRED) == needed, host

        def start(host: str = host, who: Rule = who) -> None:
            metrics = Metrics()
            open_gate(sqlite_engine, host, who, clock=lambda: now, metrics=metrics).close()

        if needed and there != "ingest":
            with pytest.raises(NoKey, match="tidegauge keys create"):
                start()
        else:
            start()


def test_a_loopback_address_needs_no_key_whatever_keys_there_are(
    sqlite_engine: Engine, now: datetime
) -> None:
    a_key(sqlite_engine, now=now)
    gate = a_gate(sqlite_engine, now, Rule.ON_THIS_MACHINE)
    assert gate.admit({"user-agent": "x"}) is None
    assert why(gate, with_key("tg_wrong")) == "malformed"  # its owner believes that it counts


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
def test_what_a_proxy_hands_on_is_not_of_this_machine(
    sqlite_engine: Engine, now: datetime, name: str
) -> None:
    _, token = a_key(sqlite_engine, now=now)
    gate = a_gate(sqlite_engine, now, Rule.ON_THIS_MACHINE)
    assert why(gate, {name: "203.0.113.9"}) == "missing"
    assert gate.admit({name: "203.0.113.9", **with_key(token)}) is not None
    assert a_gate(sqlite_engine, now, Rule.OPEN).admit({name: "203.0.113.9"}) is None


def test_a_use_is_written_once_a_minute(engine: Engine, now: datetime) -> None:
    now = now.replace(microsecond=0)
    key, token = a_key(engine, now=now)
    _, idle = a_key(engine, now=now, name="idle")
    gate = a_gate(engine, now)

    def used(seconds: int) -> datetime | None:
        gate._clock = lambda: now + timedelta(seconds=seconds)
        gate.admit(with_key(token))
        gate.note_use()
        with read(engine) as db:
            assert keys.find(db, idle[3:14]).last_used_at is None
            return keys.find(db, key.key_id).last_used_at

    assert used(0) == now
    assert used(59) == now
    assert used(61) == now + timedelta(seconds=61)


def test_within_a_minute_nothing_is_written(sqlite_engine: Engine, now: datetime) -> None:
    _, token = a_key(sqlite_engine, now=now)
    gate = a_gate(sqlite_engine, now)
    gate.admit(with_key(token))
    gate.note_use()
    gate._clock = lambda: now + timedelta(seconds=59)
    gate.admit(with_key(token))
    with write(sqlite_engine):
        gate.note_use()  # else it would wait for the lock, and fail


def test_while_the_database_is_away_the_known_keys_stay_valid() -> None:
    with Postgres() as postgres:
        upgrade(postgres.url)
        engine = open_engine(postgres.url)
        key, token = a_key(engine)
        gate = open_gate(engine, EVERY_ADDRESS, Rule.REQUIRED, clock=clock.now, metrics=Metrics())
        postgres.kill()
        with pytest.raises(StoreBusy):
            gate.refresh()
        assert gate.admit(with_key(token)) is not None

        postgres.start()
        with write(engine) as db:
            keys.revoke(db, key.key_id, clock.now())

        assert until(lambda: not gate.lets_anyone_in(), WITHIN_S)
        gate.close()
        engine.dispose()
