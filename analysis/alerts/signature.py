"""The signature of a webhook, by Standard Webhooks 1.0.0: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

_SHORTEST, _LONGEST = 24, 64  # bytes of a key


class BadSecret(ValueError):
    """The signing secret is not ``whsec_`` and base64 of 24 to 64 bytes."""


def key_of(secret: str) -> bytes:
    """Return the key behind ``whsec_<base64>``; raises BadSecret."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSecret("the webhook secret must be whsec_ and base64") from error
    if not secret.startswith("whsec_") or not _SHORTEST <= len(key) <= _LONGEST:
        raise BadSecret(
            f"the webhook secret must be whsec_ and base64 of {_SHORTEST} to {_LONGEST} bytes"
        )
    return key


def headers(keys: Sequence[bytes], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of one attempt, signed with every key (two while one is replaced).

    ``at`` is the time of this attempt, not of the event: receivers refuse what is 5 minutes off.
    """
    timestamp = str(int(at.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_sign(key, signed) for key in keys),
    }


def _sign(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
