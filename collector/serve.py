"""The collector process: schema, store, writer, both edges; from start to a clean stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import grpc
import uvicorn
import uvloop

from collector.app import create_app
from collector.desk import Desk
from collector.grpc_edge import create_server
from collector.health import Doctor
from collector.inflight import InFlight
from collector.limits import Limits
from collector.metrics import Metrics
from collector.redact import DEFAULT as RULES
from collector.writer import Writer
from tidegauge import clock, log
from tidegauge.settings import Settings
from tidegauge.store import migrate
from tidegauge.store.engine import Engine, StoreBusy, StoreUnusable, open_engine

MAX_SPANS = 10_000  # in a request; more could not be stored before its sender gives up
STOP_WITHIN_S = 8  # for requests that were taken before the stop
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2048
IDLE_S = 90  # longer than the interval of any exporter: a cut connection can cost a batch


class PortTaken(Exception):
    """An address cannot be listened on; the message says which and what to do."""


class _Http(uvicorn.Server):
    """uvicorn without its own signal handlers: both edges stop together, in our order."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


def serve(settings: Settings) -> None:
    """Run the collector until SIGTERM or SIGINT; wait a minute for a database that starts.

    Where it cannot start it says why in one line on standard error and exits with code 2.
    """
    log.configure(settings.log_format, process="collector")
    early = _early_stop()
    try:
        migrate.upgrade_when_up(settings.database_url, early, _say_that_it_waits)
        engine = open_engine(settings.database_url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, engine, early))
    except (StoreUnusable, StoreBusy, PortTaken) as error:
        if early.is_set():
            return  # stopped while it waited for the database
        print(f"tidegauge collect: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _say_that_it_waits(why: str) -> None:
    log.get(__name__).warning("database does not answer yet", why=why, waits_s=migrate.WAIT_S)


async def _serve(settings: Settings, engine: Engine, early: threading.Event) -> None:
    stop = _stop_signal(early)
    metrics = Metrics()
    with _listen(settings.host, settings.otlp_http_port) as http_socket:
        writer = Writer(engine, settings.project, clock=clock.now, metrics=metrics)
        desk = Desk(
            writer,
            InFlight(settings.max_queue_bytes),
            metrics,
            project=settings.project,
            rules=RULES,
            bounds=Limits(body_bytes=settings.max_body_bytes, spans=MAX_SPANS),
            answer_within_s=settings.answer_within_s,
            clock=clock.now,
        )
        doctor = Doctor(engine, writer)
        try:
            await _edges(settings, desk, doctor, http_socket, stop)
        finally:
            await asyncio.to_thread(writer.close, STOP_WITHIN_S)
            doctor.close()
            engine.dispose()


async def _edges(
    settings: Settings, desk: Desk, doctor: Doctor, http_socket: socket.socket, stop: asyncio.Event
) -> None:
    rpc = create_server(desk)
    rpc_port = _bind(rpc, settings.host, settings.otlp_grpc_port)
    await rpc.start()
    http = _Http(_http_config(desk, doctor))
    serving = asyncio.create_task(http.serve(sockets=[http_socket]))
    _announce(settings, http_socket.getsockname()[1], rpc_port)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    log.get(__name__).info("stopping: no new requests, those taken are finished")
    stopping.cancel()
    http.should_exit = True
    await asyncio.gather(serving, rpc.stop(STOP_WITHIN_S))


def _http_config(desk: Desk, doctor: Doctor) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(desk, doctor),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )


def _early_stop() -> threading.Event:
    """Return what a signal sets that comes before the event loop runs."""
    stop = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    return stop


def _stop_signal(early: threading.Event) -> asyncio.Event:
    stop = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if early.is_set():
        stop.set()
    return stop


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """Bind an address, port 0 for any free one. Raises PortTaken."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _taken(host, port, error) from error
    with listener:
        # Without it a collector that restarts waits a minute for connections of its past life.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)  # from here on no client is refused, even before the start
        except OSError as error:
            raise _taken(host, port, error) from error
        yield listener


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    """Return the port that the gRPC server listens on. Raises PortTaken."""
    with _listen(host, port):  # to try it: gRPC's own message is three lines of C++
        pass
    try:
        return int(server.add_insecure_port(f"{_bracketed(host)}:{port}"))
    except RuntimeError as error:
        raise _taken(host, port, OSError("in use")) from error


def _taken(host: str, port: int, error: OSError) -> PortTaken:
    return PortTaken(
        f"cannot listen on {_bracketed(host)}:{port} ({error.strerror or error}); "
        "stop the other process or choose another port"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announce(settings: Settings, http_port: int, grpc_port: int) -> None:
    host = _bracketed(settings.host)
    http, rpc = f"http://{host}:{http_port}", f"{host}:{grpc_port}"
    log.get(__name__).info("collecting", otlp_http=http, otlp_grpc=rpc)
    with suppress(OSError):  # nobody may read it
        print(f"Tidegauge collects OTLP: HTTP on {http}, gRPC on {rpc}", flush=True)
