"""The HTTP server: uvicorn's, with our connections, deadlines and TLS."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from socket import socket

import uvicorn
from uvicorn.config import Config

from collector.connections import Connections, Phase
from collector.doors import Doors
from collector.http_protocol import HttpProtocol
from collector.ports import BACKLOG
from collector.tls import Tls
from tidegauge import log

RELOAD_TICKS = 20  # looks for changed TLS files every 2 s


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: both edges stop together, in our order."""

    def __init__(self, config: Config, connections: Connections, tls: Tls | None) -> None:
        super().__init__(config)
        self._connections = connections
        self._tls = tls
        self._said: set[str] = set()
        self._doors: list[asyncio.Task[None]] = []

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        """Leave the signals alone."""
        return nullcontext()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Accept connections on sockets that listen already."""
        await self.lifespan.startup()
        self.servers = []
        for listener in sockets or ():
            await self._accept_on(listener)
        self.started = True

    async def _accept_on(self, listener: socket) -> None:
        loop = asyncio.get_running_loop()
        if self._tls is None:
            server = await loop.create_server(self._protocol, sock=listener, backlog=BACKLOG)
            self.servers.append(server)
        else:
            doors = Doors(self._protocol, self._tls, self._connections, self._say)
            self._doors.append(loop.create_task(doors.accept(listener)))

    async def on_tick(self, counter: int) -> bool:
        """Close what is overdue, ten times a second."""
        self._connections.end_overdue()
        if self._tls is not None and counter % RELOAD_TICKS == 0:
            self._tls.reload()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Accept nothing more, answer what was taken, close."""
        for server in self.servers:
            server.close()
        for doors in self._doors:
            doors.cancel()
        self._connections.end_all(Phase.HEAD)  # there is no request yet
        await super().shutdown(sockets)

    def _protocol(self) -> HttpProtocol:
        return HttpProtocol(self.config, self.server_state, self._connections, self._say)

    def _say(self, hint: str) -> None:
        """Log a hint, the first time: who sends garbage must not fill the log."""
        if hint not in self._said:
            self._said.add(hint)
            log.get(__name__).warning(hint, once=True)
