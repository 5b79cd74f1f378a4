"""The HTTP edge: routes, size limits, status codes, health."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from collector.answers import Signal, status, success, told
from collector.cors import Cors
from collector.desk import AGAIN, Answer, Desk, Refusal, wrong_part
from collector.health import Doctor
from collector.inflight import Held
from collector.limits import TooLarge
from collector.reading import Reading
from collector.sender import Sender

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
    Answer.SLOWER: 429,
    Answer.LATER: 503,
}
_RPC_CODE = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 429: 14, 503: 14}


def create_app(
    desk: Desk, doctor: Doctor, *, reading: Reading, cors_origins: Collection[str] = ()
) -> ASGIApp:
    """Return the HTTP application; a slash at the end of a path is served, never redirected."""
    handlers = {signal: _export(desk, signal, reading) for signal in Signal}
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
    return Cors(app, cors_origins) if cors_origins else app


def _export(desk: Desk, signal: Signal, reading: Reading) -> Handler:
    async def handle(request: Request) -> Response:
        json, sender = _is_json(request), None
        try:
            sender = desk.admit(request.headers)
            answer = await _take(desk, signal, request, sender, json, reading)
        except Exception as error:  # noqa: BLE001  (a 500 would make clients drop good data)
            refusal = desk.refuse("http", signal, error, sender)
            return _refused(refusal, json=json is not False)
        desk.count("http", signal, "ok")
        return Response(answer, media_type=JSON if json else PROTOBUF)

    return handle


async def _take(
    desk: Desk,
    signal: Signal,
    request: Request,
    sender: Sender,
    json: bool | None,
    reading: Reading,
) -> bytes:
    """Return the body of the answer, once the request is stored."""
    if json is None:
        message = f"Content-Type must be {PROTOBUF} or {JSON}"
        raise Refusal(Answer.UNSUPPORTED, "unknown_type", message)
    held = desk.in_flight.open()  # put off now, not when the body is here
    body = await _read(request, held, desk.max_bytes, reading)
    encoding = request.headers.get("content-encoding")
    if signal is Signal.TRACES:
        receipt = await desk.export(body, held, sender, json=json, encoding=encoding)
    else:
        receipt = await desk.keep(signal, body, held, sender, json=json, encoding=encoding)
    message = told(receipt.rejected, receipt.warnings, signal)
    return success(signal, rejected=len(receipt.rejected), message=message, json=json)


def _is_json(request: Request) -> bool | None:
    """Return whether the body is JSON (True) or protobuf (False); None if it is neither."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return {JSON: True, PROTOBUF: False}.get(sent)


async def _read(request: Request, held: Held, limit: int, reading: Reading) -> bytes:
    """Return the body, with or without a Content-Length. Gives ``held`` back if it fails."""
    try:
        _check_length(request, limit)
        return await _read_paced(request, held, limit, reading)
    except TimeoutError:
        held.release()
        message = "the body did not arrive in time"
        raise Refusal(Answer.LATER, "slow_body", message) from None
    except ClientDisconnect:
        held.release()
        raise Refusal(Answer.LATER, "disconnected", "the client has gone") from None
    except BaseException:
        held.release()
        raise


def _check_length(request: Request, limit: int) -> None:
    """Refuse a body that says itself that it is too large, before any of it is read."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise TooLarge("bytes", limit)


async def _read_paced(request: Request, held: Held, limit: int, reading: Reading) -> bytes:
    """Return the body. Raises TimeoutError where it comes slower than a client ever would."""
    # One growing buffer: 240 pieces of a large body would leave holes in the heap, kept for ever.
    body = bytearray()
    size = 0
    async with reading.within(reading.pace.grace_s) as timeout:
        began = reading.until(0)
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise TooLarge("bytes", limit)
            held.add(len(part))
            body += part
            timeout.reschedule(reading.no_later(began + reading.pace.allowed_s(size)))
    return bytes(body)


def _refused(refusal: Refusal, *, json: bool) -> Response:
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.answer in AGAIN else {}
    if refusal.answer is Answer.UNKNOWN:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.reason == "slow_body":
        headers["Connection"] = "close"
    bad = wrong_part(refusal)
    return _status(_HTTP_STATUS[refusal.answer], str(refusal), headers, json=json, bad=bad)


def _status(
    code: int, message: str, headers: dict[str, str], *, json: bool, bad: str = ""
) -> Response:
    body = status(_RPC_CODE.get(code, 2), message, json=json, bad=bad)
    return Response(body, code, headers, media_type=JSON if json else PROTOBUF)


def _no_such_route(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 404
        message = _advice(request.url.path)
        if code == 405:
            message = f"{request.method} is not for this path: {message}"
        desk.metrics.add("tidegauge_refusals_total", reason=f"http_{code}")
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return _status(code, message, headers, json=_is_json(request) is not False)

    return handle


def _advice(path: str) -> str:
    """Return which path to use instead.

    >>> _advice("/v1/traces/v1/traces").split(":")[0]
    'the path is there twice'
    """
    paths = "POST to /v1/traces, /v1/metrics or /v1/logs"
    if path.count("/v1/") > 1:
        return (
            "the path is there twice: set OTEL_EXPORTER_OTLP_ENDPOINT to the address without a "
            f"path, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to the whole; {paths}"
        )
    if "profiles" in path:
        return f"profiles are not taken; {paths}"
    return paths


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _readyz(doctor: Doctor) -> Handler:
    async def handle(_: Request) -> Response:
        health = await doctor.examine()
        content = {
            "ready": not health.reasons,
            "reasons": list(health.reasons),
            "warnings": list(health.warnings),
            "database": health.database,
        }
        return JSONResponse(content, 503 if health.reasons else 200)

    return handle


def _metrics(desk: Desk) -> Handler:
    async def handle(_: Request) -> Response:
        return Response(desk.metrics.render(), media_type="text/plain; version=0.0.4")

    return handle
