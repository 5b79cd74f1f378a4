"""Faults of PostgreSQL: it restarts, dies, is replaced by its standby, hangs, or is far away."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.bodies import Body, build
from bench.clusters import Cluster
from bench.insist import Insisting, Line, get
from bench.kill import is_whole, stored_and_counted
from bench.proxy import Proxy
from bench.servers import Collector

SPANS = 20  # in a request


@dataclass(frozen=True, slots=True)
class Outage:
    """What senders saw while their database was away."""

    acknowledged: int
    lost: int
    double: int  # counted by the ledger and no row
    refused: int
    statuses: set[int]
    retry_after: set[str | None]
    slowest_s: float  # of the refusals
    healed_s: float  # from the moment the database took connections again
    whole: bool


def endless(first_seed: int = 1, spans: int = SPANS) -> Iterator[Body]:
    """Yield bodies, each of them new."""
    return (build(spans, seed) for seed in itertools.count(first_seed))


def outage(hit: Callable[[Cluster], None], away_s: float, load_s: float = 1.0) -> Outage:
    """``hit`` a PostgreSQL under load so that it ends, and start it again after ``away_s``."""
    with Cluster() as cluster, Collector(cluster.url) as collector:
        senders = Insisting(collector.http, endless())
        _pause(load_s)
        hit(cluster)
        _pause(away_s)
        cluster.start()
        back_at = time.monotonic()
        until(lambda: _stored_since(senders, back_at) is not None)
        _pause(load_s)
        senders.stop()
        collector.stop()
        return _outage(senders, cluster.url, back_at)


def restart(cluster: Cluster) -> None:
    """End a PostgreSQL as its administrator would."""
    cluster.stop_fast()


def die(cluster: Cluster) -> None:
    """End a PostgreSQL as a lost machine would."""
    cluster.kill_all()


def failover(load_s: float = 1.0, away_s: float = 1.0) -> Outage:
    """Lose a primary under load and promote its synchronous standby; the collector knows both."""
    with Cluster() as primary:
        primary_hosts = f"postgresql://postgres@127.0.0.1:{primary.port}"
        with primary.standby() as standby:
            primary.wait_for_standby()
            both = f"{primary_hosts},127.0.0.1:{standby.port}/postgres"
            with Collector(f"{both}?target_session_attrs=read-write") as collector:
                senders = Insisting(collector.http, endless())
                _pause(load_s)
                primary.kill_all()
                _pause(away_s)
                promoted_at = time.monotonic()
                standby.promote()
                until(lambda: _stored_since(senders, promoted_at) is not None)
                _pause(load_s)
                senders.stop()
                collector.stop()
                return _outage(senders, standby.url, promoted_at)


def _outage(senders: Insisting, url: str, back_at: float) -> Outage:
    stored, counted = stored_and_counted(url)
    refused = senders.refusals()
    first = _stored_since(senders, back_at)
    return Outage(
        len(senders.acknowledged),
        len(senders.acknowledged - stored),
        counted - len(stored),
        len(refused),
        {one.status for one in refused},
        {one.retry_after for one in refused},
        max((one.waited_s for one in refused), default=0.0),
        float("inf") if first is None else first - back_at,
        is_whole(url),
    )


def _stored_since(senders: Insisting, at: float) -> float | None:
    return min((a.at for a in list(senders.answers) if a.status == 200 and a.at > at), default=None)


def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until something is true. Raises TimeoutError where it does not become so."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {within_s:g} s")
        _pause(0.05)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@dataclass(frozen=True, slots=True)
class Slow:
    """What one sender saw behind a slow line, a slower one, and one that swallows everything."""

    near_s: float  # with 200 ms more for each round trip: stored after
    near_status: int
    far_s: float  # with 6 s
    far_status: int
    swallowed_s: float
    swallowed_status: int
    noticed_s: float  # until the writer gave the connection up
    healed_s: float  # after the line was whole again
    lost: int


def slow(answer_within_s: str = "5") -> Slow:
    """Put a line between a collector and its PostgreSQL, and make it slower and slower."""
    bodies = endless()
    with Cluster() as cluster, Proxy(cluster.port) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
        with (
            Collector(url, answer_within_s=answer_within_s) as collector,
            Line(collector.http) as line,
        ):
            sent = [next(bodies) for _ in range(5)]
            line.post(sent[0].raw)
            proxy.delay_s = 0.1
            near = line.post(sent[1].raw)
            proxy.delay_s = 3.0
            far = line.post(sent[2].raw)
            proxy.delay_s = 0.0
            until(lambda: line.post(sent[3].raw).status == 200)
            proxy.swallow(True)
            began = time.monotonic()
            swallowed = line.post(sent[4].raw)
            until(lambda: "group was not stored" in get(collector.http, "/readyz")[1])
            noticed_s = time.monotonic() - began
            proxy.swallow(False)
            began = time.monotonic()
            until(lambda: line.post(sent[4].raw).status == 200)
            healed_s = time.monotonic() - began
            acknowledged = {key for one in (0, 3, 4) for key in sent[one].keys}
            if near.status == 200:
                acknowledged.update(sent[1].keys)
        stored, _ = stored_and_counted(cluster.url)
    return Slow(
        near.waited_s,
        near.status,
        far.waited_s,
        far.status,
        swallowed.waited_s,
        swallowed.status,
        noticed_s,
        healed_s,
        len(acknowledged - stored),
    )
