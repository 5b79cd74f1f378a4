"""The parameters of a request under OpenAI's names, whoever's names they had."""

from __future__ import annotations

from typing import Any

from collector.dialects.values import first, mapping

_SPELLINGS = {
    "maxTokens": "max_tokens",
    "maxOutputTokens": "max_output_tokens",
    "maxTokenCount": "max_tokens",
    "max_gen_len": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "max_new_tokens": "max_tokens",
    "topP": "top_p",
    "stopSequences": "stop_sequences",
    "candidateCount": "n",
    "candidate_count": "n",
    "model_id": "model",
    "modelId": "model",
    "model_name": "model",
}
_NESTED = ("inferenceConfig", "generationConfig", "generation_config", "textGenerationConfig")
_MIME = ("responseMimeType", "response_mime_type")
_SCHEMA = ("responseJsonSchema", "response_json_schema")
_OTHER = frozenset((*_SPELLINGS, *_NESTED, *_MIME, *_SCHEMA))


def plain(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request of Bedrock, Gemini or a framework as OpenAI calls them.

    >>> plain({"inferenceConfig": {"maxTokens": 9}})["max_tokens"]
    9
    """
    if not _OTHER.isdisjoint(asked):
        asked = _renamed(asked)
    form = asked.get("response_format")
    if isinstance(form, str) and form.startswith("<class"):  # a class of Python has a schema
        return {**asked, "response_format": "json_schema"}
    return asked


def _renamed(asked: dict[str, Any]) -> dict[str, Any]:
    made = dict(asked)
    for name in _NESTED:
        made.update(mapping(asked.get(name)))
    for theirs in _SPELLINGS.keys() & made.keys():
        made.setdefault(_SPELLINGS[theirs], made[theirs])
    schema = first(made, _SCHEMA)
    if isinstance(schema, dict):
        made.setdefault("response_format", {"type": "json_schema", "schema": schema})
    if first(made, _MIME) == "application/json":
        made.setdefault("response_format", "json_object")
    return made
