"""Names of providers and models, as instrumentations write them, find the list's entry."""

from __future__ import annotations

import pytest

from tidegauge.price_list import listed, provider_id


def entry(provider: str | None, *models: str | None) -> str | None:
    found = listed(provider, *models)
    return found and f"{found[0].id}/{found[1].id}"


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("openai", "openai"),
        ("openai.responses", "openai"),
        ("azure.ai.openai", "azure"),
        ("azure.ai.inference", "azure"),
        ("az.ai.openai", "azure"),
        ("AzureOpenAI", "azure"),
        ("gcp.gemini", "google"),
        ("gcp.vertex_ai", "google"),
        ("google.generative-ai", "google"),
        ("aws.bedrock", "aws"),
        ("amazon-bedrock", "aws"),
        ("anthropic_bedrock", "aws"),
        ("anthropic.messages", "anthropic"),
        ("x_ai", "x-ai"),
        ("xai.chat", "x-ai"),
        ("mistral_ai", "mistral"),
        ("moonshot_ai", "moonshotai"),
        ("together_ai", "together"),
        ("groq.chat", "groq"),
        ("strands-agents", None),
        ("litellm", None),
        ("langchain", None),
        ("openai_compatible", None),
        ("", None),
        (None, None),
        ("x" * 100_000, None),
    ],
)
def test_a_provider_is_known_under_all_its_names(said: str | None, known: str | None) -> None:
    assert provider_id(said) == known


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("openai", "gpt-5.1-2099-01-01", "openai/gpt-5.1"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org:n:id", "openai/ft:gpt-4o-mini"),
        (None, "ft:gpt-4o-mini-2024-07-18:org:n:id", "openai/ft:gpt-4o-mini"),
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o"),
        ("azure.ai.openai", "gpt-35-turbo", "azure/gpt-3.5-turbo"),
        ("gcp.gemini", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (None, "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.gemini", "gemini-2.5-flash-001", "google/gemini-2.5-flash"),
        (None, "claude-3-5-sonnet@20240620", "google/claude-3-5-sonnet"),
        ("strands-agents", "gpt-4o", "openai/gpt-4o"),
        ("litellm", "azure/gpt-4o", "azure/gpt-4o"),
        ("litellm", "gemini/gemini-2.0-flash", "google/gemini-2.0-flash"),
        ("litellm", "openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        ("langchain", "openai:gpt-4o", "openai/gpt-4o"),
        (None, "mistral-large-latest", "mistral/mistral-large"),
        (None, "deepseek-chat", "deepseek/deepseek-chat"),
        ("groq", "llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
    ],
)
def test_a_model_is_found_however_it_is_written(
    provider: str | None, model: str, found: str
) -> None:
    assert entry(provider, model) == found
    assert entry(provider, model.upper()) == found


@pytest.mark.parametrize("provider", ["aws.bedrock", "strands-agents", "anthropic", None])
@pytest.mark.parametrize(
    "model",
    [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)
def test_an_id_of_bedrock_is_priced_by_bedrock(provider: str | None, model: str) -> None:
    assert entry(provider, model) == "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"


def test_the_region_of_bedrock_matters() -> None:
    model = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"

    assert entry("aws.bedrock", model) == f"aws/{model}"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("ollama", "gpt-4o"),
        ("openai", "ollama/gpt-4o"),
        ("hosted_vllm", "mistral-large-latest"),
        (None, "llama3.1:8b"),
        (None, "gpt-oss-120b"),
        ("openai", "gpt-oss-120b"),
        ("openai", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("openai", "google/gemma-3-27b-it"),
        ("openai", "deepseek-ai/DeepSeek-R1"),
        ("openai", "moonshotai/Kimi-K2-Instruct"),
        (None, "deepseek-r1:14b"),
        (None, "mistral-small"),
        (None, "qwen2.5:7b"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/abc"),
        ("azure.ai.openai", "our-deployment"),
        ("openai", "gpt-4o-of-our-own"),
        (None, ""),
        (None, None),
        (None, "\ud800 [odd]"),
        (None, "/" * 200),
        (None, "openai/" * 28),
        (None, ":@/"),
    ],
)
def test_what_may_have_cost_nothing_or_another_price_is_not_found(
    provider: str | None, model: str | None
) -> None:
    assert entry(provider, model) is None


def test_the_first_model_that_is_listed_decides() -> None:
    assert entry("azure.ai.openai", "gpt-4o-2024-08-06", "our-deployment") == "azure/gpt-4o"
    assert entry("azure.ai.openai", "our-deployment", "gpt-4o") == "azure/gpt-4o"
