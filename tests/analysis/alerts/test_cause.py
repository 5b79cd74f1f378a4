from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from analysis.alerts.cause import phrase, short_hash
from tests.alert_world import a_change


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("prompt", {}, "prompt 92 went live"),
        ("silent", {}, "prompt changed silently"),
        ("silent", {"silent": False}, "prompt text changed"),
        ("deploy", {}, "release 1.5.0 went live"),
        ("model", {}, "model is now gpt-b"),
        ("provider", {}, "provider is now azure"),
        ("parameter", {}, "max_tokens fell 1024 to 256"),
        ("parameter", {"before": "256", "after": "1024"}, "max_tokens rose 256 to 1024"),
        ("parameter", {"before": None}, "max_tokens changed unset to 256"),
        (
            "deploy",
            {"after": "1.5\n\x1b[0m" + "x" * 40},
            "release 1.5 [0m" + "x" * 16 + "… went live",
        ),
    ],
)
def test_a_change_is_said_in_a_few_words(
    kind: str, fields: dict[str, Any], words: str, now: datetime
) -> None:
    assert phrase(a_change(kind, now, **fields)) == words


def test_a_short_checksum_is_shown_whole() -> None:
    assert short_hash("9ab2c0") == "9ab2c0"
