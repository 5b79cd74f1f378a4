"""Certificates that a test makes for itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from collector.tls import Files


@dataclass(frozen=True)
class Party:
    """A certificate and its key, on disk."""

    certificate: Path
    key: Path


class Authority:
    """A CA of our own in a folder, and what it signs."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.path = folder / f"{name}-ca.pem"
        self._ca.cert_pem.write_to_path(self.path)

    def sign(self, name: str, *, expired: bool = False) -> Party:
        """Return a certificate for the loopback address, written in one step each."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        since = datetime.now(UTC) - timedelta(days=9) if expired else None
        made = self._ca.issue_cert("127.0.0.1", "localhost", not_before=since, not_after=until)
        party = Party(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        chain = b"".join(one.bytes() for one in made.cert_chain_pems)
        replace(party.key, made.private_key_pem.bytes())
        replace(party.certificate, chain)
        return party


def replace(path: Path, content: bytes) -> None:
    """Write a file as those do that renew certificates: the old or the new, never a half."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def files(server: Party, client_ca: Path | None = None) -> Files:
    """Return what the collector is given."""
    return Files(server.certificate, server.key, client_ca)
