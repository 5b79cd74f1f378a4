"""Who sent a span: the key, the service and its SDK, as the ingest ledger names them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One exporter as the ledger sees it; all that a sender chose is cut to 200 characters."""

    project: str
    key_id: str = ""  # "": sent without a key
    service: str = ""  # service.name; "" where a whole request was refused before it was read
    sdk: str = ""  # "python/opentelemetry 1.45.2": telemetry.sdk.language, name and version
    user_agent: str = ""  # of the request
