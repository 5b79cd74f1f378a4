"""What secrets and personal data look like in text: one pattern a kind, and a check where needed.

All are RE2: its time is linear in the text, whatever the text. They run over UTF-8, both over a text
and over the JSON that holds it: so a quote may have backslashes before it, and a line end may be one.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import re2

REDACTED = b"[redacted]"
GONE = (b"gone", b"q0", b"q1", b"q2", b"q3", b"bare")
Found = Any  # what RE2 offers of re.Match[bytes]; groups are named by bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of secret: of what its pattern matches, the group of GONE that matched goes."""

    name: str
    pattern: str
    is_one: Callable[[Found], bool] | None = None  # what a pattern cannot say
    put: bytes = REDACTED
    until: Callable[[Found], int] | None = None  # where what goes ends; what is put gets quotes


# Before a token: the start, no letter or digit, or an escape that ends in a letter.
_START = r"(?:^|[^A-Za-z0-9]|\\[nrtbf]|\\u00[01][0-9a-fA-F]|%[0-9A-Fa-f]{2})"
_BLANK = r"(?:[\s+]|\\[nrt]|%20)"
_QUOTE = r"\\*[\"'`]"
_SPACE = r"(?:\s|\\+[nrtf])*"
# A word's start, also behind an escape that ends in a letter.
_WORD = r"(?:\b|_|\\[nrtbf]|\\u00[01][0-9a-fA-F])"

_TOKENS = (
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_\w{20,}",
    r"glpat-[\w-]{16,}",  # GitLab
    r"(?:AKIA|ASIA)[A-Z0-9]{16}\b",  # AWS
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"xapp-[A-Za-z0-9-]{16,}",
    r"AIza[\w-]{35}",  # Google
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{20,}",
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",  # Stripe
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"(?:gsk_|xai-|pplx-|r8_)[A-Za-z0-9]{30,}",  # Groq, xAI, Perplexity, Replicate
    r"nvapi-[\w-]{30,}",
    r"lsv2_[a-z]{2}_[A-Za-z0-9_]{30,}",  # LangSmith
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[\w-]{40,}",
    r"dop_v1_[a-f0-9]{30,}",
    r"SG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
    r"whsec_[A-Za-z0-9+/=]{16,}",  # Standard Webhooks
    r"tg_[A-Za-z0-9]{4,}_[A-Za-z0-9]{20,}",  # Tidegauge's own
)

_GAP = rb"(?:[ -]|\xc2\xa0|\xe2\x80[\x90-\x95\xaf])?".decode("latin-1")
_FOUR = _GAP + "[0-9]{4}"
_CARD = (
    r"(?:4[0-9]{3}|5[1-5][0-9]{2}|2(?:2[2-9]|[3-6][0-9]|7[01])[0-9]"
    r"|6(?:011|4[4-9][0-9]|5[0-9]{2})|35[2-8][0-9]|62[0-9]{2})" + 3 * _FOUR +
    rf"|3[47][0-9]{{2}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{5}}"  # American Express
    rf"|3(?:0[0-5]|[68][0-9])[0-9]{_GAP}[0-9]{{6}}{_GAP}[0-9]{{4}}"  # Diners Club
)  # fmt: skip
# Not within a longer number, a fraction, or a name.
_CARD_START = r"(?:^|[^0-9A-Za-z.]|[^0-9]\.|\\[nrtbf]|\\u00[01][0-9a-fA-F])"

# Names under which a secret stands. "token" alone is none: every log probability has one.
_AFTER = r"(?:s|[._-]?[0-9]+|[._-][A-Za-z0-9._-]*)?"
_NAMED = (
    r"(?:(?:proxy-)?authorization|cookie|passw(?:or)?d|passphrase|pwd|credential"
    r"|secret|(?:private|access|account|signing|encryption)[-_ ]?key"
    r"|connection[-_]?string)" + _AFTER,
    # What LiteLLM writes of a key (user_api_key_alias and twenty others) is not the key.
    (
        r"api[-_ ]?key(?:s|[._-]?[0-9]+|[._-](?:value|secret|plain|raw|prod|production|dev|test|live"
        r"|staging|old|new|primary|secondary|main|default|used|[0-9]+))?"
    ),
    (
        r"(?:access|refresh|auth|session|security|bearer|csrf|xsrf)[-_]?token(?:[._-]?[0-9]+"
        r"|[._-](?:value|secret|used|raw|plain))?"
    ),
    _WORD + r"id[-_]?token(?:[._-](?:value|used|raw))?",
)

