from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import anthropic_sdk
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read

SCOPE = "com.anthropic.sdk.python"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 78,
    "gen_ai.usage.output_tokens": 15,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_write.input_tokens": 12,
    "anthropic.response.service_tier": "batch",
    "anthropic.message.stop_reason": "max_tokens",
}


def a_span(attributes: dict[str, Any], name: str = "anthropic.messages.create") -> Any:
    return a_raw_span(attributes, name=name, scope_name=SCOPE)


@pytest.mark.parametrize(
    ("said", "reason"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter")],
)
def test_the_stop_reason_has_a_name_of_its_own(said: str, reason: str) -> None:
    attributes = CALL | {"anthropic.message.stop_reason": said}

    assert read(anthropic_sdk, a_span(attributes)).finish == (reason,)


def test_input_includes_both_kinds_of_cached_tokens() -> None:
    facts = read(anthropic_sdk, a_span(CALL)).facts

    assert facts.tokens.excludes_cached is False
    assert (facts.tokens.input, facts.tokens.cache_read, facts.tokens.cache_write) == (78, 40, 12)
    assert facts.service_tier == "batch"


def test_a_request_that_was_sent_again_tells_how_often() -> None:
    assert read(anthropic_sdk, a_span(CALL | {"http.request.resend_count": 1})).named["resent"] == 1


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("anthropic.sessions.create", {"gen_ai.agent.name": "a"}),
        ("anthropic.messages.count_tokens", {"gen_ai.request.model": "m"}),
        ("anthropic.messages.batches.create", CALL),
        ("anthropic.files.upload", {}),
    ],
)
def test_sessions_batches_files_and_counted_tokens_are_no_calls(
    name: str, attributes: dict[str, Any]
) -> None:
    assert anthropic_sdk.normalise(a_span(attributes, name), named(attributes)) is None
