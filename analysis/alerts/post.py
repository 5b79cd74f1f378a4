"""One signed POST to a vetted address; says whether trying again can help."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

import httpx

from analysis.alerts.addresses import Address, Network, allowed, parse, public

CONNECT_S = 5.0
TOTAL_S = 10.0
READ_BYTES = 64 * 1024  # of the answer
KEEP_CHARS = 2048  # of the answer, for the operator
LONGEST_WAIT_S = 3600.0  # whatever Retry-After asks for

Resolve = Callable[[str, int], Sequence[str]]

_TRY_AGAIN = frozenset({408, 425, 429})


class Result(StrEnum):
    """What an attempt has come to, and with it what to do next."""

    SENT = "sent"
    RETRY = "retry"
    DEAD = "dead"  # the receiver will never take it
    GONE = "gone"  # the receiver wants no more messages at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended. Never the address: it is a secret."""

    result: Result
    status: int | None = None
    retry_after_s: float | None = None
    error: str = ""  # one short line, without address and answer
    answer: str | None = None  # its beginning; None for a receiver in a private network
    answered: bool = True  # False: the receiver may have taken the message in all the same


class Blocked(Exception):
    """The address must not be reached; the message does not say which it is."""


@dataclass(frozen=True, slots=True)
class _Target:
    url: httpx.URL  # with the address in place of the name
    host: str  # what the Host header says
    name: str  # whose certificate is asked for
    private: bool


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    now: datetime,
    allow: Sequence[Network] = (),
    total_s: float = TOTAL_S,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
) -> Outcome:
    """POST ``body`` once and return how it went; nothing is raised for what a receiver does.

    The name is resolved once, every address is vetted, and the connection goes to the vetted
    address. Redirects are not followed; it takes ``total_s`` seconds at most.
    """
    try:
        target = vet(url, allow, resolve or resolve_within(CONNECT_S))
    except Blocked as error:
        return Outcome(result=Result.DEAD, error=str(error))
    except OSError as error:
        return Outcome(result=Result.RETRY, error=f"name not resolved ({type(error).__name__})")
    return asyncio.run(_attempt(target, body, headers, now, total_s, tls))


def vet(url: str, allow: Sequence[Network], resolve: Resolve) -> _Target:
    """Return where to connect to; raises Blocked, or OSError where the name has no address."""
    try:
        parsed = httpx.URL(url)
        port = parsed.port or {"https": 443, "http": 80}[parsed.scheme]
    except (httpx.InvalidURL, KeyError, ValueError, TypeError) as error:
        raise Blocked("blocked address: not an https URL") from error
    if parsed.userinfo or not parsed.host:
        raise Blocked("blocked address: a host and no user or password, please")
    name = parsed.raw_host.decode("ascii")
    addresses = [parse(text) for text in resolve(name, port)]
    if not addresses:
        raise OSError("no address")
    inside = all(allowed(one, allow) for one in addresses)
    if not inside:
        _only_public(parsed, port, addresses, allow)
    host = parsed.netloc.decode("ascii")
    address = addresses[0]
    pinned = parsed.copy_with(host=str(address), port=parsed.port)
    return _Target(pinned, host, name, private=any(allowed(a, allow) for a in addresses))


def _only_public(
    url: httpx.URL, port: int, addresses: Sequence[Address], allow: Sequence[Network]
) -> None:
    """Raise Blocked unless this may be reached although not all of it is in a named network."""
    if url.scheme != "https":
        raise Blocked("blocked address: https only outside webhook_allow_networks")
    if port != 443:
        raise Blocked("blocked address: port 443 only outside webhook_allow_networks")
    if not all(allowed(one, allow) or public(one) for one in addresses):
        raise Blocked("blocked address: not public, and not in webhook_allow_networks")


def resolve_within(limit_s: float) -> Resolve:
    """Return a resolver that gives up: the system's own may take half a minute."""

    def resolve(host: str, port: int) -> Sequence[str]:
        found: list[str] = []
        failure: list[OSError] = []

        def ask() -> None:
            try:
                rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found.extend(dict.fromkeys(str(row[4][0]) for row in rows))
            except (OSError, UnicodeError) as error:
                failure.append(OSError(str(error)))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(limit_s)
        if failure:
            raise failure[0]
        if not found:
            raise TimeoutError("the resolver does not answer")
        return found

    return resolve


async def _attempt(
    target: _Target,
    body: bytes,
    headers: Mapping[str, str],
    now: datetime,
    total_s: float,
    tls: ssl.SSLContext | None,
) -> Outcome:
    try:
        # httpx's own limits are per operation: a byte a second would keep us here for ever.
        async with asyncio.timeout(total_s):
            status, asked, answer = await _exchange(target, body, headers, tls)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        return Outcome(result=Result.RETRY, error=f"not connected ({type(error).__name__})")
    except (httpx.HTTPError, TimeoutError) as error:
        kind = type(error).__name__
        return Outcome(result=Result.RETRY, error=f"no answer ({kind})", answered=False)
    return Outcome(
        result=judge(status),
        status=status,
        retry_after_s=retry_after(asked, now),
        error="" if status < 300 else f"status {status}",
        # The answer of a service inside the network is nobody's business outside of it.
        answer=None if target.private or status < 300 else printable(answer),
    )


async def _exchange(
    target: _Target, body: bytes, headers: Mapping[str, str], tls: ssl.SSLContext | None
) -> tuple[int, str, bytes]:
    """Return status, Retry-After and the beginning of the answer."""
    limits = httpx.Timeout(TOTAL_S, connect=CONNECT_S)
    own = {
        "host": target.host,
        "content-type": "application/json",
        "user-agent": "Tidegauge",
        "accept-encoding": "identity",
    }
    async with (
        httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=limits, verify=tls or True
        ) as client,
        client.stream(
            "POST",
            target.url,
            content=body,
            headers={**own, **headers},
            extensions={"sni_hostname": target.name},
        ) as response,
    ):
        read = bytearray()
        async for piece in response.aiter_raw():
            read += piece
            if len(read) >= READ_BYTES:
                break
        return response.status_code, response.headers.get("retry-after", ""), bytes(read)


def judge(status: int) -> Result:
    """Return what a status means for the message.

    >>> [judge(status).value for status in (204, 302, 404, 410, 429, 503)]
    ['sent', 'retry', 'dead', 'gone', 'retry', 'retry']
    """
    if 200 <= status < 300:
        return Result.SENT
    if status == 410:
        return Result.GONE
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        return Result.DEAD
    return Result.RETRY


def retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds a receiver asks us to wait, at most an hour. If it asks nothing, None."""
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return None if math.isnan(wait) else min(max(wait, 0.0), LONGEST_WAIT_S)


def printable(answer: bytes) -> str:
    """Return the beginning of an answer as text without control characters."""
    text = answer[: 4 * KEEP_CHARS].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text[:KEEP_CHARS])