_INSIDE = r"(?:[^\"\\]|\\.)+"  # of double quotes
# Of \"...\", JSON in JSON: a backslash is four there, a quote three and itself.
_INSIDE_JSON = r"(?:[^\"\\]|\\{4}|\\{3}\"|\\{1,2}[^\"\\])+"
_INSIDE_DEEPER = r"(?:[^\"\\]|\\+[^\"\\]|\\{7}\")+"
_BARE = r"[^\s\x00-\x1f\"'`\\,;&)}\]]"
_VALUE = (
    rf"b?\"(?P<q0>{_INSIDE})|\\\"(?P<q1>{_INSIDE_JSON})|\\{{2,}}\"(?P<q2>{_INSIDE_DEEPER})"
    r"|b?\\*'(?P<q3>(?:[^'\\]|\\.)+)"
    rf"|(?P<bare>(?:basic|bearer|token|digest)(?:\s|\\+[nrtf])+{_BARE}+|{_BARE}{{4,}})"
)


def pairs(names: Iterable[str]) -> str:
    """Return the pattern of a name and its value: JSON, headers, settings, Python."""
    named = "|".join(names)
    between = rf"(?:{_QUOTE}{_SPACE}(?:[:=,]|=>)|{_SPACE}(?:=>|[:=])){_SPACE}[\[(]?{_SPACE}"
    return rf"(?is)(?:(?P<name>{named})(?P<between>{between}))(?:{_VALUE})"


def nested(names: Iterable[str]) -> str:
    """Return the pattern of a quoted name and the start of its object, list or number."""
    named = "|".join(names)
    return (
        rf"(?i)(?:(?P<name>{named})(?P<quote>\\*[\"']){_SPACE}:{_SPACE})"
        r"(?P<gone>[{\[]|-?[0-9])"
    )


def _is_nested(found: Found) -> bool:
    if found[b"gone"] in (b"{", b"["):
        return not found.string.startswith(REDACTED, nested_start(found))
    return not _is_of_tokens(found)


_BEFORE = re.compile(rb"[\w.-]*\Z")


def _is_of_tokens(found: Found) -> bool:
    """Return whether a name, with what stands before it, is one of tokens: a number is of them."""
    start = found.start()
    before = _BEFORE.search(found.string[max(0, start - 64) : start])
    return b"token" in ((before[0] if before else b"") + found[b"name"]).lower()


_NUMBER = re.compile(rb"[\w.+-]+")
_MARKS = re.compile(rb"(\\*)([\"'])|[{\[]|[}\]]")


def nested_start(found: Found) -> int:
    """Return where the value starts: it is the last that the pattern matches."""
    return int(found.end()) - len(found[b"gone"])


def _nested_end(found: Found) -> int:
    """Return where the value ends: where its brackets close, or the text which it stands in does."""
    text, start = found.string, nested_start(found)
    if number := _NUMBER.match(text, start):
        return number.end()
    escapes, depth, within, end = len(found[b"quote"]) - 1, 0, b"", len(text)
    for mark in _MARKS.finditer(text, start):
        end, quote = mark.start(), mark[2]
        if quote:
            more = len(mark[1]) - escapes
            if more < 0 and quote == found[b"quote"][-1:]:  # of the text around it
                return end
            if not within:
                within = quote if more == 0 else b""
            # A backslash in it is as many as a quote has and one; a pair of them escapes nothing.
            elif quote == within and more // (escapes + 1) % 2 == 0:
                within = b""
        elif not within:
            depth += 1 if mark[0] in b"{[" else -1
            if not depth:
                return mark.end()
    return len(text)


def _is_pair(found: Found) -> bool:
    """Return whether what stands behind a name may be its value, and is no prose, type or code."""
    name, bare = found[b"name"].lower(), found[b"bare"]
    if bare is None:
        return True
    if bare.lower().rstrip(b".)") in _NO_VALUE or bare.startswith(_CODE):
        return False
    if bare.isdigit() and _is_of_tokens(found):
        return False
    if name.startswith(b"pwd") and bare.startswith((b"/", b"~")):
        return False  # the working directory
    if b"authorization" in name or b"passw" in name or b"=" in found[b"between"]:
        return True
    return not bare.rstrip(b".!?:").isalpha()


_NO_VALUE = frozenset(
    b"true false null none undefined string required optional bytes redacted [redacted".split()
)
_CODE = (b"os.", b"process.", b"self.", b"config.", b"settings.", b"getenv", b"${", b"<", b"{{")


def _is_sk(found: Found) -> bool:
    return any(byte in b"0123456789" for byte in found[b"gone"])


def _is_bearer(found: Found) -> bool:
    """Return whether it is no "bearer authentication"."""
    return not re.fullmatch(rb"[A-Za-z]?[a-z]*(?:-[a-z]+)*\.?", found[b"value"])


