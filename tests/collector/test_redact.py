from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector import redact as module
from collector.patterns import is_luhn
from collector.redact import (
    COLUMNS,
    REDACTED,
    BadRule,
    Rules,
    columns,
    redact,
    redacted,
    redacted_label,
    redacted_text,
    rules_of,
    suspect,
)
from tests.world import a_call
from tidegauge.call import Call

# Built from pieces: scanners of secrets must not stumble over this file.
SECRETS = {
    "bearer": "Bearer " + "abcdef0123456789",
    "bearer in small letters": "bearer " + "abcdef0123456789",
    "basic": "Basic " + "dXNlcjpwYXNz" + "d29yZA==",
    "openai": "sk-" + "proj-" + "A1b2C3d4E5f6G7h8I9j0",
    "anthropic": "sk-" + "ant-api03-" + "A1b2C3d4E5f6G7h8I9j0",
    "stripe": "sk_" + "live_" + "4eC39HqLyjWDarjtT1",
    "github": "ghp_" + "A" * 36,
    "github pat": "github_pat_" + "A" * 30,
    "gitlab": "glpat-" + "A1b2C3d4E5f6G7h8I9j0",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws for a while": "ASIA" + "IOSFODNN7EXAMPLE",
    "slack": "xox" + "b-123456789012-abcdef",
    "slack hook": "hooks.slack.com/services/" + "T0001/B0001/abcdefghijkl",
    "google": "AIza" + "B" * 35,
    "hugging face": "hf_" + "aB3" * 12,
    "jwt": "eyJ" + "hbGciOiJI." + "eyJzdWIiOiIx." + "c2lnbmF0dXJl",
    "pem": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "pem, cut": "-----BEGIN " + "PRIVATE KEY-----\nMIIE+abc",
    "url": "postgresql://tide:" + "s3cr3t@pw" + "@db.example/tide",
    "redis": "redis://:" + "s3cr3t" + "@cache.example/0",
    "connection string": "Server=db;User=sa;Password=" + "gehe im" + ";Encrypt=yes",
    "storage": "AccountName=a;AccountKey=" + "Zm9vYmFyYmF6cXV4==",
    "signed url": "https://bucket.example/x?sig=" + "A1b2C3d4E5f6G7h8I9j0",
    "card": "4111" + "111111111111",
    "card in fours": "5500 " + "0000 0000 0004",
    "card with dashes": "4111-" + "1111-1111-1111",
    "american express": "3782 " + "822463 10005",
    "tidegauge": "tg_" + "ab12cd34_" + "A1b2C3d4E5f6G7h8I9j0A1b2C3d4E5f6",
}
# What of it must be gone, where the rest may stay.
CORES = {
    "slack hook": "abcdefghijkl", "url": "s3cr3t", "redis": "s3cr3t",
    "connection string": "gehe im", "storage": "Zm9vYmFy", "signed url": "A1b2C3d4",
}  # fmt: skip


def is_gone(kind: str, text: str) -> bool:
    secret = SECRETS[kind]
    return CORES.get(kind, secret) not in text.replace("\\n", "\n")


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("place", ["input", "output", "attributes", "key", *COLUMNS])
def test_a_secret_is_found_in_every_place(kind: str, place: str) -> None:
    text = f"see {SECRETS[kind]} here"
    nested: Any = [{"role": "user", "content": text}]
    call = a_call(
        **{
            "input": {"input": nested},
            "output": {"output": nested},
            "attributes": {"attributes": {"events": [{"attributes": {"exception.message": text}}]}},
            "key": {"attributes": {text: 1}},
        }.get(place, {place: text})
    )
    content = orjson.dumps([call.input, call.output, call.attributes])

    assert suspect(content) or suspect(columns(call))
    clean = redact(call)
    kept = orjson.dumps([getattr(clean, field.name) for field in fields(Call)], default=str)
    assert is_gone(kind, kept.decode())
    assert REDACTED.encode() in kept
    assert b"see " in kept


