"""Free ports for servers that a test starts."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of the loopback address that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
