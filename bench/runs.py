"""One run on a server that was just started: closed loop, open loop, idle; and kill -9."""

from __future__ import annotations

import http.client
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench import gauges
from bench.bodies import Body, build
from bench.cases import Case, Killed, Sample
from bench.peers import FIRST_ANSWER_S, Peer
from bench.senders import Connect, Paced, Senders, Sent, over_grpc, over_http
from bench.servers import Collector, Postgres
from tidegauge.store.migrate import upgrade

WARM_UP = 2_000  # spans sent to Tidegauge before the clock starts
OURS_TABLE = "span"
IDLE_REQUESTS, IDLE_SIZE = 40, 50
IDLE_EVERY_S = 0.1  # longer than an answer takes
PACED_SENDERS = 32  # more than can ever wait at once, or the loop is not open
AGAIN_S = 1.0  # what Retry-After says
WARM_WITHIN_S = 90.0
DRAIN_WITHIN_S = 300.0  # for what a peer has acknowledged and not stored yet


class Disturbed(RuntimeError):
    """A run was not of an undisturbed server: its figures would be of something else."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is sent."""

    spans: int = 20_000  # to Tidegauge
    peer_spans: int = 2_000  # to a peer; Phoenix stores some hundred a second
    most_s: float = 15.0  # nothing new is sent after that
    open_s: float = 8.0  # of the open loop
    senders: int = 8
    peer_senders: int = 4
    kill_after_s: float = 2.0


