"""Which pages a browser lets send spans: those whose origin is listed, and no other."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

REMEMBER_S = 7_200  # what Chromium keeps a preflight at most


class Cors:
    """Speaks CORS with listed origins on the OTLP paths; says nothing to anybody else.

    Any header is allowed, as the name of an API key's header is the client's to choose. Credentials
    are too: sendBeacon() always asks for them. Both are safe only because ``*`` is no origin.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._cors = CORSMiddleware(
            app,
            allow_origins=self._origins,
            allow_methods=["POST"],
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=["Retry-After"],
            max_age=REMEMBER_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do it."""
        ours = scope["type"] == "http" and scope["path"].startswith("/v1/")
        listed = ours and Headers(scope=scope).get("origin") in self._origins
        await (self._cors if listed else self._app)(scope, receive, send)
