"""The addresses that the collector listens on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

BACKLOG = 2048  # connections that wait to be accepted


class PortTaken(Exception):
    """An address cannot be listened on; the message says which and what to do."""


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
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


def bind(
    server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None
) -> int:
    """Return the port that the gRPC server listens on. Raises PortTaken."""
    with listen(host, port):  # to try it: gRPC's own message is three lines of C++
        pass
    address = f"{bracketed(host)}:{port}"
    try:
        if credentials is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise _taken(host, port, OSError("in use")) from error


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL.

    >>> bracketed("::1"), bracketed("127.0.0.1")
    ('[::1]', '127.0.0.1')
    """
    return f"[{host}]" if ":" in host else host


def _taken(host: str, port: int, error: OSError) -> PortTaken:
    return PortTaken(
        f"cannot listen on {bracketed(host)}:{port} ({error.strerror or error}); "
        "stop the other process or choose another port"
    )