@dataclass(slots=True)
class Supply:
    """Bodies, each made once and sent to each database at most once."""

    _made: dict[tuple[int, bool], list[Body]] = field(default_factory=dict)
    _used: dict[tuple[int, bool], int] = field(default_factory=dict)
    _seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def rewind(self) -> None:
        """Begin again: the next body goes to an empty database."""
        self._used.clear()

    def take(self, spans: int, size: int, *, json: bool = False) -> list[Body]:
        """Return about ``spans`` spans in requests of ``size``, at least one."""
        made = self._made.setdefault((size, json), [])
        first = self._used.get((size, json), 0)
        last = first + max(spans // size, 1)
        made += [build(size, next(self._seeds), json=json) for _ in range(last - len(made))]
        self._used[size, json] = last
        return made[first:last]


class Databases:
    """Empty databases, one for each run: SQLite files in ``folder``, or one PostgreSQL's."""

    def __init__(self, folder: Path, postgres: Postgres | None) -> None:
        self._folder = folder
        self._postgres = postgres
        self._numbers = itertools.count(1)

    @contextmanager
    def empty(self, store: str) -> Iterator[str]:
        """Yield the URL of a database without tables, and delete it afterwards."""
        name = f"bench{next(self._numbers)}"
        if store == "SQLite":
            file = self._folder / f"{name}.db"
            yield f"sqlite:///{file}"
            for one in self._folder.glob(f"{file.name}*"):
                one.unlink()
            return
        assert self._postgres is not None
        with psycopg.connect(self._postgres.url, autocommit=True) as db:
            db.execute(f'CREATE DATABASE "{name}"'.encode())
            yield self._postgres.url.rpartition("/")[0] + f"/{name}"
            db.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def cpu_s(self, store: str) -> float | None:
        """Return the CPU time of PostgreSQL and its backends, seconds; None for SQLite."""
        return gauges.cpu_s(self._postgres.pid) if self._postgres and store != "SQLite" else None


def ours(case: Case, databases: Databases, supply: Supply, plan: Plan) -> Sample:
    """Measure a collector on an empty database."""
    supply.rewind()
    warm_up = supply.take(WARM_UP, case.size, json=case.json)
    bodies = supply.take(plan.spans, case.size, json=case.json)
    with databases.empty(case.store) as url:
        upgrade(url)
        empty = gauges.database_bytes(url)
        with Collector(url) as collector, _with_reasons(collector.http):
            connect, pid = _connect(case, collector), collector.process.pid
            _warm(warm_up, connect, plan.senders)
            before, database_before = gauges.cpu_s(pid), databases.cpu_s(case.store)
            sent, seconds = _closed(bodies, connect, plan)
            spent, database_after = gauges.cpu_s(pid) - before, databases.cpu_s(case.store)
            done = _spans(sent.acknowledged)
            waits = _open(connect, case, supply, plan, done / seconds) if case.basic else []
            idle = _idle(connect, supply) if case.basic else []
            rss = gauges.peak_rss_mb(pid)
        rows = len(gauges.span_ids(url, OURS_TABLE))
        size = gauges.database_bytes(url)
    p50, p99 = _cuts(sent.waits_s)
    open_p50, open_p99 = _cuts(waits) if waits else (None, None)
    return Sample(
        spans=done,
        put_off=sum(sent.refusals.values()),
        acked_per_s=done / seconds,
        committed_per_s=done / seconds,
        p50_ms=p50,
        p99_ms=p99,
        cpu_us=spent / done * 1e6,
        database_cpu_us=_per_span(database_before, database_after, done),
        peak_rss_mb=rss,
        bytes_per_span=(size - empty) / rows,
        load=os.getloadavg()[0],
        open_per_s=done / seconds / 2 if waits else None,
        open_p50_ms=open_p50,
        open_p99_ms=open_p99,
        idle_p50_ms=statistics.median(idle) * 1000 if idle else None,
    )


def peer(kind: type[Peer], python: Path, size: int, supply: Supply, plan: Plan) -> Sample:
    """Measure a peer on an empty database, until all that it acknowledged is in its database."""
    supply.rewind()
    warm_up, bodies = supply.take(size, size), supply.take(plan.peer_spans, size)
    with kind(python) as server:
        connect, pid = _connect_peer(server), server.process.pid
        _warm(warm_up, connect, 1)
        _all_stored(server, warm_up)
        empty, before = gauges.database_bytes(server.url), gauges.cpu_s(pid)
        began = time.perf_counter()
        sent, seconds = _closed(bodies, connect, plan, plan.peer_senders)
        _all_stored(server, sent.acknowledged)
        until_stored = time.perf_counter() - began
        spent, rss = gauges.cpu_s(pid) - before, gauges.peak_rss_mb(pid)
        stored = gauges.database_bytes(server.url) - empty
    done = _spans(sent.acknowledged)
    p50, p99 = _cuts(sent.waits_s)
    return Sample(
        spans=done,
        put_off=sum(sent.refusals.values()),
        acked_per_s=done / seconds,
        committed_per_s=done / until_stored,
        p50_ms=p50,
        p99_ms=p99,
        cpu_us=spent / done * 1e6,
        database_cpu_us=None,
        peak_rss_mb=rss,
        bytes_per_span=stored / done,
        load=os.getloadavg()[0],
    )


def kill_ours(store: str, databases: Databases, supply: Supply, plan: Plan) -> Killed:
    """Kill a collector under load and count what of the acknowledged is missing."""
    supply.rewind()
    with databases.empty(store) as url, Collector(url) as collector:
        bodies = supply.take(plan.spans, IDLE_SIZE)

        def kill() -> None:
            gauges.kill(collector.process.pid)
            collector.kill()

        sent = _killed(bodies, over_http(collector.http), kill, plan, plan.senders)
        return _lost(sent, url, OURS_TABLE)


def kill_peer(kind: type[Peer], python: Path, supply: Supply, plan: Plan) -> Killed:
    """Kill a peer under load and count what of the acknowledged is missing."""
    supply.rewind()
    with kind(python) as server:
        connect = _connect_peer(server)
        _warm(supply.take(IDLE_SIZE, IDLE_SIZE), connect, 1)
        bodies = supply.take(plan.spans, IDLE_SIZE)
        sent = _killed(bodies, connect, server.kill, plan, plan.peer_senders)
        return _lost(sent, server.url, server.table)


def _killed(
    bodies: Sequence[Body], connect: Connect, kill: Callable[[], None], plan: Plan, threads: int
) -> Sent:
    senders = Senders(bodies, connect, threads, again_s=AGAIN_S)
    time.sleep(plan.kill_after_s)  # of load, not for something to come true
    kill()
    return senders.join()


def _lost(sent: Sent, url: str, table: str) -> Killed:
    acked = {span_id for _, span_id in sent.keys}
    if not acked:
        raise RuntimeError(f"nothing acknowledged before the kill; {_trouble(sent)}")
    return Killed(len(acked), len(acked - gauges.span_ids(url, table)))


def _connect(case: Case, collector: Collector) -> Connect:
    if case.wire == "grpc":
        return over_grpc(collector.grpc, packed=case.packed)
    return over_http(collector.http, json=case.json, packed=case.packed)


def _connect_peer(server: Peer) -> Connect:
    return over_http(server.http, headers=server.headers, answer_s=FIRST_ANSWER_S)


def _closed(
    bodies: Sequence[Body], connect: Connect, plan: Plan, threads: int | None = None
) -> tuple[Sent, float]:
    """Keep every sender busy; return what became of it and how long it took, seconds."""
    began = time.perf_counter()
    senders = Senders(bodies, connect, threads or plan.senders, again_s=AGAIN_S)
    sent = senders.join_within(plan.most_s)
    seconds = time.perf_counter() - began
    return _undisturbed(sent), seconds


def _open(connect: Connect, case: Case, supply: Supply, plan: Plan, rate: float) -> Sequence[float]:
    """Return the waits at half of ``rate``, spans a second, whatever the answers take."""
    every_s = case.size / (rate / 2)
    bodies = supply.take(max(int(plan.open_s * rate / 2), 2 * case.size), case.size, json=case.json)
    paced = Paced(bodies, connect, PACED_SENDERS, every_s, again_s=AGAIN_S)
    return _undisturbed(paced.join_within(plan.open_s + plan.most_s)).waits_s


def _idle(connect: Connect, supply: Supply) -> Sequence[float]:
    """Return the waits of single requests with nothing else to do."""
    bodies = supply.take(IDLE_REQUESTS * IDLE_SIZE, IDLE_SIZE)
    return _undisturbed(Paced(bodies, connect, 1, IDLE_EVERY_S).join()).waits_s


def _all_stored(server: Peer, bodies: Sequence[Body]) -> None:
    wanted = {span_id for body in bodies for _, span_id in body.keys}
    if not gauges.wait_for(wanted, server.url, server.table, DRAIN_WITHIN_S):
        raise RuntimeError(f"{server.name} did not store what it acknowledged")


def _undisturbed(sent: Sent) -> Sent:
    """Return what was sent, if nothing went wrong: else the figures are of something else.

    A request that was put off and then taken is part of the figures.
    """
    if sent.errors or not sent.acknowledged:
        raise Disturbed(_trouble(sent))
    return sent


def _warm(bodies: Sequence[Body], connect: Connect, threads: int) -> None:
    """Send until all is taken: a server's first requests are slower than any later ones."""
    sent = Senders(bodies, connect, threads, again_s=AGAIN_S).join_within(WARM_WITHIN_S)
    if len(_undisturbed(sent).acknowledged) < len(bodies):
        raise Disturbed(_trouble(sent))


@contextmanager
def _with_reasons(address: str) -> Iterator[None]:
    """Add to what goes wrong why the collector refused requests, as its own counters have it."""
    try:
        yield
    except Disturbed as error:
        with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        counted = [line for line in lines if line.startswith("tidegauge_refusals_total{")]
        raise Disturbed(f"{error}; {'; '.join(counted)}") from error


def _trouble(sent: Sent) -> str:
    refused = ", ".join(f"{number} x {why}" for why, number in sent.refusals.items())
    return f"refused: {refused or 'none'}; broken off: {sent.errors[:3] or 'none'}"


def _spans(bodies: Sequence[Body]) -> int:
    return sum(len(body.keys) for body in bodies)


def _per_span(before: float | None, after: float | None, spans: int) -> float | None:
    return None if before is None or after is None else (after - before) / spans * 1e6


def _cuts(waits_s: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile, milliseconds."""
    cuts = (
        statistics.quantiles(waits_s, n=100, method="inclusive")
        if len(waits_s) > 1
        else [waits_s[0]] * 99
    )
    return cuts[49] * 1000, cuts[98] * 1000
