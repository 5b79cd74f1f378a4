"""Tidegauge on one machine: ports, settings for the children, and what a person is told."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from pydantic import SecretStr

from tidegauge.settings import Settings
from tidegauge.supervise import CannotStart, Part, Say, Supervisor, stop_on_signals


def parts(settings: Settings) -> tuple[Part, Part, Part]:
    """Return the collector, the analyst and the dashboard with these settings."""
    host = reachable(settings.host)
    return (
        Part(
            "collect",
            _verb("collect"),
            lambda: (
                answers(f"http://{host}:{settings.otlp_http_port}/healthz")
                and listens(settings.host, settings.otlp_grpc_port)
            ),
        ),
        Part("analyse", _verb("analyse"), lambda: True),
        Part(
            "dashboard",
            _verb("dashboard"),
            lambda: answers(f"http://{host}:{settings.dashboard_port}/_stcore/health"),
        ),
    )


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
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  our own http URL
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


def free_port(host: str, wished: int) -> int:
    """Return ``wished`` if it is free, else a port that is."""
    return wished if wished and _is_free(host, wished) else _bound(host, 0)


def check_ports(settings: Settings) -> None:
    """Raise CannotStart when a port that is needed is taken, or the address is not ours."""
    for name in ("otlp_http_port", "otlp_grpc_port", "dashboard_port"):
        port = getattr(settings, name)
        try:
            _bound(settings.host, port)
        except OSError as error:
            option = "--" + name.replace("_", "-")
            raise CannotStart(
                f"cannot listen on {settings.host}:{port}: {error.strerror or error}; "
                f"stop what uses it, or choose another with {option} (0: any free one)"
            ) from error


def _is_free(host: str, port: int) -> bool:
    try:
        return bool(_bound(host, port))
    except OSError:
        return False


def _bound(host: str, port: int) -> int:
    """Bind and let go; return the port. Raises OSError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def with_ports(settings: Settings) -> Settings:
    """Return ``settings`` with a free port wherever 0 was asked for."""
    names = ("otlp_http_port", "otlp_grpc_port", "dashboard_port")
    chosen = {n: _bound(settings.host, 0) for n in names if getattr(settings, n) == 0}
    return settings.model_copy(update=chosen)


def addresses(settings: Settings) -> list[str]:
    """Return the lines that tell a person where Tidegauge is and how to point an app at it."""
    host = reachable(settings.host)
    http = f"http://{host}:{settings.otlp_http_port}"
    return [
        f"OTLP over HTTP  {http}",
        f"OTLP over gRPC  http://{host}:{settings.otlp_grpc_port}",
        f"Dashboard       {settings.public_url or f'http://{host}:{settings.dashboard_port}'}",
        "",
        "Point an app at it:",
        f"  export OTEL_EXPORTER_OTLP_ENDPOINT={http} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ]


def one_line_each(lock: Lock, write: Callable[[str], object]) -> Say:
    """Return a function that writes whole lines although several threads call it."""

    def say(line: str) -> None:
        with lock:
            write(line + "\n")

    return say


def up(settings: Settings, say: Say) -> None:
    """Run the three processes until a signal comes. Raises CannotStart when they cannot."""
    settings = with_ports(settings)
    check_ports(settings)
    supervisor = Supervisor(environment(settings), say)
    stop_on_signals(supervisor.stopping)
    try:
        for part in parts(settings):
            supervisor.start(part)
        supervisor.wait_ready()
        if not supervisor.stopping.is_set():
            tell(["", "Tidegauge is up.", *addresses(settings), "", "Ctrl-C stops it."], say)
        supervisor.watch()
    finally:
        supervisor.stop()
    say("Tidegauge has stopped.")


def tell(lines: Sequence[str], say: Say) -> None:
    """Say several lines."""
    for line in lines:
        say(line)
