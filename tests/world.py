"""A small named world: one function per noun, so that a test shows only what differs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from tidegauge.call import Call, Operation

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def hex_id(seed: object, digits: int) -> str:
    """Return ``digits`` hex digits that depend on ``seed`` alone."""
    return hashlib.sha256(repr(seed).encode()).hexdigest()[:digits]


def a_call(seed: object = 1, **fields: Any) -> Call:
    """Return an ordinary chat call; ``seed`` gives it an identity, ``fields`` what differs."""
    usual: dict[str, Any] = {
        "project": "default",
        "trace_id": hex_id(("trace", seed), 32),
        "span_id": hex_id(("span", seed), 16),
        "name": "chat gpt-4o-mini",
        "started_at": NOON,
        "duration_s": 1.5,
        "service": "checkout-bot",
        "environment": "prod",
        "use_case": "answer",
        "dialect": "genai",
        "operation": Operation.CHAT,
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "input_tokens": 400,
        "output_tokens": 120,
        "finish_reasons": ("stop",),
        "truncated": False,
    }
    return Call(**(usual | fields))
