"""On-call's end of the webhook: takes messages, checks their signatures, keeps the good ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

TOLERANCE_S = 300.0  # Standard Webhooks: an older message may be a replayed one
_LARGEST = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One message whose signature was right."""

    event: Mapping[str, Any]
    at_s: float  # seconds since 1970

    @property
    def kind(self) -> str:
        """Return the event's type, such as ``alert.firing``."""
        return str(self.event.get("type", ""))

    @property
    def data(self) -> Mapping[str, Any]:
        """Return what the event says."""
        data: Mapping[str, Any] = self.event.get("data", {})
        return data


def is_genuine(headers: Mapping[str, str], body: bytes, secret: str, now_s: float) -> bool:
    """Return whether a message was signed with ``secret`` (whsec_...) within the last 5 minutes.

    Source: Standard Webhooks 1.0.0, "Verifying webhook authenticity".
    """
    id_, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (id_ and sent.isdecimal() and abs(now_s - int(sent)) <= TOLERANCE_S):
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{id_}.{sent}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(right.encode(), one.encode()) for one in given)


class Receiver:
    """An HTTP server on a free loopback port; ``pages`` holds the genuine messages, in order."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        """Take messages signed with ``secret``; ``clock()`` gives seconds since 1970."""
        self.pages: SimpleQueue[Page] = SimpleQueue()
        self.refused: SimpleQueue[str] = SimpleQueue()  # ids of messages that were not genuine
        pages, refused = self.pages, self.refused

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("content-length") or 0), _LARGEST)
                body, now_s = self.rfile.read(length), clock()
                headers = {name.lower(): value for name, value in self.headers.items()}
                genuine = is_genuine(headers, body, secret, now_s)
                if genuine:
                    pages.put(Page(json.loads(body), now_s))
                else:
                    refused.put(headers.get("webhook-id", ""))
                self.send_response(204 if genuine else 401)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: what arrived is printed as on-call sees it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Return the address to post to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/on-call"

    def __enter__(self) -> Self:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
