"""The HTTP edge: routes, size limits, status codes, health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from collector.answers import Signal, status, success, told
from collector.desk import Answer, Desk, Refusal
from collector.health import Doctor
from collector.inflight import Held
from collector.limits import TooLarge

BODY_WITHIN_S = 30.0  # else a client that sends a byte a minute holds a connection for ever
PROTOBUF = "application/x-protobuf"
JSON = "application/json"

Handler = Callable[[Request], Awaitable[Response]]

# Only 429, 502, 503 and 504 are sent again, and old clients drop the batch at 429 too. A long
# Retry-After makes clients drop it at once: it goes beyond their own 10 s.
_HTTP_STATUS = {
    Answer.BAD: 400,
    Answer.TOO_LARGE: 413,
    Answer.UNSUPPORTED: 415,
    Answer.UNKNOWN: 401,
    Answer.FORBIDDEN: 403,
    Answer.LATER: 503,
}
_RPC_CODE = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 503: 14}


def create_app(desk: Desk, doctor: Doctor, *, body_within_s: float = BODY_WITHIN_S) -> Starlette:
    """Return the HTTP application; a slash at the end of a path is served, never redirected."""
    handlers = {signal: _export(desk, signal, body_within_s) for signal in Signal}
    routes = [
        Route(f"/v1/{signal}{slash}", handlers[signal], methods=["POST"])
        for signal in Signal
        for slash in ("", "/")
    ]
    routes += [
        Route("/healthz", _healthz),
        Route("/readyz", _readyz(doctor)),
        Route("/metrics", _metrics(desk)),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_route(desk)})
    app.router.redirect_slashes = False  # a redirected POST loses its body, and clients say success
    return app


def _export(desk: Desk, signal: Signal, body_within_s: float) -> Handler:
    async def handle(request: Request) -> Response:
        json = _is_json(request)
        try:
            answer = await _take(desk, signal, request, json, body_within_s)
        except Exception as error:  # noqa: BLE001  (a 500 would make clients drop good data)
            return _refused(desk.refuse("http", signal, error), json=json is not False)
        desk.count("http", signal, "ok")
        return Response(answer, media_type=JSON if json else PROTOBUF)

    return handle


async def _take(
    desk: Desk, signal: Signal, request: Request, json: bool | None, body_within_s: float
) -> bytes:
    """Return the body of the answer, once the request is stored."""
    if json is None:
        message = f"Content-Type must be {PROTOBUF} or {JSON}"
        raise Refusal(Answer.UNSUPPORTED, "unknown_type", message)
    sender = desk.admit(request.headers)
    held = desk.in_flight.open()
    body = await _read(request, held, desk.max_bytes, body_within_s)
    if signal is not Signal.TRACES:
        held.release()
        return success(signal, message=desk.not_stored_yet(signal), json=json)
    encoding = request.headers.get("content-encoding")
    receipt = await desk.export(body, held, sender, json=json, encoding=encoding)
    message = told(receipt.rejected, receipt.warnings)
    return success(signal, rejected=len(receipt.rejected), message=message, json=json)


def _is_json(request: Request) -> bool | None:
    """Return whether the body is JSON (True) or protobuf (False); None if it is neither."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return {JSON: True, PROTOBUF: False}.get(sent)


async def _read(request: Request, held: Held, limit: int, within_s: float) -> bytes:
    """Return the body, with or without a Content-Length. Gives ``held`` back if it fails."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise TooLarge("bytes", limit)
                held.add(len(part))
                parts.append(part)
    except TimeoutError:
        held.release()
        message = f"the body did not arrive within {within_s:g} s"
        raise Refusal(Answer.LATER, "slow_body", message) from None
    except ClientDisconnect:
        held.release()
        raise Refusal(Answer.LATER, "disconnected", "the client has gone") from None
    except BaseException:
        held.release()
        raise
    return b"".join(parts)


def _refused(refusal: Refusal, *, json: bool) -> Response:
    headers = {"Retry-After": "1"} if refusal.answer == Answer.LATER else {}
    if refusal.reason == "slow_body":
        headers["Connection"] = "close"
    return _status(_HTTP_STATUS[refusal.answer], str(refusal), headers, json=json)


def _status(code: int, message: str, headers: dict[str, str], *, json: bool) -> Response:
    body = status(_RPC_CODE.get(code, 2), message, json=json)
    return Response(body, code, headers, media_type=JSON if json else PROTOBUF)


def _no_such_route(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 404
        paths = "POST to /v1/traces, /v1/metrics or /v1/logs"
        message = f"{request.method} is not for this path; {paths}" if code == 405 else paths
        desk.metrics.add("tidegauge_refusals_total", reason=f"http_{code}")
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return _status(code, message, headers, json=_is_json(request) is not False)

    return handle


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _readyz(doctor: Doctor) -> Handler:
    async def handle(_: Request) -> Response:
        health = await doctor.examine()
        content = {
            "ready": not health.reasons,
            "reasons": list(health.reasons),
            "database": health.database,
        }
        return JSONResponse(content, 503 if health.reasons else 200)

    return handle


def _metrics(desk: Desk) -> Handler:
    async def handle(_: Request) -> Response:
        text = desk.metrics.render({"tidegauge_in_flight_bytes": desk.in_flight.bytes})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return handle
