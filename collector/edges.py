"""Both edges of the collector: started on their ports, stopped together."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from collector.app import create_app
from collector.connections import Connections, Deadlines, most_connections
from collector.desk import Desk
from collector.grpc_edge import create_server
from collector.health import Doctor
from collector.http_server import HttpServer
from collector.ports import bind, bracketed
from collector.reading import Pace, Reading
from collector.tls import Tls
from tidegauge import log
from tidegauge.settings import Settings


@dataclass(frozen=True, slots=True)
class Timing:
    """How long clients may take."""

    deadlines: Deadlines = field(default_factory=Deadlines)
    pace: Pace = field(default_factory=Pace)


async def run(
    settings: Settings,
    desk: Desk,
    doctor: Doctor,
    listener: socket.socket,
    stop: asyncio.Event,
    tls: Tls | None = None,
    *,
    timing: Timing | None = None,
    ready: Callable[[], None] = lambda: None,
) -> float:
    """Serve until ``stop``; then take nothing more, and answer what was taken.

    ``ready`` is called once both ports are ours. Returns when the stop began, on the monotonic
    clock. Raises PortTaken.
    """
    timing = timing or Timing()
    reading = Reading(timing.pace)
    within_s = math.ceil(settings.answer_within_s + reading.pace.stop_s + 0.5)
    most = most_connections(settings.max_connections)
    if settings.max_connections is not None and most < settings.max_connections:
        log.get(__name__).warning(
            "TIDEGAUGE_MAX_CONNECTIONS is lowered: `ulimit -n` leaves room for no more",
            asked=settings.max_connections,
            used=most,
        )
    rpc = create_server(desk, reading=reading, deadlines=timing.deadlines, connections=most)
    credentials = tls.credentials() if tls else None
    rpc_port = bind(rpc, settings.host, settings.otlp_grpc_port, credentials)
    await rpc.start()
    connections = Connections(
        most,
        time.monotonic,
        deadlines=timing.deadlines,
        closed=lambda why: desk.metrics.add("tidegauge_connections_ended_total", why=why),
    )
    desk.metrics.watch("tidegauge_connections", partial(len, connections))
    app = create_app(desk, doctor, reading=reading, cors_origins=settings.cors_origins)
    http = HttpServer(_config(app, timing.deadlines.idle_s, within_s), connections, tls)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    ready()
    _announce(settings, listener.getsockname()[1], rpc_port, tls)
    stopping = asyncio.create_task(stop.wait())
    watching = asyncio.create_task(doctor.watch())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopped_at = time.monotonic()
    log.get(__name__).info("stopping: no new requests, those taken are finished")
    stopping.cancel()
    watching.cancel()
    reading.stop()
    http.should_exit = True
    await asyncio.gather(serving, rpc.stop(within_s))
    return stopped_at


def _config(app: ASGIApp, idle_s: float, stop_within_s: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=math.ceil(idle_s),
        timeout_graceful_shutdown=stop_within_s,
    )


def _announce(settings: Settings, http_port: int, grpc_port: int, tls: Tls | None) -> None:
    host = bracketed(settings.host)
    scheme = "https" if tls else "http"
    http, rpc = f"{scheme}://{host}:{http_port}", f"{host}:{grpc_port}"
    log.get(__name__).info("collecting", otlp_http=http, otlp_grpc=rpc, tls=tls is not None)
    with suppress(OSError):  # nobody may read it
        print(f"Tidegauge collects OTLP: HTTP on {http}, gRPC on {rpc}", flush=True)
