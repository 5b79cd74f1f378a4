"""What went wrong, in one vocabulary, whatever class or code the sender wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from collector.dialects.names import Named
from collector.dialects.values import count, text
from collector.raw import RawSpan

ABORTED = "aborted"  # by the client: no failure of the provider

_OK, _ERROR = 1, 2  # span status
_KIND_CHARS = 500  # of the class of an error; a whole message in its place is not remembered
_STATUS_IN_TEXT = re.compile(
    r"(?:error code|status code|status|http)\W{0,3}([45]\d\d)\b", re.IGNORECASE
)
_BY_STATUS = {
    401: "auth",
    403: "auth",
    408: "timeout",
    429: "rate_limit",
    499: ABORTED,
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
BY_WORDS = (
    (
        ABORTED,
        (
            "cancel generatorexit keyboardinterrupt aborterror abortedexception responseaborted "
            "clientdisconnect clientabort clientclosed client_closed websocketdisconnect "
            "interruptedexception"
        ),
    ),
    ("rate_limit", "ratelimit rate_limit throttl toomanyrequests resource_exhausted quota"),
    ("timeout", "timeout timedout timed_out deadline"),
    ("overloaded", "overloaded unavailable"),
    ("auth", "authentication unauthorized permission forbidden invalid_api_key"),
    ("content", "content_filter contentfilter content_policy contentpolicy guardrail"),
    ("connection", "connection remoteprotocol connecterror readerror socket"),
    (
        "bad_request",
        "badrequest bad_request invalid_request invalidrequest notfound not_found unprocessable",
    ),
    ("bad_request", "validation context_length invalid_argument"),
    ("server", "internalserver internal_server server_error servererror server_had_an_error"),
)
_WORDS = tuple((family, tuple(words.split())) for family, words in BY_WORDS)
_FAILURES = tuple(row for row in _WORDS if row[0] != ABORTED)
# A message may tell of an abort that was not the client's: these are what runtimes say, to the
# letter, where the class of the error says nothing (a DOMException, Go's errorString).
_ABORTS = (
    "context canceled",
    "operation was aborted",
    "request was aborted",
    "user aborted a request",
    "signal is aborted without reason",
    "bodystreambuffer was aborted",
    "client disconnected",
)
_SAYS_NOTHING = frozenset(
    ("", "error", "exception", "_other", "domexception", "*errors.errorstring", "*url.error")
)
_TIMEOUTS = ("timeout", "timed out", "deadline")
_CUT_BY = ("max_output_tokens", "content_filter")  # why an answer of Responses is incomplete


def error_of(raw: RawSpan, named: Named) -> tuple[str | None, int | None]:
    """Return the kind of error, None for none, and the HTTP status where it is known."""
    status: int | None = named.get("http_status")
    if not raw.events and raw.status != _ERROR and "error_type" not in named:
        return None, status  # nearly every span
    exception = _exception(raw) if raw.events else {}
    kind = named.get("error_type") or text(exception.get("exception.type"))
    if kind is None and raw.status != _ERROR:
        return None, status
    message = _message(raw, exception)
    return (None, status) if cut_by(message) else _classified(kind or "", message, status)


def cut_by(message: str) -> str | None:
    """Return why an answer is incomplete, by the message of an SDK that raises an error for it.

    The provider did its work: the answer is as long as was asked for, or was filtered.
    """
    if "incomplete" not in message:
        return None
    return next((why for why in _CUT_BY if why in message), None)


def went_away(raw: RawSpan, named: Named) -> bool:
    """Return whether the client gave up: the answer then ends where it stopped reading."""
    if not raw.events and raw.status != _ERROR and "error_type" not in named:
        return False
    exception = _exception(raw) if raw.events else {}
    kind = named.get("error_type") or text(exception.get("exception.type"))
    if kind is None and raw.status != _ERROR:
        return False
    message = _message(raw, exception)
    if cut_by(message):
        return False
    return _classified(kind or "", message, named.get("http_status"))[0] is None


def _message(raw: RawSpan, exception: dict[str, Any]) -> str:
    said = text(exception.get("exception.message")) or ""
    return f"{raw.status_message[:500]} {said}"[:1_000]


def _exception(raw: RawSpan) -> dict[str, Any]:
    """Return the last exception that was recorded, unless the span says that all went well."""
    if raw.status == _OK:
        return {}
    found = [event.attributes for event in raw.events if event.name == "exception"]
    return dict(found[-1]) if found else {}


def _classified(kind: str, message: str, status: int | None) -> tuple[str | None, int | None]:
    code = _http_error(status) or _http_error(count(kind)) or _status_in(message)
    family = _of_kind(kind[:_KIND_CHARS]) or (_by_status(code) if code else None) or _told(message)
    if family is None and _says_abort(kind, message):
        family = ABORTED
    if family != ABORTED:
        return family or _short(kind) or "other", code or status
    # .NET cancels the task of a request that takes too long.
    late = any(word in message.lower() for word in _TIMEOUTS)
    return ("timeout" if late else None), code or status


def _says_abort(kind: str, message: str) -> bool:
    """Return whether a message is what runtimes say when their own side gave up."""
    said = message.strip().rstrip(".").lower()
    return kind.lower() in _SAYS_NOTHING and said.endswith(_ABORTS)


def _http_error(code: int | None) -> int | None:
    return code if code is not None and 400 <= code <= 599 else None


def _status_in(message: str) -> int | None:
    found = _STATUS_IN_TEXT.search(message)
    return int(found[1]) if found else None


def _by_status(code: int) -> str:
    return _BY_STATUS.get(code) or ("server" if code >= 500 else "bad_request")


@lru_cache(maxsize=1_000)
def _of_kind(kind: str) -> str | None:
    return _family(kind)


def _family(words: str, families: Sequence[tuple[str, tuple[str, ...]]] = _WORDS) -> str | None:
    lowered = words.lower().replace(" ", "_")
    for family, needles in families:
        if any(needle in lowered for needle in needles):
            return family
    return None


def _told(message: str) -> str | None:
    """Return what a message says. It may name an abort that was not the client's."""
    return _family(message, _FAILURES)


def _short(kind: str) -> str:
    """Return a class name without its module, and without Python's ``<class '...'>``."""
    return kind.removeprefix("<class '").removesuffix("'>").rsplit(".", 1)[-1][:100]
