from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import orjson
import pytest

from collector.redact import REDACTED, redact, redacted, redacted_text
from tests.world import a_call

# Built from pieces: scanners of secrets must not stumble over this file.
SECRETS = {
    "bearer": "Bearer " + "abcdef0123456789",
    "openai": "sk-" + "proj-" + "A1b2C3d4E5f6G7h8I9j0",
    "github": "ghp_" + "A" * 36,
    "github pat": "github_pat_" + "A" * 30,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "slack": "xox" + "b-123456789012-abcdef",
    "google": "AIza" + "B" * 35,
    "jwt": "eyJ" + "hbGciOiJI." + "eyJzdWIiOiIx." + "c2lnbmF0dXJl",
    "pem": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "place", ["input", "output", "attributes", "name", "error_type", "user_id"]
)
def test_a_secret_is_found_in_every_place(kind: str, place: str) -> None:
    text = f"see {SECRETS[kind]} here"
    nested: Any = [{"role": "user", "content": text}]
    fields = {
        "input": nested,
        "output": nested,
        "attributes": {"events": [{"attributes": {"exception.message": text}}]},
        "name": text,
        "error_type": text,
        "user_id": text,
    }

    call = redact(a_call(**{place: fields[place]}))

    assert SECRETS[kind] not in orjson.dumps(call, default=dict).decode().replace("\\n", "\n")
    assert f"see {REDACTED} here" in json.dumps(getattr(call, place))


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "http.request.header.authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api_key",
        "apiKey",
        "db.password",
        "client_secret",
        "access_token",
    ],
)
def test_what_stands_under_a_secret_name_is_not_kept(name: str) -> None:
    call = redact(a_call(attributes={name: "abc", "list": [{name: ["abc"]}], f"{name}.used": True}))

    assert call.attributes[name] == REDACTED
    assert call.attributes["list"] == [{name: REDACTED}]
    assert call.attributes[f"{name}.used"] is True


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('{"password": "hunter22"}', '{"password": "[redacted]"}'),
        ('{\\"api_key\\": \\"abcd1234\\"}', '{\\"api_key\\": \\"[redacted]\\"}'),
        ("api-key=abcd1234&x=1", "api-key=[redacted]&x=1"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]"),
        ("Cookie: sid=abcdefgh", "Cookie: [redacted]"),
    ],
)
def test_a_name_and_its_value_inside_a_text_are_found(text: str, clean: str) -> None:
    assert redacted_text(text) == clean


def test_an_ordinary_call_comes_back_as_it_is() -> None:
    call = a_call(
        input=[
            {"role": "user", "content": "A task without risk: the author's key point is a token."}
        ],
        attributes={"gen_ai.usage.input_tokens": 3, "gen_ai.request.max_tokens": 5},
    )

    assert redact(call) is call


def test_text_that_only_looks_suspicious_stays_the_same() -> None:
    call = a_call(output=[{"role": "assistant", "content": "A risk-free trip to ASIA: no secret."}])

    assert redact(call) == call


def test_names_of_token_counts_are_no_secrets() -> None:
    attributes = {"gen_ai.usage.input_tokens": 3, "llm.token_count.prompt": 3, "max_tokens": 1}

    assert redacted(attributes) == attributes


# For every rule: beginnings of it without an end, as many as a value can hold. A rule that reads the
# rest of the text for each of them would need hours.
TRAPS = (
    "-eyJ", "eyJaaaaaaaa.", "-eyJaaaaaaaa", "Bearer ", "Bearer\t", "-sk-", "sk-a.", "ghp_", "-ghp_a",
    "github_pat_", "-AKIA", "AKIAAAAAAAAAAAAAAAAAA", "xoxb-", "-AIza", "-----BEGIN ",
    "-----BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KEY----- -----END ", "secret", "secret-", "secret\\",
    "secret ", "secret= ", "secret:\\", "token\\\" ", "api_key: basic ", "password=\"",
)  # fmt: skip
_MEASURE = """
import sys
from collector.redact import redacted_text
units = sys.stdin.read().split("\\0")
for unit in units:
    redacted_text(unit * (600_000 // len(unit)))
for head in ("secret", "secret=", "Bearer", "-----BEGIN ", "eyJaaaaaaaa."):
    for end in {unit[-1] for unit in units}:
        redacted_text(head + end * 100_000)
"""


def test_no_text_holds_the_rules_up() -> None:
    subprocess.run(
        [sys.executable, "-c", _MEASURE],
        input="\0".join(TRAPS),
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize("before", ["", "token-", "a.", "x=", '"'])
def test_a_token_of_three_parts_is_found_behind_anything(before: str) -> None:
    assert SECRETS["jwt"].split(".")[1] not in redacted_text(f"{before}{SECRETS['jwt']} end")
