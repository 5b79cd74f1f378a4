"""Numbers as people read them: each with its unit, its normal value beside it, times in UTC."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from tidegauge.finding import UNITS, Finding, Signal

#: What a signal is called in a sentence.
NAMES = {
    Signal.LATENCY: "latency",
    Signal.TRUNCATION: "answers cut off",
    Signal.INPUT_TOKENS: "input length",
    Signal.OUTPUT_TOKENS: "output length",
    Signal.ERRORS: "failed calls",
}


def clean(name: str, limit: int = 60) -> str:
    """Return a name that a client chose, on one line, without control characters, not too long.

    >>> clean("check\\nout\\x1b[31m-bot\\u202e")
    'check out[31m-bot'
    """
    spaced = " ".join(name.split())
    visible = "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))
    return visible if len(visible) <= limit else f"{visible[: limit - 1]}…"


def cut(sentences: str, limit: int) -> str:
    """Return as many whole sentences as fit; of a first one that is too long, its beginning.

    >>> cut("One is here. Two is here.", 15)
    'One is here.'
    """
    if len(sentences) <= limit:
        return sentences
    end = sentences.rfind(". ", 0, limit)
    return sentences[: end + 1] if end > 0 else f"{sentences[: limit - 1]}…"


def seconds(value: float) -> str:
    """Return a duration.

    >>> seconds(0.0071), seconds(0.42), seconds(8.13), seconds(125.2)
    ('7.1 ms', '420 ms', '8.1 s', '125 s')
    """
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def tokens(value: float) -> str:
    """Return a length.

    >>> tokens(1139.7), tokens(1)
    ('1,140 tokens', '1 token')
    """
    whole = round(value)
    return f"{whole:,} token{'' if whole == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share.

    >>> percent(0.18), percent(0.0061), percent(0.0), percent(0.0004)
    ('18.0%', '0.6%', '0%', '0.04%')
    """
    if share == 0:
        return "0%"
    return f"{share:.2%}" if share < 0.001 else f"{share:.1%}"


def calls(count: int) -> str:
    """Return a number of calls.

    >>> calls(9840), calls(1)
    ('9,840 calls', '1 call')
    """
    return f"{count:,} call{'' if count == 1 else 's'}"


def value(signal: Signal, number: float) -> str:
    """Return a signal's number in its unit.

    >>> value(Signal.ERRORS, 0.5), value(Signal.LATENCY, 2.0)
    ('50.0%', '2.0 s')
    """
    return {"s": seconds, "tokens": tokens, "share": percent}[UNITS[signal]](number)


def ratio(now: float, normal: float) -> str:
    """Return how far ``now`` is from ``normal``.

    >>> ratio(8.1, 3.0), ratio(214, 311), ratio(118, 100), ratio(5, 0)
    ('2.7x normal', '31% below normal', '18% above normal', 'normal 0')
    """
    if not normal:
        return "normal 0"
    if now >= 1.5 * normal:
        return f"{now / normal:.1f}x normal"
    change = now / normal - 1
    return f"{abs(change):.0%} {'above' if change >= 0 else 'below'} normal"


def versus(finding: Finding) -> str:
    """Return a finding as "now (normal ...)"; a rate with its 95 % interval."""
    if finding.now is None:
        return f"not known ({calls(finding.calls)}; normal not known)"
    normal = "not known" if finding.usual is None else value(finding.signal, finding.usual)
    text = f"{value(finding.signal, finding.now)} (normal {normal}"
    if UNITS[finding.signal] == "share":
        if finding.now_low is not None and finding.now_high is not None:
            text += f", 95% interval {percent(finding.now_low)} to {percent(finding.now_high)}"
    elif finding.usual_low is not None and finding.usual_high is not None:
        low, high = (value(finding.signal, x) for x in (finding.usual_low, finding.usual_high))
        text += f", same-hour band {low.removesuffix(' tokens')} to {high}"
    return f"{text})"


def at(when: datetime) -> str:
    """Return a time of day.

    >>> at(datetime.fromisoformat("2026-01-15T04:18:59+00:00"))
    '04:18 UTC'
    """
    return f"{when:%H:%M} UTC"


def span(since: datetime, until: datetime) -> str:
    """Return a window, with its day.

    >>> span(*(datetime.fromisoformat(f"2026-01-15T{t}:00+00:00") for t in ("04:35", "05:05")))
    '2026-01-15 04:35 to 05:05 UTC'
    """
    end = f"{until:%H:%M}" if since.date() == until.date() else f"{until:%Y-%m-%d %H:%M}"
    return f"{since:%Y-%m-%d %H:%M} to {end} UTC"


def lasted(since: datetime, until: datetime) -> str:
    """Return how long something took.

    >>> start = datetime(2026, 1, 15)
    >>> lasted(start, datetime(2026, 1, 15, 0, 47)), lasted(start, datetime(2026, 1, 15, 3, 5))
    ('47 min', '3 h 5 min')
    """
    minutes = max(round((until - since).total_seconds() / 60), 0)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
