"""Connections until their TLS handshake is done: counted and timed like any other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from socket import socket

from collector.connections import Connections
from collector.http_protocol import Say
from collector.tls import Tls

FULL_S = 0.1  # pause where the process has no file left for another connection


class Doors:
    """Accepts connections and shakes hands. The loop's own server would count none of them before
    the handshake is done, would not say why one failed, and would keep its first certificate."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        tls: Tls,
        connections: Connections,
        say: Say,
    ) -> None:
        self._make = make
        self._tls = tls
        self._connections = connections
        self._say = say
        self._open: set[_Door] = set()

    async def accept(self, listener: socket) -> None:
        """Accept connections until cancelled."""
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(FULL_S)
                continue
            self._take(accepted)

    def _take(self, accepted: socket) -> None:
        door = _Door(asyncio.ensure_future(self._shake_hands(accepted)))
        if not self._connections.enter(door):
            door.end()
        self._open.add(door)
        door.task.add_done_callback(lambda _: self._done(door))

    def _done(self, door: _Door) -> None:
        self._open.discard(door)
        self._connections.leave(door)

    async def _shake_hands(self, accepted: socket) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(self._make, accepted, ssl=self._tls.context)
        except ssl.SSLError as error:
            self._say(_why(error))
        except OSError:
            pass  # the client has gone
        except asyncio.CancelledError:
            accepted.close()  # it may not have begun
            raise


class _Door:
    """A handshake."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task

    def end(self) -> None:
        """Close the connection."""
        self.task.cancel()


def _why(error: ssl.SSLError) -> str:
    """Return what a failed handshake tells the operator.

    >>> _why(ssl.SSLError(1, "[SSL: HTTP_REQUEST] http request")).partition(":")[2]
    ' its endpoint needs https://'
    """
    text = str(error)
    if "HTTP_REQUEST" in text or "WRONG_VERSION_NUMBER" in text:
        return "a client speaks plaintext to the TLS port of HTTP: its endpoint needs https://"
    if "PEER_DID_NOT_RETURN" in text:
        return "a client shows no certificate, and tls_client_ca_file asks for one"
    if "UNKNOWN_CA" in text or "CERTIFICATE_UNKNOWN" in text:
        return "a client does not trust our certificate: it needs the CA that signed it"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "a client's certificate is not good: expired, or not signed by tls_client_ca_file"
    return f"a TLS handshake failed: {getattr(error, 'reason', None) or 'unknown reason'}"
