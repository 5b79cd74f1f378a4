"""Secrets and personal data out, before anything is stored.

Two steps. ``suspect`` reads the JSON of a call once, in one linear pass over its bytes; nearly all
calls end there. Those that it names go through ``redact``, text by text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import re2

from collector import patterns
from collector.patterns import PERSONAL, SECRETS, Found, Kind
from tidegauge.call import Call

_LABEL_CHARS = 256  # what is remembered must stay small, whatever is sent
REDACTED = patterns.REDACTED.decode()
_SHORTEST = 6  # characters of the shortest text that holds a secret we know

# The columns that hold text which a sender chose. Ids are hex, checksums and enums are ours.
COLUMNS = (
    "name", "service", "service_version", "environment", "use_case", "user_id", "session_id",
    "provider", "request_model", "response_model", "response_id", "error_type", "output_type",
    "prompt_name", "prompt_version", "library", "library_version", "service_tier",
)  # fmt: skip


class BadRule(ValueError):
    """A name or pattern to redact that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of secret, ready to search with."""

    find: Any  # RE2 over bytes
    gone: tuple[int, ...]  # its groups, of which one goes; none: all that it matches
    is_one: Callable[[Found], bool] | None
    put: bytes
    until: Callable[[Found], int] | None = None  # see Kind


@dataclass(frozen=True, slots=True, eq=False)  # hashed by identity: it is a key of caches
class Rules:
    """What must not be stored. ``any`` is found in JSON wherever one of the others could be."""

    any: Any
    names: Any
    rules: tuple[Rule, ...]
    custom: Any = None  # the operator's patterns, over unescaped JSON


def rules_of(
    *,
    personal: bool = False,
    names: Iterable[str] = (),
    patterns_too: Sequence[str] = (),
) -> Rules:
    """Return the rules for secrets; with ``personal`` also for e-mail, phone and IP addresses.

    ``names`` are more attribute and JSON names whose values go, ``patterns_too`` more RE2 patterns.
    Raises BadRule.
    """
    more = [_quoted(name) for name in names]
    named = (*patterns.NAMED, *more)
    kinds = [_of_names(named, kind) for kind in SECRETS]
    kinds += PERSONAL if personal else ()
    theirs = [_theirs(pattern) for pattern in patterns_too]
    return Rules(
        any=patterns.compiled(patterns.any_of(kind.pattern for kind in kinds)),
        names=patterns.compiled(patterns.names_pattern(named)),
        rules=(*(_rule(kind) for kind in kinds), *theirs),
        custom=patterns.compiled(patterns.any_of(patterns_too), text=True) if theirs else None,
    )


def _of_names(named: Iterable[str], kind: Kind) -> Kind:
    made = patterns.BY_NAME.get(kind.name)
    return replace(kind, pattern=made(named)) if made else kind


def _rule(kind: Kind) -> Rule:
    find = patterns.compiled(kind.pattern, groups=True)
    gone = tuple(find.groupindex[name] for name in patterns.GONE if name in find.groupindex)
    return Rule(find, gone, kind.is_one, kind.put, kind.until)


def _quoted(name: str) -> str:
    """Return the pattern of a name, "-" and "_" and nothing between words being the same."""
    words = name.replace("-", "_").split("_")
    if not all(word and word.replace(".", "").isalnum() and word.isascii() for word in words):
        raise BadRule(f"redact_names: {name!r} must be letters, digits, '.', '-' and '_'")
    return patterns.WORD + "[-_]?".join(word.replace(".", r"\.") for word in words)


def _theirs(pattern: str) -> Rule:
    try:
        find = patterns.compiled(pattern, text=True)
    except re2.error as error:
        why = str(error.args[0].decode() if isinstance(error.args[0], bytes) else error)
        raise BadRule(
            f"redact_patterns: {pattern!r} is no RE2 pattern ({why}); RE2 has no look-around and "
            "no back-references"
        ) from None
    if find.search(b"") is not None:
        raise BadRule(f"redact_patterns: {pattern!r} matches an empty text; ask for a character")
    if _ANCHORS.search(_NO_ANCHORS.sub("", pattern)):
        raise BadRule(
            f"redact_patterns: {pattern!r} must match within a text: without ^, $, \\A, \\z"
        )
    return Rule(find, (), None, patterns.REDACTED)


# A text's start and end are no longer to be seen in the JSON that ``suspect`` reads.
_ANCHORS = re.compile(r"[\^$]|\\[Az]")
_NO_ANCHORS = re.compile(r"\\[^Az]|\[\^?\]?[^\]]*\]")


DEFAULT = rules_of()


def columns(call: Call) -> bytes:
    """Return the texts of a call that stand beside its content, for ``suspect``."""
    texts = [text for name in COLUMNS if (text := getattr(call, name))]
    return "\n".join(texts).encode()


def suspect(content: bytes, rules: Rules = DEFAULT) -> bool:
    """Return whether a rule could match in ``content``: JSON, or texts; never False where one does.

    >>> suspect(b'{"role": "user", "content": "the secret of a token"}')
    False
    """
    if rules.any.search(content) is not None:
        return True
    if rules.custom is None:
        return False
    # As it is, too: in a text a backslash is no escape.
    return any(rules.custom.search(text) is not None for text in (content, _unescaped(content)))


_ESCAPE = re.compile(rb'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_MEANT = dict(
    zip(b'"\\/bfnrt', (b'"', b"\\", b"/", b"\b", b"\f", b"\n", b"\r", b"\t"), strict=True)
)


def _unescaped(content: bytes) -> bytes:
    """Return JSON with its texts as they are meant."""
    return _ESCAPE.sub(_meant, content) if b"\\" in content else content


def _meant(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        return _MEANT[found[2][0]]
    return chr(int(found[1], 16)).encode(errors="replace")


def redact(call: Call, rules: Rules = DEFAULT) -> Call:
    """Return the call without secrets in its content, its attributes and its columns."""
    texts: dict[str, Any] = {name: getattr(call, name) for name in COLUMNS}
    for name, text in texts.items():
        texts[name] = text and redacted_text(text, rules)
    return replace(
        call,
        **texts,
        input=redacted(call.input, rules),
        output=redacted(call.output, rules),
        stop_sequences=tuple(redacted_text(text, rules) for text in call.stop_sequences),
        attributes=redacted(dict(call.attributes), rules),
    )


def redacted(value: Any, rules: Rules = DEFAULT) -> Any:
    """Return a JSON value without secrets, at any depth; names are texts, too."""
    if isinstance(value, str):
        return redacted_text(value, rules)
    if isinstance(value, list | tuple):
        return [redacted(item, rules) for item in value]
    if isinstance(value, Mapping):
        return {
            redacted_label(name, rules): _named(name, item, rules) for name, item in value.items()
        }
    if isinstance(value, int) and abs(value) > _LEAST_CARD:
        text = str(value)
        return value if redacted_text(text, rules) == text else REDACTED
    return value


_LEAST_CARD = 10**12  # shorter numbers are no card's: most need not be read


def _named(name: str, value: Any, rules: Rules) -> Any:
    """Return the value of a name; yes, no, nothing and "" are no secrets, nor is a number of tokens."""
    if value is None or value == "" or isinstance(value, bool) or not _is_secret(name, rules):
        return redacted(value, rules)
    if isinstance(value, int | float) and "token" in name.lower():
        return value
    return REDACTED


def _is_secret(name: str, rules: Rules) -> bool:
    if len(name) <= _LABEL_CHARS:
        return _remembered_secret(name, rules)
    return rules.names.search(name.encode()) is not None


@lru_cache(maxsize=2048)
def _remembered_secret(name: str, rules: Rules) -> bool:
    return rules.names.search(name.encode()) is not None


def redacted_text(text: str, rules: Rules = DEFAULT) -> str:
    """Return text without tokens, keys and passwords.

    >>> redacted_text("Authorization: Bearer abcdefghijklmnop")
    'Authorization: [redacted]'
    """
    if len(text) < _SHORTEST and rules.custom is None:
        return text
    encoded = text.encode()
    if not suspect(encoded, rules):
        return text
    for rule in rules.rules:
        encoded = _without(encoded, rule)
    return encoded.decode(errors="replace")


def redacted_label(text: str, rules: Rules = DEFAULT) -> str:
    """Return ``redacted_text``, for the few short texts that come with every span of a sender."""
    return _remembered(text, rules) if len(text) <= _LABEL_CHARS else redacted_text(text, rules)


@lru_cache(maxsize=2048)
def _remembered(text: str, rules: Rules) -> str:
    return redacted_text(text, rules)


def _without(text: bytes, rule: Rule) -> bytes:
    kept: list[bytes] = []
    end = 0
    for found in rule.find.finditer(text):
        if found.start() < end:
            continue  # gone with what it stood in
        if rule.is_one is None or rule.is_one(found):
            start, stop = _gone(found, rule)
            kept += (text[end:start], _put(found, rule))
            end = stop
    return b"".join((*kept, text[end:])) if kept else text


def _put(found: Found, rule: Rule) -> bytes:
    quote: bytes = found[b"quote"] if rule.until else b""  # JSON stays JSON
    return quote + rule.put + quote


def _gone(found: Found, rule: Rule) -> tuple[int, int]:
    if rule.until is not None:
        return patterns.nested_start(found), rule.until(found)
    for group in rule.gone:
        start, stop = found.span(group)
        if start >= 0:
            return start, stop
    start, stop = found.span()
    return start, stop