def test_every_column_that_holds_a_senders_text_is_read() -> None:
    texts = {field.name for field in fields(Call) if field.type in ("str", "str | None")}
    ours = {
        "project", "trace_id", "span_id", "parent_span_id", "dialect", "tokens_audit_rule",
        "prompt_checksum", "input_checksum", "duplicate_of", "output_script",
    }  # fmt: skip

    assert set(COLUMNS) == texts - ours


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "wrap",
    [
        json.dumps,
        lambda text: json.dumps({"a": json.dumps({"b": [text]})}),
        lambda text: json.dumps(json.dumps(json.dumps([text]))),
        repr,
        lambda text: str({"headers": [("x", text)]}),
        lambda text: f"line\n{text}\nline",
        lambda text: json.dumps(f"line\n{text}\nline"),
        lambda text: f"é{text}é",
        lambda text: f"x={text}",
        lambda text: f"({text})",
    ],
)
def test_a_secret_is_found_however_it_is_written(kind: str, wrap: Any) -> None:
    text = wrap(SECRETS[kind])

    assert suspect(orjson.dumps({"a": text}))
    assert is_gone(kind, redacted_text(text))


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
        "OPENAI_API_KEY",
        "db.password",
        "dbPassword",
        "client_secret",
        "aws_secret_access_key",
        "access_token",
        "connectionString",
    ],
)
def test_what_stands_under_a_secret_name_is_not_kept(name: str) -> None:
    call = a_call(attributes={name: "abc", "list": [{name: ["abc"]}], f"{name}.used": True})

    assert suspect(orjson.dumps(call.attributes))
    call = redact(call)
    assert call.attributes[name] == REDACTED
    assert call.attributes["list"] == [{name: REDACTED}]
    assert call.attributes[f"{name}.used"] is True


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('{"password": "hunter22"}', '{"password": "[redacted]"}'),
        ('{\\"api_key\\": \\"abcd1234\\"}', '{\\"api_key\\": \\"[redacted]\\"}'),
        ("{'password': 'two words', 'x': 1}", "{'password': '[redacted]', 'x': 1}"),
        ("('authorization', b'abc')", "('authorization', b'[redacted]')"),
        ("api-key=abcd1234&x=1", "api-key=[redacted]&x=1"),
        ("export OPENAI_API_KEY=abcdef", "export OPENAI_API_KEY=[redacted]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]"),
        ("Authorization: Bearer abc def", "Authorization: [redacted] def"),
        ("Cookie: sid=abcdefgh", "Cookie: [redacted]"),
        ("Cookie: sid=abcd; csrf=efgh", "Cookie: [redacted]"),
        ("password: hunter", "password: [redacted]"),
        ("postgres://bob:p@ss@db/x", "postgres://bob:[redacted]@db/x"),
    ],
)
def test_a_name_and_its_value_inside_a_text_are_found(text: str, clean: str) -> None:
    assert redacted_text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "A task without risk: the author's key point is a token.",
        "A risk-free trip to ASIA: no secret.",
        "The secret: never give up. Basic authentication, bearer responsibilities.",
        "Use a password manager; the cookie banner; credentials: required",
        "task-management-system-for-2024, sk-learn-compatible-estimators",
        'password = os.environ["DB"]; api_key=os.getenv("KEY")',
        "api_key: str, password: Optional",
        "PWD=/home/tide",
        "order 4111111111111112, id 7411111111111111111, 0.4111111111111111",
        "1768478400000000000 1768478400000 c4111111111111111f",
        "session_tokens: 5123, auth_token: 4096",
        "https://example.com:443/a@b?x=1 mailto:ann@example.com",
        '{"token": "Hello", "logprob": -0.1}',
        '{"user_api_key_alias": "team", "user_api_key_hash": "88dc28d0f030c55e"}',
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redacted_text(text) == text


