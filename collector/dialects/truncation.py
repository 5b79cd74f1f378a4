"""Whether an answer was cut off, by what, and what says so."""

from __future__ import annotations

import re
from typing import NamedTuple

from collector.dialects import finish
from collector.dialects.output_checks import Form, Look
from tidegauge.call import CONFIDENCE, Evidence

SURE = 0.8  # confidence from which on an answer is said to be cut

_PROSE = 120  # characters, from which on a text without an end was not meant to be a title
_LINE = 40  # characters of its last line: a name below a letter has no point
_ENDS = ".!?…。！？．؟۔।॥።։"  # noqa: RUF001 - of sentences, in any script
_GOES_ON = ",;，、،؛–—-"  # noqa: RUF001 - nobody ends with these
_NO_PROSE = ("-", "*", "•", "#", "|", ">", "`", "[", "(", "{", "<")  # how other lines begin
_MARKUP = ("`", "://", "{", "}", "<", "|", "=", "\t")
_JSON = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\"\[{\]])")
# The list of messages itself, that an exporter cut: its answer may have been whole.
_MESSAGES = re.compile(
    r"\s*(?:\[\s*)*\{\s*\"(?:role|parts|index|message|messages|id|choices|candidates"
    r"|generations|output|type|finish_reason|stop_reason)\""
)
# An SDK with OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT cuts every text here and says nothing of it.
_LIMITS = frozenset(
    [2**power for power in range(7, 21)]
    + [2**power - 1 for power in range(7, 21)]
    + [thousands * 1_000 for thousands in (1, 2, 3, 4, 5, 8, 10, 12, 15, 16, 20, 30, 32, 50, 64)]
    + [200, 250, 300, 400, 500, 100_000]
)


class Ending(NamedTuple):
    """How a call ended."""

    reasons: tuple[str, ...]
    limit: int | None = None  # output tokens allowed
    used: int | None = None
    choices: int = 1  # of several, the tokens come as one sum
    streaming: bool | None = None
    stopped: bool = False  # by an error, or by a client that went away
    whole: bool = True  # the content is here as it was sent: no limit dropped or cut any


def truncation(end: Ending, look: Look, *, asked_json: bool) -> tuple[bool | None, Evidence | None]:
    """Return whether an answer was cut, and what says so; the evidence has a confidence.

    True from a confidence of 0.8 on; a lesser hint leaves it open. A reason is believed, except for
    "stop" where all tokens were used and the text has no end.
    """
    said = finish.truncated(end.reasons)
    if said is None:
        return _without_reason(end, look, asked_json)
    if not said and "stop" in end.reasons and _limit_reached(end):
        hint = hint_of(end, look, asked_json=asked_json)
        if hint is not None:
            is_json = hint is Evidence.UNCLOSED_JSON
            return True, Evidence.UNCLOSED_JSON if is_json else Evidence.LIMIT_REACHED
    return said, Evidence.FINISH_REASON


def _without_reason(
    end: Ending, look: Look, asked_json: bool
) -> tuple[bool | None, Evidence | None]:
    if _limit_reached(end):
        return True, Evidence.LIMIT_REACHED
    if end.stopped:  # where an answer ends then says nothing of the model
        return None, None
    hint = hint_of(end, look, asked_json=asked_json)
    if hint is None and end.streaming and end.used is None:
        hint = Evidence.STREAM_WITHOUT_USAGE
    if hint is None:
        return None, None
    return (True if CONFIDENCE[hint] >= SURE else None), hint


def _limit_reached(end: Ending) -> bool:
    single = end.choices == 1 and len(end.reasons) < 2
    return single and end.limit is not None and end.used is not None and end.used >= end.limit


def hint_of(end: Ending, look: Look, *, asked_json: bool) -> Evidence | None:
    """Return what the text itself says, the surest first; None for an end, or no text."""
    if not look.texts or not end.whole or look.called:
        return None
    text = look.texts[-1]
    if len(text) in _LIMITS or _MESSAGES.match(text):
        return None
    if look.form is Form.UNCLOSED and (asked_json or _JSON.match(text)):
        return Evidence.UNCLOSED_JSON
    if look.form is not None and look.form is not Form.BROKEN:
        return None
    if has_open_fence(text):
        return Evidence.UNCLOSED_FENCE
    return Evidence.MID_SENTENCE if ends_mid_sentence(text) else None


def has_open_fence(text: str) -> bool:
    """Return whether a block of code is opened and not closed."""
    if "```" not in text:
        return False
    fences = sum(line.lstrip().startswith("```") for line in text.splitlines() if "```" in line)
    return fences % 2 == 1


def ends_mid_sentence(text: str) -> bool:
    """Return whether prose of some length ends within a sentence.

    Only where the text has ended a sentence before: some are written without any marks.
    """
    said = text.rstrip()
    if len(said) < _PROSE or not (said[-1].isalpha() or said[-1] in _GOES_ON):
        return False
    line = said[-2_000:].rpartition("\n")[2].strip()
    if len(line) < _LINE or line.startswith(_NO_PROSE) or line[0].isdigit():
        return False
    if any(mark in line for mark in _MARKUP):
        return False
    return any(mark in said for mark in _ENDS)
