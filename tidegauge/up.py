"""Tidegauge on one machine: ports, settings for the children, and what a person is told."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from tidegauge.settings import Settings
from tidegauge.store import jobs
from tidegauge.store.engine import StoreBusy, StoreUnusable, open_engine, read
from tidegauge.supervise import CannotStart, Part, Say, Supervisor, stop_on_signals

ANALYST = "analyst"  # the lease's name; importing it from analysis would load SciPy here
_PORTS = ("otlp_http_port", "otlp_grpc_port", "dashboard_port")
# A proxy that the environment names must not be asked for our own loopback addresses.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def parts(settings: Settings) -> tuple[Part, Part, Part]:
    """Return the collector, the analyst and the dashboard with these settings."""
    host = reachable(settings.host)
    return (
        Part(
            "collect",
            _verb("collect"),
            lambda: collects(settings),
        ),
        Part("analyse", _verb("analyse"), lambda: analyses(settings.database_url)),
        Part(
            "dashboard",
            _verb("dashboard"),
            lambda: answers(f"http://{host}:{settings.dashboard_port}/_stcore/health"),
        ),
    )


def collects(settings: Settings) -> bool:
    """Return whether the collector takes requests now.

    With TLS it may ask for a certificate that we do not have: that it listens must do then.
    """
    if settings.tls_cert_file is not None:
        http = listens(settings.host, settings.otlp_http_port)
    else:
        http = answers(f"http://{reachable(settings.host)}:{settings.otlp_http_port}/healthz")
    return http and listens(settings.host, settings.otlp_grpc_port)


def _verb(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tidegauge", name, "--end-with-stdin")


def environment(settings: Settings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which a child reads exactly these settings."""
    ours = {
        f"TIDEGAUGE_{name.upper()}": _text(value)
        for name, value in settings
        if value is not None and _text(value)
    }
    outer = os.environ if base is None else base
    kept = {k: v for k, v in outer.items() if not k.upper().startswith("TIDEGAUGE_")}
    # Lines of a child must come when they are written, not when a buffer is full.
    return {**kept, **ours, "PYTHONUNBUFFERED": "1"}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value.resolve()) if isinstance(value, Path) else str(value)


def reachable(host: str) -> str:
    """Return an address that reaches a server bound to ``host``, as it stands in a URL.

    >>> reachable("0.0.0.0"), reachable("::"), reachable("10.0.0.5")
    ('127.0.0.1', '[::1]', '10.0.0.5')
    """
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def answers(url: str) -> bool:
    """Return whether ``url`` answers 200 now."""
    try:
        with _DIRECT.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def listens(host: str, port: int) -> bool:
    """Return whether something accepts connections there."""
    try:
        with socket.create_connection((reachable(host).strip("[]"), port), timeout=2):
            return True
    except OSError:
        return False


def analyses(database_url: str) -> bool:
    """Return whether an analyst has taken up its work, which is when it holds the lease."""
    try:
        engine = open_engine(database_url, pool_size=1)
        try:
            with read(engine) as db:
                holder = jobs.lease_holder(db, ANALYST)
                return holder is not None and bool(holder.name)
        finally:
            engine.dispose()
    except (StoreBusy, StoreUnusable):
        return False


def check_ports(settings: Settings) -> None:
    """Raise CannotStart when a port that is needed is taken, or the address is not ours."""
    for name in _PORTS:
        port = getattr(settings, name)
        try:
            _bound(settings.host, port).close()
        except OSError as error:
            option = "--" + name.replace("_", "-")
            raise CannotStart(
                f"cannot listen on {settings.host}:{port}: {error.strerror or error}; "
                f"stop what uses it, or choose another with {option} (0: any free one)"
            ) from error


def _is_free(host: str, port: int) -> bool:
    try:
        _bound(host, port).close()
    except OSError:
        return False
    return True


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket bound there. Raises OSError when the port is taken."""
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port:  # one that was in use a moment ago is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    except OSError:
        probe.close()
        raise
    return probe


def with_ports(settings: Settings, *, replace_taken: bool = False) -> Settings:
    """Return ``settings`` with a free port wherever 0 was asked for.

    With ``replace_taken`` also wherever the port that was asked for is in use.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as held:  # until all are chosen: else one could be chosen twice
        for name in _PORTS:
            port = getattr(settings, name)
            if port == 0 or (replace_taken and not _is_free(settings.host, port)):
                probe = held.enter_context(_bound(settings.host, 0))
                chosen[name] = int(probe.getsockname()[1])
    return settings.model_copy(update=chosen)


def addresses(settings: Settings) -> list[str]:
    """Return the lines that tell a person where Tidegauge is and how to point an app at it."""
    host = reachable(settings.host)
    scheme = settings.otlp_scheme
    http = f"{scheme}://{host}:{settings.otlp_http_port}"
    return [
        f"OTLP over HTTP  {http}",
        f"OTLP over gRPC  {scheme}://{host}:{settings.otlp_grpc_port}",
        f"Dashboard       {settings.public_url or f'http://{host}:{settings.dashboard_port}'}",
        "",
        "Point an app at it:",
        f"  export OTEL_EXPORTER_OTLP_ENDPOINT={http} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ]


def up(settings: Settings, say: Say) -> None:
    """Run the three processes until a signal comes. Raises CannotStart when they cannot."""
    settings = with_ports(settings)
    check_ports(settings)
    supervisor = Supervisor(environment(settings), say, pass_on=say)
    stop_on_signals(supervisor.stopping)
    try:
        for part in parts(settings):
            supervisor.start(part)
        supervisor.wait_ready()
        if not supervisor.stopping.is_set():
            for line in ("", "Tidegauge is up.", *addresses(settings), "", "Ctrl-C stops it."):
                say(line)
        supervisor.watch()
    finally:
        supervisor.stop()
    say("Tidegauge has stopped.")
