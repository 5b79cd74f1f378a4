"""Numbers, times and names as text that is safe inside Markdown."""

from __future__ import annotations

import re
from datetime import UTC, datetime

UNKNOWN = "–"  # noqa: RUF001 (an en dash: not known, never 0)
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=&'\"@/])")
#: Control characters, and those that change the reading direction: a name could hide its end.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_LONGEST = 80  # characters of a name
SENTENCE = 300  # characters of a title or a sentence of ours that holds names


def md(name: object, longest: int = _LONGEST) -> str:
    r"""Return a name that a client chose as Markdown that shows it and does nothing else.

    >>> md("![x](http://evil/x.png)")
    '\\!\\[x\\]\\(http\\:\u200b\\/\\/evil\\/x\\.png\\)'
    """
    escaped = _MARKUP.sub(r"\\\1", plain(name, longest))
    # Markdown makes bare addresses into links even where every sign of them is escaped
    return escaped.replace(r"\:\/\/", "\\:\u200b\\/\\/").replace(r"www\.", "www\u200b\\.")


def plain(name: object, longest: int = _LONGEST) -> str:
    """Return a name on one line, without signs that cannot be seen, cut to ``longest`` characters.

    >>> plain("a\\nb")
    'a b'
    """
    text = _UNSEEN.sub(" ", str(name)).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def number(value: float | None, unit: str) -> str:
    """Return a number with its unit (s, share, tokens, usd, calls).

    >>> [number(*x) for x in ((8.13, "s"), (0.41, "s"), (0.0042, "share"), (1140, "tokens"))]
    ['8.1 s', '410 ms', '0.42 %', '1,140']
    >>> number(None, "s") == UNKNOWN
    True
    """
    if value is None:
        return UNKNOWN
    if unit == "s":
        return _seconds(value)
    if unit == "share":
        return _share(value)
    if unit == "usd":
        return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"
    return short(value)


def short(value: float) -> str:
    """Return a count with at most four digits.

    >>> [short(v) for v in (3, 12.3, 9999, 17_300, 412_000, 2_500_000)]
    ['3', '12', '9,999', '17.3k', '412k', '2.5M']
    """
    if value < 10 and value != int(value):
        return f"{value:.1f}"
    if value < 10_000:
        return f"{value:,.0f}"
    if value < 1_000_000:
        return f"{value / 1000:.3g}k"
    return f"{value / 1_000_000:.3g}M"


def size(count: float) -> str:
    """Return bytes in the largest fitting unit.

    >>> size(900), size(12_400_000)
    ('900 B', '11.8 MiB')
    """
    for unit, length in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} B"


def times(ratio: float | None) -> str:
    """Return a ratio in words.

    >>> times(2.71), times(0.5), times(14.2)
    ('2.7x', '0.5x', '14x')
    """
    return UNKNOWN if ratio is None else f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def against(now: float | None, usual: float | None) -> str | None:
    """Return by how much ``now`` differs, as "+3 %"; None where one of both is not known.

    >>> against(103, 100), against(1.0, None)
    ('+3 %', None)
    """
    if now is None or not usual:
        return None
    change = (now / usual - 1) * 100
    if abs(change) < 0.5:
        return "0 %"
    return f"{change:+.0f} %" if abs(change) < 1000 else f"{now / usual:.0f}x"


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long ago something was.

    >>> from datetime import timedelta
    >>> t = datetime(2026, 1, 5, tzinfo=UTC)
    >>> ago(t, t + timedelta(seconds=40)), ago(t, t + timedelta(hours=3)), ago(None, t)
    ('40 s ago', '3 h ago', 'never')
    """
    return "never" if at is None else f"{lasting((now - at).total_seconds())} ago"


def lasting(seconds: float) -> str:
    """Return a length of time in its largest fitting unit.

    >>> lasting(47 * 60), lasting(-3)
    ('47 min', '0 s')
    """
    seconds = max(seconds, 0)
    for unit, length in (("d", 86400 * 2), ("h", 7200), ("min", 120)):
        if seconds >= length:
            return f"{seconds // (86400 if unit == 'd' else length / 2):.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(at: datetime | None) -> str:
    """Return a time with its zone.

    >>> moment(datetime(2026, 1, 5, 4, 35, 10, tzinfo=UTC))
    '2026-01-05 04:35 UTC'
    """
    return UNKNOWN if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def hour(at: datetime) -> str:
    """Return the time of day with its zone.

    >>> hour(datetime(2026, 1, 5, 4, 35, tzinfo=UTC))
    '04:35 UTC'
    """
    return f"{at.astimezone(UTC):%H:%M} UTC"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "alert"), plural(22, "item")
    ('1 alert', '22 items')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _seconds(value: float) -> str:
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def _share(value: float) -> str:
    per_cent = value * 100
    if per_cent == 0:
        return "0 %"
    return f"{per_cent:.2f} %" if per_cent < 1 else f"{per_cent:.1f} %"
