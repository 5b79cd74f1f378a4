"""A TCP proxy between the collector and its database, that is slow, or swallows everything."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE = 64 * 1024


class Proxy:
    """Forwards connections to a port of 127.0.0.1. Its state may change at any moment."""

    def __init__(self, target_port: int) -> None:
        self.delay_s = 0.0  # before each piece of data, in both directions
        self._open = threading.Event()
        self._open.set()
        self._target_port = target_port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self, everything: bool) -> None:
        """Forward nothing from now on, while connections stay open; or go on."""
        (self._open.clear if everything else self._open.set)()

    def close(self) -> None:
        """Cut every connection and take no new one."""
        self._open.set()
        for one in [self._listener, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                try:
                    server = socket.create_connection(("127.0.0.1", self._target_port))
                except OSError:
                    client.close()
                    continue
                self._sockets.append(server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # closed at one end: the other end is told, below
            while piece := source.recv(_PIECE):
                self._open.wait()
                time.sleep(self.delay_s)
                target.sendall(piece)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
