"""What real exporters send is acknowledged and stored as it was sent, also through an outage."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress

import httpx
import pytest
from pysqlite3 import dbapi2 as sqlite

from bench.servers import Collector
from tests.clients import known
from tests.clients.clients import CURRENT, INDEPENDENT, OLD, Client
from tests.clients.running import Running
from tests.ports import free_ports
from tests.processes import until

pytestmark = pytest.mark.slow
every = pytest.mark.parametrize(
    "client", [*CURRENT, *INDEPENDENT, *OLD], ids=lambda client: client.name
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('clients') / 'tidegauge.db'}"


@pytest.fixture(scope="module")
def collector(database: str) -> Iterator[Collector]:
    with Collector(database) as running:
        yield running


@every
def test_known_spans_are_stored_as_they_were_sent(
    client: Client, collector: Collector, database: str
) -> None:
    with client.start(collector) as running:
        sent = running.export(client.name)
        assert sent.ok, running.log()
    known.check(known.stored(database, sent.trace_id), client.name, with_bytes=client.sends_bytes)


@pytest.fixture
def retrying(sqlite_url: str) -> Iterator[Outage]:
    """Return a collector, and every current client that is known to retry; of each, one."""
    with ExitStack() as stack:
        outage = Outage(sqlite_url, stack)
        for client in CURRENT:
            if client.retries and client.compression == "gzip":
                outage.start(client)
        yield outage


class Outage:
    """Clients that have sent once, and a collector that may go away."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self._stack = stack
        self._http, self._grpc = map(str, free_ports(2))
        self.running: dict[str, Running] = {}
        self.collector = self.collect()

    def collect(self) -> Collector:
        """Start a collector, always on the same ports."""
        return self._stack.enter_context(
            Collector(
                self.url,
                answer_within_s="0.3",
                otlp_http_port=self._http,
                otlp_grpc_port=self._grpc,
            )
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", int(port)) for port in (self._http, self._grpc)]

    def start(self, client: Client) -> None:
        self.running[client.name] = self._stack.enter_context(client.start(self.collector))

    def begin(self, batch: str) -> None:
        for name, running in self.running.items():
            running.begin(f"{name}, {batch}")

    def lost(self) -> dict[str, str]:
        """Return whose batch failed, and what that client wrote; spans that are missing raise."""
        sent = {name: running.ended() for name, running in self.running.items()}
        for one in sent.values():
            assert len(known.stored(self.url, one.trace_id)) == (2 if one.ok else 0)
        return {name: self.running[name].log() for name, one in sent.items() if not one.ok}


def test_every_current_client_that_retries_delivers_through_503(retrying: Outage) -> None:
    retrying.start(INDEPENDENT[0])
    retrying.begin("before")
    assert retrying.lost() == {}
    with locked(retrying.url):
        retrying.begin("during")
        assert until(lambda: refusals(retrying.collector) >= len(retrying.running))
    assert retrying.lost() == {}


def test_every_current_client_that_retries_delivers_through_a_restart(retrying: Outage) -> None:
    retrying.begin("before")
    assert retrying.lost() == {}
    retrying.collector.stop()
    with ExitStack() as stack:
        closed = [stack.enter_context(socket.create_server(at)) for at in retrying.addresses]
        retrying.begin("during")
        held = wait_for_callers(closed, len(retrying.running))
        for connection in held:
            stack.enter_context(connection)
    retrying.collect()
    assert retrying.lost() == {}


def wait_for_callers(closed: Sequence[socket.socket], most: int) -> list[socket.socket]:
    """Return one connection of each client, kept waiting: so every one of them sees the outage."""
    held: list[socket.socket] = []

    def all_called() -> bool:
        for listener in closed:
            listener.setblocking(False)
            with suppress(BlockingIOError):
                held.append(listener.accept()[0])
        return len(held) >= most

    assert until(all_called, within_s=8), f"{len(held)} of {most} called"
    return held


def test_node_over_grpc_does_not_retry_and_says_so(sqlite_url: str) -> None:
    """The reason why the documentation recommends HTTP for Node."""
    clients = [client for client in CURRENT if not client.retries]
    assert {client.protocol for client in clients} == {"grpc"}
    with Collector(sqlite_url, answer_within_s="0.3") as collector, ExitStack() as stack:
        running = [stack.enter_context(client.start(collector)) for client in clients]
        with locked(sqlite_url):
            assert not any(one.export("refused").ok for one in running)
        assert all(one.export("taken").ok for one in running)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the write lock of a SQLite file, so that the collector answers 503 and UNAVAILABLE."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


def refusals(collector: Collector) -> float:
    text = httpx.get(f"http://{collector.http}/metrics").text
    found = re.findall(
        r'^tidegauge_refusals_total\{reason="(?:store_busy|too_slow)"\} (\S+)$', text, re.MULTILINE
    )
    return sum(map(float, found))
