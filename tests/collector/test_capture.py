from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from collector import dialects, otlp
from collector.capture import NOTE, Plan, Plans, apply, kept
from collector.redact import REDACTED
from tests.collector import signals_corpus
from tests.world import a_call
from tidegauge.call import Call
from tidegauge.policy import BadPolicy, Capture, Policy, Project
from tidegauge.store.contents import to_json

SALT = "a salt of sixteen characters"
HOSTILE = "the patient said: my knee hurts"


def a_spoken_call(text: str = HOSTILE, **fields: Any) -> Call:
    return a_call(
        input=[
            {"role": "system", "content": text},
            {"role": text, "content": [{"type": "image", "url": text}]},
        ],
        output=[{"role": "assistant", "content": text, "tool_calls": [{"name": text}]}],
        attributes={
            "input.value": text,
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 400,
            "app.tier": text,
            "gen_ai.request.user": text * 20,
            "embedding.vector": [0.5] * 40,
            "error.message": text,
            "tidegauge.span": {
                "resource": {"service.name": "shop", "process.command_args": text},
                "scope": {"name": "sdk", "version": "1"},
                "kind": 3,
                "links": 1,
                "events": [
                    {
                        "name": "exception",
                        "time_ns": 5,
                        "attributes": {"exception.type": "E", "exception.message": text},
                    }
                ],
                "status": {"code": 2, "message": text},
            },
        },
        prompt_checksum="ab",
        input_checksum="cd",
        truncated=True,
        **fields,
    )


@pytest.mark.parametrize("mode", [Capture.FULL, Capture.REDACTED])
def test_full_and_redacted_keep_the_messages(mode: Capture) -> None:
    call = a_spoken_call()

    assert apply(call, mode) is call


@pytest.mark.parametrize("mode", [Capture.HASH, Capture.OFF])
def test_nothing_said_is_left(mode: Capture) -> None:
    call = apply(a_spoken_call(), mode, SALT.encode())

    assert b"knee" not in to_json(call)
    assert call.attributes[NOTE] == mode


@pytest.mark.parametrize("mode", [Capture.HASH, Capture.OFF])
def test_numbers_names_and_evidence_stay(mode: Capture) -> None:
    before = a_spoken_call()
    call = apply(before, mode, SALT.encode())

    same = replace(call, input=before.input, output=before.output, attributes=before.attributes)
    assert same == before
    assert call.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert call.attributes["gen_ai.usage.input_tokens"] == 400
    beside = call.attributes["tidegauge.span"]
    assert beside["resource"] == {"service.name": "shop"}
    assert beside["scope"] == {"name": "sdk", "version": "1"}
    assert (beside["kind"], beside["links"], beside["status"]["code"]) == (3, 1, 2)
    assert beside["events"][0]["attributes"]["exception.type"] == "E"


def test_off_keeps_no_message_at_all() -> None:
    call = apply(a_spoken_call(), Capture.OFF)

    assert (call.input, call.output) == (None, None)
    assert "input.value" not in call.attributes
    assert "embedding.vector" not in call.attributes


def test_hash_tells_equal_content_from_other() -> None:
    def hashed(text: str, salt: str = SALT, **fields: Any) -> Call:
        return apply(a_spoken_call(text, **fields), Capture.HASH, salt.encode())

    one = hashed(HOSTILE)
    assert one == hashed(HOSTILE)
    assert one.input != hashed(HOSTILE + ".").input
    assert one.input != hashed(HOSTILE, "another salt of sixteen").input
    assert one.input != hashed(HOSTILE, project="other").input
    assert [message["role"] for message in one.input] == ["system", "unknown"]
    assert one.input[0]["content"].endswith(f", {len(HOSTILE)} characters]")


def test_hash_reads_a_message_of_any_form() -> None:
    call = a_call(input="plain", output=[["a", 1], None, {"content": "x"}])

    hashed = apply(call, Capture.HASH, SALT.encode())

    assert hashed.input.startswith("[sha256 ")
    assert hashed.output[0].startswith("[sha256 ")
    assert hashed.output[2]["role"] == "unknown"


@pytest.mark.parametrize("mode", [Capture.HASH, Capture.OFF])
def test_no_word_of_a_real_message_is_left_whatever_the_dialect(mode: Capture) -> None:
    read = 0
    for path in signals_corpus.files("traces"):
        for raw in otlp.read_spans(signals_corpus.body(path), json=False).spans:
            call = dialects.normalise(raw, "default")
            left = to_json(apply(call, mode, SALT.encode())).decode()
            for message in [*(call.input or ()), *(call.output or ())]:
                said = message.get("content")
                if isinstance(said, str) and len(said) > 12:
                    read += 1
                    assert orjson.dumps(said).decode()[1:-1] not in left, path
    assert read > 20


def test_a_project_has_its_own_plan_else_the_one_for_all() -> None:
    policy = Policy(
        projects={
            "*": Project(capture=Capture.OFF),
            "shop": Project(capture=Capture.REDACTED, redact_names=("iban",)),
        }
    )
    plans = Plans(policy)

    assert plans.of("shop").mode == Capture.REDACTED
    assert plans.of("other").mode == Capture.OFF
    assert Plans(Policy()).of("any") == Plan()


def test_digests_need_a_salt() -> None:
    policy = Policy(projects={"shop": Project(capture=Capture.HASH)})

    with pytest.raises(BadPolicy, match=r"\[projects.shop\].*TIDEGAUGE_CONTENT_SALT"):
        Plans(policy, "short")
    assert Plans(policy, SALT).of("shop").salt == SALT.encode()


def test_a_pattern_that_cannot_be_used_stops_the_start_and_names_its_project() -> None:
    policy = Policy(projects={"shop": Project(redact_patterns=("(",))})

    with pytest.raises(BadPolicy, match=r"\[projects.shop\] redact_patterns: '\('"):
        Plans(policy)


def test_what_is_stored_holds_no_secret() -> None:
    secret = "sk-" + "a1" * 12
    call = a_call(service=secret, input=[{"role": "user", "content": f"key {secret}"}])

    call, content = kept(call, Plan(), to_json)

    assert call.service == REDACTED
    assert secret.encode() not in content
    assert content == to_json(call)


def test_a_clean_call_is_stored_as_it_was_sent() -> None:
    call = a_spoken_call()

    assert kept(call, Plan(), to_json) == (call, to_json(call))


def test_redacted_takes_addresses_out_of_messages_and_columns() -> None:
    plans = Plans(Policy(projects={"*": Project(capture=Capture.REDACTED)}))
    call = a_call(user_id="ann@mail.example.org", input=[{"content": "from 203.0.113.9"}])

    call, content = kept(call, plans.of("default"), to_json)

    assert call.user_id == "[email]"
    assert call.input == [{"content": "from [ip]"}]
    assert b"203" not in content
