"""Tidegauge's own spans and durations: steps of its work, sent nowhere unless an endpoint is set.

A step carries numbers and words from our own code. Never content, and never the text of an error:
that may hold content.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tidegauge.settings import BadSettings

if TYPE_CHECKING:
    from tidegauge.telemetry_export import Opened, Pipeline

Attribute = str | bool | int | float

USER_AGENT = "tidegauge-telemetry"
CLOSE_WITHIN_S = 2.0  # for what was not sent yet; more would hold up a stop

_pipeline: Pipeline | None = None  # of this process


class BadEndpoint(BadSettings):
    """The endpoint for own spans cannot be used; the message says why and what to do."""


class Step:
    """One step of our own work: a span, and its duration. Without an endpoint it does nothing.

    An exception that passes through is noted by its class.
    """

    __slots__ = ("_attributes", "_began", "_name", "_opened", "_parent", "_pipeline", "ended_ns")

    def __init__(
        self,
        name: str,
        attributes: dict[str, Attribute],
        pipeline: Pipeline | None,
        parent: Opened | None = None,
    ) -> None:
        self.ended_ns: int | None = None  # since 1970
        self._name = name
        self._attributes = attributes
        self._pipeline = pipeline
        self._parent = parent
        self._opened: Opened | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        if self._pipeline is not None:
            self._opened = self._pipeline.open(self._name, self._attributes, self._parent)
            self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pipeline is not None and self._opened is not None:
            lasted_s = time.perf_counter() - self._began
            self.ended_ns = time.time_ns()
            self._pipeline.close_step(self._opened, lasted_s, kind.__name__ if kind else None)

    def note(self, **attributes: Attribute | None) -> None:
        """Add what is known only now; None is left out."""
        if self._pipeline is not None and self._opened is not None:
            self._pipeline.note(self._opened, attributes)

    def step(self, name: str, **attributes: Attribute) -> Step:
        """Return a step inside this one, which may run in another thread."""
        on = self._pipeline if self._opened is not None else None
        return Step(name, attributes, on, self._opened)

    def since(self, name: str, began_ns: int | None, **attributes: Attribute) -> None:
        """Keep a step inside this one that began at ``began_ns`` and ends now; None: no step."""
        if self._pipeline is not None and self._opened is not None and began_ns is not None:
            self._pipeline.keep(name, attributes, self._opened, began_ns)


def step(name: str, *, quiet: bool = False, **attributes: Attribute) -> Step:
    """Return a step of work, for ``with``; ``quiet``: leave no trace of it."""
    return Step(name, attributes, None if quiet else _pipeline)


def start(
    endpoint: str, process: str, *, sample: float = 1.0, own_ports: Collection[int] = ()
) -> None:
    """Send the steps of this process to ``endpoint`` from now on; without one, do nothing.

    ``sample`` is the share of traces that is kept. Raises BadEndpoint, for an address with one of
    ``own_ports`` on this machine too: each batch of spans sent there would make new ones.
    """
    global _pipeline
    if not endpoint:
        return
    check(endpoint, own_ports)
    from tidegauge.telemetry_export import Pipeline  # the SDK takes 80 ms and 10 MB to load

    stop()
    _pipeline = Pipeline(endpoint, f"tidegauge-{process}", sample, USER_AGENT)


def stop() -> None:
    """Send what is left, for two seconds at most, and end."""
    global _pipeline
    ending, _pipeline = _pipeline, None
    if ending is not None:
        ending.close(CLOSE_WITHIN_S)


def is_own(user_agent: str) -> bool:
    """Return whether a request carries own spans of a Tidegauge, this one or another.

    Such a request is stored, but leaves no step: through a proxy a collector may be its own
    endpoint without knowing it.
    """
    return user_agent.startswith(USER_AGENT)


def check(endpoint: str, own_ports: Collection[int] = ()) -> None:
    """Raise BadEndpoint where ``endpoint`` is no http(s) address, or is our own."""
    try:
        parts = urlsplit(endpoint)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        port = parts.port or usual
    except ValueError:
        parts, port, usual = urlsplit(""), None, None
    if usual is None or not parts.hostname:
        raise BadEndpoint(
            "TIDEGAUGE_TELEMETRY_ENDPOINT must be the address of an OTLP/HTTP endpoint, "
            "like http://host:4318"
        )
    if port in own_ports and _is_here(parts.hostname):
        raise BadEndpoint(
            f"TIDEGAUGE_TELEMETRY_ENDPOINT is this collector itself (port {port} of this machine): "
            "every batch of its spans would make new ones; name another endpoint, or none"
        )


def _is_here(host: str) -> bool:
    """Return whether a name or address is this machine's, in whatever form it is written.

    >>> _is_here("localhost"), _is_here("0.0.0.0"), _is_here("::1"), _is_here("192.0.2.1")
    (True, True, True, False)
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False  # not known now; is_own() breaks the loop, should it be here after all
    return any(_can_bind(family, address) for family, _, _, _, address in found)


def _can_bind(family: int, address: tuple[object, ...]) -> bool:
    """Return whether an address is one of this machine's: no other can be bound."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(address)
        return True
    return False
