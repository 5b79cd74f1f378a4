"""Secrets and personal data out, before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from tidegauge.call import Call

REDACTED = "[redacted]"

_NAMED = (
    r"(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api[-_]?key|passw(?:or)?d|passphrase|"
    r"(?:client[-_]?)?secret|(?:access|refresh|id|auth)[-_]?token|private[-_]?key"
)
_NAMES = re.compile(rf"(?:^|[._-])(?:{_NAMED})(?:$|[._-])", re.IGNORECASE)
_VALUES = re.compile(
    r"\bBearer\s+[\w.~+/=-]{12,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_\w{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[\w-]{35}"
    # A JWT. Tried once a word, and never given back: else "-eyJ-eyJ..." would take hours.
    r"|(?<![\w-])(?=[\w-]*?\beyJ[\w-]{8})[\w-]++\.[\w-]{8,}+\.[\w-]*+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
# A name and its value inside a text: JSON in JSON, headers that were printed, configuration.
_PAIRS = re.compile(
    rf"""\b((?:{_NAMED})\\*["']?\s*[:=]\s*\\*["']?)(?:(?:basic|bearer|token)\s+)?[^\s"'\\,;&}}]{{4,}}""",
    re.IGNORECASE,
)

# What any of these rules needs to match. A span without one of them is passed on unread.
_HINTS = tuple(b"sk- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ AKIA ASIA AIza xox eyJ PRIVATE".split())
_NAME_HINTS = tuple(
    b"authorization authtoken cookie passw passphrase secret bearer apikey privatekey accesstoken "
    b"refreshtoken idtoken".split()
)
_LOWER = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class Rules:
    """What must not be stored: values under these names, and text of these forms."""

    names: re.Pattern[str] = _NAMES
    values: re.Pattern[str] = _VALUES
    pairs: re.Pattern[str] = _PAIRS  # group 1 is kept: the name and its separator
    hints: tuple[bytes, ...] = _HINTS
    name_hints: tuple[bytes, ...] = _NAME_HINTS  # lower case, without "-", "_" and blanks


DEFAULT = Rules()


def redact(call: Call, rules: Rules = DEFAULT) -> Call:
    """Return the call without secrets in its content, its attributes and its names."""
    if not _is_suspect(call, rules):
        return call
    return replace(
        call,
        name=redacted_text(call.name, rules),
        error_type=call.error_type and redacted_text(call.error_type, rules),
        user_id=call.user_id and redacted_text(call.user_id, rules),
        session_id=call.session_id and redacted_text(call.session_id, rules),
        input=redacted(call.input, rules),
        output=redacted(call.output, rules),
        attributes=redacted(dict(call.attributes), rules),
    )


def _is_suspect(call: Call, rules: Rules) -> bool:
    """Return whether any rule could match: cheap, and right in nearly every case."""
    texts = [call.name, call.error_type, call.user_id, call.session_id]
    content = orjson.dumps([texts, call.input, call.output, dict(call.attributes)])
    if any(hint in content for hint in rules.hints):
        return True
    squeezed = content.translate(_LOWER, b"-_ ")
    return any(hint in squeezed for hint in rules.name_hints)


def redacted(value: Any, rules: Rules = DEFAULT) -> Any:
    """Return a JSON value without secrets, at any depth."""
    if isinstance(value, str):
        return redacted_text(value, rules)
    if isinstance(value, list | tuple):
        return [redacted(item, rules) for item in value]
    if isinstance(value, Mapping):
        return {name: _named(name, item, rules) for name, item in value.items()}
    return value


def _named(name: str, value: Any, rules: Rules) -> Any:
    """Return the value of a name; yes, no and nothing are no secrets."""
    if rules.names.search(name) and value is not None and not isinstance(value, bool):
        return REDACTED
    return redacted(value, rules)


def redacted_text(text: str, rules: Rules = DEFAULT) -> str:
    """Return text without tokens, keys and passwords.

    >>> redacted_text("Authorization: Bearer abcdefghijklmnop")
    'Authorization: [redacted]'
    """
    return rules.pairs.sub(rf"\1{REDACTED}", rules.values.sub(REDACTED, text))
