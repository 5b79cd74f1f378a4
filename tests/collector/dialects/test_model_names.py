from __future__ import annotations

import pytest

from collector.dialects.model_names import bare, offered_by


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("o3", "openai", "o3"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("azure/my-deployment", "azure.ai.openai", "my-deployment"),
        ("openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        ("models/gemini-2.5-flash", "gcp.gemini", "gemini-2.5-flash"),
        ("eu.anthropic.claude-3-haiku-v1:0", "aws.bedrock", "eu.anthropic.claude-3-haiku-v1:0"),
        ("arn:aws:bedrock:us-east-1:1:x/y", "aws.bedrock", "arn:aws:bedrock:us-east-1:1:x/y"),
        ("meta-llama/Llama-3-8B", None, "meta-llama/Llama-3-8B"),
        ("openai/", "openai", "openai/"),
        ("", None, ""),
    ],
)
def test_a_name_tells_who_offers_the_model_and_what_it_is_called_there(
    model: str, provider: str | None, name: str
) -> None:
    assert (offered_by(model), bare(model)) == (provider, name)
