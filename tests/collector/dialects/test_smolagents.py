from __future__ import annotations

from typing import Any

from collector.dialects import smolagents
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read

SCOPE = "openinference.instrumentation.smolagents"
COUNTS = {"llm.token_count.prompt": 26, "llm.token_count.completion": 15}
LLM = COUNTS | {
    "openinference.span.kind": "LLM",
    "llm.model_name": "openai/gpt-4o-mini",
    "llm.invocation_parameters": '{"temperature": 0.2, "max_tokens": 20}',
    "output.value": '{"role": "assistant", "content": "Paris", "tool_calls": null}',
    "llm.output_messages.0.message.role": "assistant",
}


def a_span(attributes: dict[str, Any], name: str = "LiteLLMModel.generate") -> Any:
    return a_raw_span(attributes, name=name, scope_name=SCOPE)


def test_a_call_has_tokens_and_parameters_and_the_bare_name_of_its_model() -> None:
    reading = read(smolagents, a_span(LLM))
    facts = reading.facts

    assert (facts.tokens.input, facts.tokens.output, facts.max_tokens) == (26, 15, 20)
    assert (facts.provider, facts.request_model, facts.response_model) == (
        "openai",
        "gpt-4o-mini",
        None,
    )
    assert (reading.dialect, reading.finish) == ("smolagents", ())


def test_the_name_of_the_span_tells_that_an_answer_was_streamed() -> None:
    assert read(smolagents, a_span(LLM, "OpenAIModel.generate_stream")).facts.streaming is True
    assert read(smolagents, a_span(LLM)).facts.streaming is None


def test_an_agent_that_repeats_the_sum_is_no_call() -> None:
    agent = COUNTS | {"openinference.span.kind": "AGENT"}

    assert smolagents.normalise(a_span(agent, "CodeAgent.run"), named(agent)) is None


OPENAI = (
    '{"role": "assistant", "content": "Paris", "raw": "ChatCompletion(id=\'chatcmpl-1\', '
    "choices=[Choice(finish_reason='length', index=0, message=ChatCompletionMessage("
    "content='Paris', role='assistant'))], created=1795533975, model='gpt-4o-mini-2024-07-18', "
    "object='chat.completion', usage=CompletionUsage(completion_tokens=15, prompt_tokens=1200, "
    "completion_tokens_details=CompletionTokensDetails(audio_tokens=0, reasoning_tokens=6), "
    "prompt_tokens_details=PromptTokensDetails(audio_tokens=0, cache_write_tokens=None, "
    'cached_tokens=1024)))", "token_usage": {"input_tokens": 26, "output_tokens": 15}}'
)
HUGGING_FACE = (
    '{"role": "assistant", "raw": "ChatCompletionOutput(choices=[ChatCompletionOutputComplete('
    "finish_reason='stop', index=0, message=ChatCompletionOutputMessage(role='assistant'))], "
    "created=1, id='x', model='Qwen/Qwen3', system_fingerprint='a', "
    'usage=ChatCompletionOutputUsage(completion_tokens=15, prompt_tokens=26, total_tokens=41))"}'
)


def test_the_repr_of_the_providers_answer_tells_what_no_attribute_tells() -> None:
    reading = read(smolagents, a_span(LLM | {"output.value": OPENAI}))

    assert (reading.facts.response_model, reading.facts.response_id) == (
        "gpt-4o-mini-2024-07-18",
        "chatcmpl-1",
    )
    assert reading.finish == ("length",)
    assert (reading.facts.tokens.cache_read, reading.facts.tokens.reasoning) == (1024, 6)


def test_the_repr_of_hugging_faces_answer_has_another_order() -> None:
    reading = read(smolagents, a_span(LLM | {"output.value": HUGGING_FACE}))

    assert (reading.facts.response_model, reading.finish) == ("Qwen/Qwen3", ("stop",))


def test_an_answer_without_a_repr_tells_nothing_more() -> None:
    said = '{"role": "assistant", "content": "finish_reason=\'stop\'", "raw": null}'

    assert read(smolagents, a_span(LLM | {"output.value": said})).finish == ()
