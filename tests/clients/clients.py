"""Every client that the tests run: which exporter, over what, and what it is known to do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Collector
from tests.clients import known, setup
from tests.clients.running import Running

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Client:
    """One exporter; ``home`` names a list in requirements/ or node/, or is "" for our own."""

    home: str
    protocol: str
    compression: str
    sends_bytes: bool = False  # its SDK has attributes of bytes
    retries: bool = True  # after 503 or UNAVAILABLE

    @property
    def name(self) -> str:
        return f"{self.home or 'python'} {self.protocol} {self.compression}"

    def start(self, collector: Collector) -> Running:
        """Run it against a collector."""
        options = known.options(with_bytes=self.sends_bytes) | {
            "protocol": self.protocol,
            "endpoint": self._endpoint(collector),
            "compression": self.compression,
        }
        if self.home.startswith("sdk-"):
            packages = setup.node_modules(self.home)
            options["sdk"] = f"@opentelemetry/sdk-trace{'-base' if self.home == 'sdk-2' else ''}"
            env = {"NODE_PATH": str(packages)}
            return Running([str(setup.NODE), str(HERE / "send.js")], options, env)
        own = setup.python(self.home) if self.home else Path(sys.executable)
        # -P: its modules must not come from our folder.
        return Running([str(own), "-P", str(HERE / "send.py")], options, {"PYTHONPATH": ""})

    def _endpoint(self, collector: Collector) -> str:
        if self.protocol == "grpc":
            return f"http://{collector.grpc}"
        return f"http://{collector.http}/v1/traces"


def _of(home: str, protocol: str, *compressions: str, **known_to: bool) -> list[Client]:
    return [Client(home, protocol, compression, **known_to) for compression in compressions]


_PYTHON_HTTP = ("none", "gzip", "deflate")
_USUAL = ("none", "gzip")

CURRENT = [
    *_of("", "http/protobuf", *_PYTHON_HTTP, sends_bytes=True),
    *_of("", "grpc", *_USUAL, sends_bytes=True),
    *_of("python-json", "http/json", *_PYTHON_HTTP, sends_bytes=True),
    *_of("sdk-3", "http/json", *_USUAL, sends_bytes=True),
    *_of("sdk-3", "http/protobuf", *_USUAL, sends_bytes=True),
    # Its exporter fails on every error, whatever its code: seen in both lines.
    *_of("sdk-3", "grpc", *_USUAL, sends_bytes=True, retries=False),
]
# Not OpenTelemetry's own encoder. An answer that never comes ends it with an exception.
INDEPENDENT = _of("dash0", "http/protobuf", *_PYTHON_HTTP)
OLD = [
    *_of("python-1.27", "http/protobuf", *_USUAL),
    *_of("python-1.27", "grpc", "gzip"),
    *_of("python-1.38", "http/protobuf", *_USUAL),
    *_of("python-1.38", "grpc", "gzip"),
    *_of("sdk-2", "http/json", *_USUAL),
    *_of("sdk-2", "http/protobuf", "gzip"),
    *_of("sdk-2", "grpc", "gzip", retries=False),
]