def test_an_ordinary_call_is_no_suspect() -> None:
    call = a_call(
        input=[{"role": "user", "content": "What is the secret of a good password?"}],
        attributes={
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.request.max_tokens": 5,
            "user_api_key_hash": "88dc28d0f030c55e",
            "time_ns": 1_768_478_400_000_000_000,
            "score": 0.4111111111111111,
        },
    )

    assert not suspect(orjson.dumps([call.input, call.attributes]))
    assert not suspect(columns(call))
    assert redact(call) == call


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.usage.input_tokens", "gen_ai.usage.cache_read.input_tokens", "max_tokens",
        "gen_ai.request.max_tokens", "llm.token_count.prompt", "llm.token_count.prompt_details.audio",
        "llm.usage.total_tokens", "session_tokens", "access_token", "auth_token", "trace_id",
        "prompt_checksum", "gen_ai.request.model", "ai.usage.promptTokens",
        "tokens.secret_count",
    ],
)  # fmt: skip
def test_numbers_of_tokens_are_never_redacted(name: str) -> None:
    attributes = {
        name: 4096,
        "list": [{name: 12}],
        "text": f'{{"{name}": 4096, "{name}":7}} {name}=4096',
    }

    assert redacted(attributes) == attributes


def test_a_card_as_a_number_is_redacted_and_a_time_is_not() -> None:
    value = {"n": 4111111111111111, "time_ns": 1_768_478_400_000_000_000, "id": 4111111111111112}

    assert redacted(value) == {**value, "n": REDACTED}


def test_no_digit_may_be_wrong_in_a_card() -> None:
    right = "4111" + "111111111111"

    assert is_luhn(right)
    for place in range(16):
        for digit in set("0123456789") - {right[place]}:
            wrong = right[:place] + digit + right[place + 1 :]
            assert redacted_text(f"card {wrong}.") == f"card {wrong}."


TEXT = st.text(max_size=60)
PIECES = st.sampled_from(
    [*SECRETS.values(), "password", '"', "\\", "\n", ":", "=", "api_key", "'", " ", "eyJ", "sk-"]
)
MIXED = st.lists(st.one_of(TEXT, PIECES), max_size=8).map("".join)


@settings(max_examples=400, deadline=None)
@given(MIXED, st.integers(0, 2))
@example('password":"\\', 0)
def test_what_would_be_redacted_is_always_a_suspect(text: str, deep: int) -> None:
    text = text.encode(errors="replace").decode()
    for _ in range(deep):
        text = json.dumps([text], ensure_ascii=False)

    if redacted_text(text) != text:
        assert suspect(orjson.dumps({"a": [text]}))


@settings(max_examples=300, deadline=None)
@given(TEXT, TEXT)
def test_tokens_are_found_between_any_texts(before: str, after: str) -> None:
    secret = SECRETS["github"]
    text = f"{before} {secret} {after}".encode(errors="replace").decode()

    assert secret not in redacted_text(text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=4, max_size=30), st.integers(0, 1))
def test_a_password_in_json_goes_whole_whatever_is_in_it(password: str, deep: int) -> None:
    text = json.dumps({"password": password, "user": "ann"}, ensure_ascii=False)
    for _ in range(deep):
        text = json.dumps({"body": text}, ensure_ascii=False)

    found: Any = redacted_text(text)
    for _ in range(deep):
        found = json.loads(found)["body"]
    assert json.loads(found) == {"password": REDACTED, "user": "ann"}


NESTED = [
    {"password": {"v": "hunter33zz"}},
    {"x": {"pin_password": 123}},
    {"credentials": [{"user": "ann", "pin": 7}]},
    {"api_key": {"value": "hunter33zz", "user": "ann"}},
    {"secrets": {"a": ["b]\\", '}"'], "c": "hunter33zz"}},
    {"password": -1.5},
    {"db-password": []},
]