def _is_basic(found: Found) -> bool:
    """Return whether it is base64 of user:password."""
    text = found[b"value"].rstrip(b"=")
    try:
        return b":" in base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def is_luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of a card number.

    >>> is_luhn("4111111111111111"), is_luhn("4111111111111112")
    (True, False)
    """
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_card(found: Found) -> bool:
    after = found.string[found.end() : found.end() + 2]
    if after[:1] == b"." and after[1:].isdigit():
        return False
    return is_luhn("".join(chr(byte) for byte in found[b"gone"] if 48 <= byte <= 57))


SECRETS: tuple[Kind, ...] = (
    Kind(
        "private key",
        r"(?s)(?P<gone>-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\z))",
    ),
    Kind("token", rf"{_START}(?P<gone>{'|'.join(_TOKENS)})"),
    Kind("sk", rf"{_START}(?P<gone>sk-[\w-]{{16,}})", _is_sk),
    Kind("jwt", r"(?P<gone>eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"),
    Kind("bearer", rf"(?i)(?P<gone>bearer{_BLANK}+(?P<value>[\w.~+/=-]{{12,}}))", _is_bearer),
    Kind(
        "basic",
        # Three letters and then at least one that is no small one: few words behind "basic" are so.
        rf"(?P<gone>(?:basic|Basic|BASIC){_BLANK}+"
        r"(?P<value>[A-Za-z0-9+/_-]{3,}[A-Z0-9+/=][\w+/=-]*))",
        _is_basic,
    ),
    Kind(
        "url",
        r"(?:[A-Za-z][\w+.-]*:(?:\\?/){2}[^\s\x00-\x1f/@:\"'\\<>?#]*:)"
        r"(?P<gone>[^\s\x00-\x1f/\"'\\<>]+)@",
    ),
    Kind("hook", r"(?:hooks\.slack\.com/[a-z]+/)(?P<gone>[\w/-]{10,})"),
    Kind(
        "signature",
        r"(?i)(?:[?&](?:sig|signature|x-(?:amz|goog)-(?:signature|credential))=)"
        r"(?P<gone>[^&\s\x00-\x1f\"'\\]{16,})",
    ),
    Kind(
        "cookies",
        rf"(?i)cookie{_QUOTE}?{_SPACE}[:=]{_SPACE}(?:{_QUOTE})?"
        r"(?P<gone>[\w.-]+=[^\s\x00-\x1f;\"'\\]+(?:;\s*[\w.-]+(?:=[^\s;\"'\\]+)?)*)",
    ),
    Kind(  # in a connection string: up to the next semicolon, blanks too
        "connection",
        rf"(?i)(?:password|pwd|accountkey|sharedaccesskey){_SPACE}={_SPACE}"
        r"(?P<gone>[^;\x00-\x1f\"'\\()]+);",
    ),
    Kind("nested", nested(_NAMED), _is_nested, until=_nested_end),
    Kind("pair", pairs(_NAMED), _is_pair),
    Kind("card", rf"{_CARD_START}(?P<gone>{_CARD})\b", _is_card),
)


def _is_address(found: Found) -> bool:
    """Return whether it is one, but no machine's own: "127.0.0.1" says nothing of anybody."""
    text = found[b"gone"].decode("ascii")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(character.isdigit() for character in text) and not address.is_loopback


def _is_phone(found: Found) -> bool:
    digits = sum(48 <= byte <= 57 for byte in found[b"gone"])
    return bool(7 <= digits <= 15)


PERSONAL: tuple[Kind, ...] = (
    Kind(
        "e-mail",
        r"(?P<gone>[\w.!#$%&*+/=?^`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)",
        put=b"[email]",
    ),
    Kind(
        "phone",
        r"(?:^|[^\w.+-]|\\[nrt])(?P<gone>\+[0-9](?:[ ().-]{0,2}[0-9]){6,14}"
        r"|\(?[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4})\b",
        _is_phone,
        b"[phone]",
    ),
    Kind(
        "address",
        r"(?:^|[^\w.:-]|\\[nrt])(?P<gone>(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
        r"|(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}"
        r"|(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6})\b",
        _is_address,
        b"[ip]",
    ),
)


def compiled(pattern: str, *, text: bool = False, groups: bool = False) -> Any:
    """Return a pattern for bytes; of characters with ``text``, else of bytes. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not groups
    options.max_mem = 32 * 2**20
    if not text:
        options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode("utf-8" if text else "latin-1"), options)


def any_of(kinds: Iterable[str]) -> str:
    """Return one pattern that is found where any of the given is; groups have no names in it."""
    plain = [re.sub(r"\(\?P<\w+>", "(?:", pattern) for pattern in kinds]
    return "|".join(f"(?:{pattern})" for pattern in plain)


def names_pattern(names: Iterable[str]) -> str:
    """Return the pattern of an attribute's whole name, whatever stands before it."""
    return rf"(?i)(?:{'|'.join(names)})$"


#: The kinds whose pattern is made of names.
BY_NAME = {"pair": pairs, "nested": nested}
NAMED = _NAMED
WORD = _WORD
