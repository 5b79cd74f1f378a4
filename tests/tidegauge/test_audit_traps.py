from __future__ import annotations

import doctest

import pytest

from tidegauge import audit_traps
from tidegauge.audit_traps import TRAPS, traps_of


def test_the_examples_hold() -> None:
    assert doctest.testmod(audit_traps).failed == 0


@pytest.mark.parametrize(
    ("library", "version", "rules"),
    [
        ("opentelemetry.instrumentation.openai.v1", "0.62.4", ["responses_incomplete_lost"]),
        (
            "opentelemetry.instrumentation.openai.v1",
            "0.38.7",
            ["responses_incomplete_lost", "legacy_streams"],
        ),
        ("opentelemetry.instrumentation.openai_v2", "2.4b0", ["responses_not_instrumented"]),
        ("opentelemetry.instrumentation.genai.openai", "1.3b0", []),
        ("langfuse-sdk", "5.0.4", ["no_reason_without_stream"]),
        ("@opentelemetry/instrumentation-openai", None, ["js_truncation_lost"]),
        ("openinference.instrumentation.openai_agents", "2.6.0", []),
        (None, "1.0", []),
        ("", "", []),
    ],
)
def test_each_library_has_its_own_traps(
    library: str | None, version: str | None, rules: list[str]
) -> None:
    assert [trap.rule for trap in traps_of(library, version)] == rules


def test_a_version_may_be_any_text() -> None:
    for version in ("x", "9" * 5000, "1.0-beta", "\u0663.1", "\ud800"):
        list(traps_of("opentelemetry.instrumentation.anthropic", version))


def test_no_two_traps_have_one_name() -> None:
    assert len({trap.rule for trap in TRAPS}) == len(TRAPS)