@pytest.mark.parametrize("value", NESTED)
@pytest.mark.parametrize("deep", range(4))
@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_a_list_and_a_number_under_a_secret_name_go(
    value: Any, deep: int, indent: int | None
) -> None:
    text: Any = {**value, "note": "stays"}
    for _ in range(deep):
        text = {"arguments": json.dumps(text, indent=indent), "z": 1}

    assert suspect(orjson.dumps(text))
    found = redacted(text)
    for _ in range(deep):
        assert found["z"] == 1
        found = json.loads(found["arguments"])
    assert found == redacted({**value, "note": "stays"})
    assert REDACTED in orjson.dumps(found).decode()
    assert found["note"] == "stays"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            """{'password': {"a": "it's"}, 'b': 1}""",
            "{'password': '[redacted]', 'b': 1}",
        ),
        ('say "api_key": {"a": [1, "}"]}, then', 'say "api_key": "[redacted]", then'),
        ('{"password": {"a": "cut', '{"password": "[redacted]"'),
        (
            r'{"a": "{\"password\": {\"b\": \"cut", "c": 1}',
            r'{"a": "{\"password\": \"[redacted]\"", "c": 1}',
        ),
        ('"password": "[redacted]"', '"password": "[redacted]"'),
        ('"password": [redacted]', '"password": [redacted]'),
    ],
)
def test_what_goes_of_a_value_in_brackets_is_that_value(text: str, clean: str) -> None:
    assert redacted_text(text) == clean


MARKED = st.text(st.sampled_from("{}[]\"'\\,: ab\n"), max_size=8)
ANY_JSON = st.recursive(
    st.integers(-(10**15), 10**15) | MARKED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MARKED, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ANY_JSON, max_size=3) | st.dictionaries(MARKED, ANY_JSON) | st.integers(0, 999),
    st.integers(0, 2),
)
def test_a_value_in_json_in_a_text_goes_whole_and_nothing_else_does(value: Any, deep: int) -> None:
    text = json.dumps({"password": value, "user": "ann"})
    for _ in range(deep):
        text = json.dumps({"body": text})

    found: Any = redacted_text(text)
    for _ in range(deep):
        found = json.loads(found)["body"]
    assert json.loads(found) == {"password": REDACTED, "user": "ann"}


NAMES = st.one_of(
    st.sampled_from(
        ["password", "API-Key", "x.id_token", "\nid_token", "credentials", "iban", "\tiban",
         "secrets", "access_token", "\x01iban", "cookie", "pwd", "user"]
    ),
    MIXED,
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**17), 10**17), st.floats(allow_nan=False), MIXED,
    st.sampled_from(["", "CORP\\joe", "CORP\\new", "\rCASE-123456", "\x01CASE-123456"]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(NAMES, inner, max_size=3),
        inner.map(json.dumps),
    ),
    max_leaves=6,
)
THEIRS = rules_of(personal=True, names=["iban"], patterns_too=[r"CORP\\\w+", r"\bCASE-\d{6}"])


@settings(max_examples=600, deadline=None)
@given(VALUES, st.sampled_from([module.DEFAULT, THEIRS]))
@example({"x": {"pin_password": 123}}, module.DEFAULT)
@example({"\niban": "x"}, THEIRS)
@example({"password": ""}, module.DEFAULT)
@example(["password:\nhunter22"], module.DEFAULT)
@example(["password=a\tb;"], module.DEFAULT)
def test_what_redacted_changes_is_always_a_suspect(value: Any, rules: Rules) -> None:
    if redacted(value, rules) != value:
        assert suspect(orjson.dumps(value), rules)


@pytest.mark.parametrize(
    "text",
    ["login CORP\\joe", "login CORP\\new", "x\rCASE-123456", "\x01CASE-123456", "\\\nCASE-123456"],
)
def test_a_pattern_of_an_operator_is_found_behind_any_escape(text: str) -> None:
    for content in (orjson.dumps({"a": [text]}), text.encode()):
        assert suspect(content, THEIRS)
    assert REDACTED in redacted_text(text, THEIRS)


def test_a_pattern_of_an_operator_may_be_short() -> None:
    rules = rules_of(patterns_too=[r"C\d{3}"])

    assert redacted({"a": "C123"}, rules) == {"a": REDACTED}


