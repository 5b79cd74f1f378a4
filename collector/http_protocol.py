"""One HTTP connection: uvicorn's, with deadlines, a bound on its header, and no lost bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from collector.answers import status
from collector.connections import Connections, Phase

HEAD_BYTES = 64 * 1024
HEADERS = 128  # each costs far more memory than its bytes
FRAMING_PER_BYTE = 8  # what chunked framing may add: a chunk of one byte has 6
DRAIN_BYTES = 64 * 2**20  # of a body that was refused unread; its sender reads after it has sent
_UPGRADE = (b"upgrade", b"http2-settings")

Say = Callable[[str], None]


class _HeadTooLarge(Exception):
    pass


class HttpProtocol(HttpToolsProtocol):
    """Reports its phase to ``connections``; ``say`` gets a hint for the log about odd clients."""

    parser: Any
    transport: asyncio.Transport

    def __init__(self, config: Config, state: ServerState, connections: Connections, say: Say):
        super().__init__(config, state, {})
        self._connections = connections
        self._say = say
        self._arriving = False  # between the end of a header and the end of its body
        self._upgrade = False
        self._too_large = False
        self._head = self._headers = self._body = self._drained = 0
        self._chunk = self._fed = 0  # bytes of this piece, and of the request, framing and all

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start; at once with the end where there is no room."""
        super().connection_made(transport)
        if not self._connections.enter(self):
            self._refuse(503, "too many connections; try again", retry=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._connections.leave(self)
        super().connection_lost(exc)

    def end(self) -> None:
        """Close the connection; what is in its buffers is lost."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read what came, as uvicorn does, but within bounds."""
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self._connections.phase(self) is Phase.IDLE:
            self._connections.move(self, Phase.HEAD)
        self._chunk = len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._bad_request(data)
            return
        self._fed += len(data)
        if self._connections.phase(self) is Phase.HEAD and self._fed > HEAD_BYTES:
            self._refuse(431, f"the header has more than {HEAD_BYTES:,} bytes")
        elif self._fed > HEAD_BYTES + (1 + FRAMING_PER_BYTE) * self._body:
            self._refuse(400, "there is far more framing than body")

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_without_upgrade(data[upgrade.args[0] :])

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Read a request as if it asked for no other protocol, which a server may do.

        The parser skips the body of such a request: it would be answered as an empty one, with 200.
        """
        self._upgrade = False
        lines = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
        lines += [
            b"%b: %b" % (name, _without_upgrade(value) if name == b"connection" else value)
            for name, value in self.headers
            if name not in _UPGRADE
        ]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head = self._headers = self._body = self._drained = 0
        # Behind a request in the same piece: how much of the piece is that one's is not known.
        first = self._connections.phase(self) is Phase.HEAD
        self._fed = 0 if first else -self._chunk

    def on_url(self, url: bytes) -> None:
        """Take a part of the path."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What comes after the body is dropped: it was not there to be judged."""
        self._headers += 1
        self._count_head(len(name) + len(value))
        if not self._arriving:
            super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES or self._headers > HEADERS:
            self._too_large = True
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        """Start to answer the request."""
        if self.parser.should_upgrade():
            self._upgrade = True
            return
        self._arriving = True
        self._connections.move(self, Phase.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; throw it away where the answer is there already."""
        self._body += len(body)
        if self.cycle.response_complete:
            self._drained += len(body)
            if self._drained > DRAIN_BYTES:
                self.end()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if self._upgrade:
            return
        self._arriving = False
        done = self.cycle.response_complete
        self._connections.move(self, Phase.IDLE if done else Phase.ANSWER)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End an answer, and start the next one where its request is here already."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._connections.move(self, Phase.ANSWER)  # until the client has read it
        elif not self.cycle.response_complete:
            self._connections.move(self, Phase.ANSWER)
        elif not self._arriving:
            self._connections.move(self, Phase.IDLE)

    def _bad_request(self, data: bytes) -> None:
        if self._too_large:
            self._refuse(431, f"the header has more than {HEAD_BYTES:,} bytes or {HEADERS} lines")
            return
        if data.startswith(b"PRI * HTTP/2"):
            self._say("a gRPC or HTTP/2 client speaks to the HTTP port; gRPC has a port of its own")
        elif data.startswith(b"\x16\x03"):
            self._say("a client speaks TLS to the HTTP port, which is set up without TLS")
        self._refuse(400, "this is no HTTP/1.1 request")

    def _refuse(self, code: int, message: str, *, retry: bool = False) -> None:
        """Answer without the application, and close."""
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.end()  # an answer is on its way: a second one would be read as part of it
            return
        body = status(14 if retry else 3, message, json=True)
        lines = [STATUS_LINE[code] + b"content-type: application/json"]
        lines += [b"content-length: %d" % len(body), b"connection: close"]
        lines += [b"retry-after: 1"] if retry else []
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()


def _without_upgrade(connection: bytes) -> bytes:
    tokens = [token.strip() for token in connection.split(b",")]
    return b", ".join(token for token in tokens if token.lower() not in _UPGRADE)
