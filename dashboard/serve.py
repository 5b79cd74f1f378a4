"""The dashboard's server: address, headers, health; Streamlit behind them."""

from __future__ import annotations

import base64
import hashlib
import importlib
import re
import socket
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App

from dashboard import connect
from dashboard.look import DARK, LIGHT
from tidegauge import log
from tidegauge.settings import Settings
from tidegauge.store import rollups
from tidegauge.store.engine import StoreBusy, StoreUnusable, read

APP = Path(__file__).with_name("app.py")
_WILDCARDS = {"0.0.0.0", "::", ""}  # noqa: S104 (recognised, not bound)
#: Loaded before the first page: two pages that load one of these at the same moment, each in its
#: own thread, see half of it (plotly asks pandas for a class that is not there yet).
_LOADED_FIRST = ("pandas", "pyarrow", "plotly.graph_objects", "plotly.io")
_INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


class ServeError(Exception):
    """The dashboard cannot start; the message says why and what to do."""


def serve(settings: Settings) -> None:
    """Run the dashboard until SIGTERM or SIGINT. Where it cannot start: one line, exit code 2."""
    log.configure(settings.log_format, process="dashboard")
    try:
        port = free_port(settings.host, settings.dashboard_port)
        connect.use(settings.model_copy(update={"dashboard_port": port}))
        connect.engine()
    except (ServeError, StoreUnusable) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    for name in _LOADED_FIRST:
        importlib.import_module(name)
    log.get("dashboard").info("serving", url=connect.settings().dashboard_url)
    app().run(config=config(settings, port))


def app() -> App:
    """Return the ASGI application: Streamlit, its health answer and the security headers."""
    return App(
        APP,
        routes=[Route("/api/healthz", healthz)],
        middleware=[Middleware(SecurityHeaders, policy=content_policy(inline_scripts()))],
    )


def free_port(host: str, port: int) -> int:
    """Return ``port``, or a free one where it is 0.

    Raises ServeError where it cannot be bound: Streamlit would silently take the next port, and
    every link in an alert would lead elsewhere.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ServeError(
            f"cannot listen on {host}:{port} ({error.strerror}); "
            "stop what uses the port, or choose another --dashboard-port"
        ) from error


def allowed_hosts(settings: Settings) -> list[str]:
    """Return the host names that a request may carry, against DNS rebinding."""
    names = {"localhost", "127.0.0.1", "[::1]"}
    names |= {socket.gethostname()} if settings.host in _WILDCARDS else {settings.host}
    public = urlsplit(settings.public_url).hostname
    return sorted(names | ({public} if public else set()))


def config(settings: Settings, port: int) -> Mapping[str, Any]:
    """Return Streamlit's options. Nothing in them calls another host."""
    return {
        "server.headless": True,
        "server.address": settings.host,
        "server.port": port,
        "server.fileWatcherType": "none",
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.allowedHosts": allowed_hosts(settings),
        "server.maxUploadSize": 1,
        "server.enableAgentApi": False,
        # else the welcome text of a wildcard address asks a foreign host for our public address
        "logger.hideWelcomeMessage": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "type",
        "client.showErrorLinks": False,
        "client.allowedOrigins": [],
        "theme.chartCategoricalColors": list(LIGHT.palette),
        "theme.light.primaryColor": LIGHT.primary,
        "theme.light.textColor": LIGHT.text,  # the default makes captions fail WCAG AA
        "theme.light.chartCategoricalColors": list(LIGHT.palette),
        "theme.dark.primaryColor": DARK.primary,
        "theme.dark.chartCategoricalColors": list(DARK.palette),
    }


def inline_scripts() -> list[str]:
    """Return the CSP hashes of the inline scripts in Streamlit's own page."""
    page = files("streamlit").joinpath("static", "index.html").read_text(encoding="utf-8")
    digests = [hashlib.sha256(text.encode()).digest() for text in _INLINE_SCRIPT.findall(page)]
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def content_policy(script_hashes: list[str]) -> str:
    """Return the Content-Security-Policy: everything from here, nothing from elsewhere."""
    return "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            " ".join(("script-src 'self' 'wasm-unsafe-eval'", *script_hashes)),
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "connect-src 'self'",
            "frame-src 'self' blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class SecurityHeaders:
    """Adds the security headers to every HTTP answer; WebSockets pass untouched."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        """Wrap ``app``; ``policy`` is the Content-Security-Policy."""
        self._app = app
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def healthz(_request: Request) -> JSONResponse:
    """Answer 200 where the database answers, else 503."""
    try:
        with read(connect.engine()) as db:
            rollups.projects(db)
    except (StoreBusy, StoreUnusable):
        return JSONResponse({"status": "database unavailable"}, status_code=503)
    return JSONResponse({"status": "ok"})