# For every rule: beginnings of it without an end, as many as a value can hold. A rule that reads the
# rest of the text for each of them would need hours.
TRAPS = (
    "-eyJ", "eyJaaaaaaaa.", "-eyJaaaaaaaa", "Bearer ", "Bearer\t", "-sk-", "sk-a.", "ghp_", "-ghp_a",
    "github_pat_", "-AKIA", "AKIAAAAAAAAAAAAAAAAAA", "xoxb-", "-AIza", "-----BEGIN ",
    "-----BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KEY----- -----END ", "secret", "secret-", "secret\\",
    "secret ", "secret= ", "secret:\\", "token\\\" ", "api_key: basic ", "password=\"", "a://b:",
    "a://b:c", "http://", "4111 1111 ", "4", "password=", "pwd=a ", "a@", "a.b@c.", "1.1.", "a:b:",
    "+1 2", "Cookie: a=b; ", "basic aaa", "'", "\\\"", "password\":\"\\\\",
    '"secret":{', '"secret":["', '\\"secret\\":[', "'secret':1",
)  # fmt: skip
_MEASURE = """
import sys
from collector.redact import redacted_text, rules_of
rules = rules_of(personal=True, names=["iban"], patterns_too=["(a+)+b"])
units = sys.stdin.read().split("\\0")
for unit in units:
    redacted_text(unit * (600_000 // len(unit)), rules)
for head in ("secret", "secret=", "Bearer", "-----BEGIN ", "eyJaaaaaaaa.", "password: \\""):
    for end in {unit[-1] for unit in units}:
        redacted_text(head + end * 100_000, rules)
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


PERSONAL = rules_of(personal=True)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("write to ann.lee+x@mail.example.org.", "write to [email]."),
        ("call +44 20 7946 0958 now", "call [phone] now"),
        ("call (415) 555-0132 now", "call [phone] now"),
        ("from 203.0.113.7:443", "from [ip]:443"),
        ("from 2001:db8::1:2 on", "from [ip] on"),
        ("at 16:01:52, version 1.2.3, std::string, 127.0.0.1", None),
        ("-3.140000 and 2024-01-15 and 1999-2000-300", None),
    ],
)
def test_personal_data_go_only_where_that_is_asked_for(text: str, clean: str | None) -> None:
    assert redacted_text(text) == text
    assert redacted_text(text, PERSONAL) == (clean or text)
    if clean:
        assert suspect(orjson.dumps([text]), PERSONAL)


def test_an_operators_names_and_patterns_are_redacted_too() -> None:
    rules = rules_of(
        names=["customer-ssn", "iban"], patterns_too=[r"CUST-\d{4,}", r"Größe \w+\s+x"]
    )
    value = {
        "app.customer_ssn": "x y", "CustomerSSN": "abc", "iban": 12, "note": "see CUST-12345\n",
        "text": 'iban: "DE 12"', "other": "Größe XL\nx",
    }  # fmt: skip

    assert suspect(b'{"a":"CUST-1234"}', rules)
    assert suspect(orjson.dumps(["Größe XL\nx"]), rules)
    assert suspect(b'{"iban":"DE"}', rules)
    assert not suspect(b'{"a":"customer"}', rules)
    assert redacted(value, rules) == {
        "app.customer_ssn": REDACTED, "CustomerSSN": REDACTED, "iban": REDACTED,
        "note": f"see {REDACTED}\n", "text": f'iban: "{REDACTED}"', "other": REDACTED,
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)b", "a*", "^a", "a$", r"\Aa", ""])
def test_a_pattern_that_cannot_be_used_is_named_at_the_start(pattern: str) -> None:
    with pytest.raises(BadRule, match="redact_patterns: "):
        rules_of(patterns_too=[pattern])


@pytest.mark.parametrize("name", ["", "a b", "a(b", "-", "é", "a__b"])
def test_a_name_that_cannot_be_used_is_named_at_the_start(name: str) -> None:
    with pytest.raises(BadRule, match="redact_names: "):
        rules_of(names=[name])


def test_a_label_is_read_once_and_a_long_one_is_not_remembered() -> None:
    module._remembered.cache_clear()

    for text in (f"svc {SECRETS['github']}", "x" * 300 + f" {SECRETS['github']}"):
        assert redacted_label(text) == text.replace(SECRETS["github"], REDACTED)
        redacted_label(text)
    assert module._remembered.cache_info().hits == 1
    assert module._remembered.cache_info().currsize == 1


def test_rules_can_be_sent_to_another_process() -> None:
    import pickle

    rules = pickle.loads(pickle.dumps(module.DEFAULT))  # noqa: S301

    assert suspect(SECRETS["github"].encode(), rules)
