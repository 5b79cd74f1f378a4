"""The script that most letters of a text belong to, by Unicode's blocks."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

_SAMPLE, _LETTERS = 500, 50  # characters looked at, and letters counted of them
_RANGES = (
    (0x0000, "latin"),
    (0x0370, "greek"),
    (0x0400, "cyrillic"),
    (0x0530, "armenian"),
    (0x0590, "hebrew"),
    (0x0600, "arabic"),
    (0x0700, "other"),
    (0x0750, "arabic"),
    (0x0780, "other"),
    (0x08A0, "arabic"),
    (0x0900, "devanagari"),
    (0x0980, "bengali"),
    (0x0A00, "gurmukhi"),
    (0x0A80, "gujarati"),
    (0x0B00, "oriya"),
    (0x0B80, "tamil"),
    (0x0C00, "telugu"),
    (0x0C80, "kannada"),
    (0x0D00, "malayalam"),
    (0x0D80, "sinhala"),
    (0x0E00, "thai"),
    (0x0E80, "lao"),
    (0x0F00, "tibetan"),
    (0x1000, "myanmar"),
    (0x10A0, "georgian"),
    (0x1100, "hangul"),
    (0x1200, "ethiopic"),
    (0x13A0, "other"),
    (0x1780, "khmer"),
    (0x1800, "mongolian"),
    (0x18B0, "other"),
    (0x1C80, "cyrillic"),
    (0x1C90, "georgian"),
    (0x1CC0, "other"),
    (0x1D00, "latin"),
    (0x1F00, "greek"),
    (0x2000, "latin"),
    (0x2C80, "other"),
    (0x2DE0, "cyrillic"),
    (0x2E00, "other"),
    (0x2E80, "han"),
    (0x3040, "japanese"),
    (0x3100, "han"),
    (0x3130, "hangul"),
    (0x3190, "han"),
    (0x31F0, "japanese"),
    (0x3200, "han"),
    (0xA000, "other"),
    (0xA640, "cyrillic"),
    (0xA6A0, "other"),
    (0xA720, "latin"),
    (0xA800, "other"),
    (0xA960, "hangul"),
    (0xA980, "other"),
    (0xAC00, "hangul"),
    (0xD800, "other"),
    (0xF900, "han"),
    (0xFB00, "latin"),
    (0xFB13, "armenian"),
    (0xFB1D, "hebrew"),
    (0xFB50, "arabic"),
    (0xFE00, "other"),
    (0xFE70, "arabic"),
    (0xFF00, "latin"),
    (0xFF66, "japanese"),
    (0xFFA0, "hangul"),
    (0x10000, "other"),
    (0x20000, "han"),
    (0x323B0, "other"),
)
_STARTS = [start for start, _ in _RANGES]
#: Every script that an answer can be said to have.
SCRIPTS = frozenset(name for _, name in _RANGES)


def output_script(text: str) -> str | None:
    """Return the script of most letters at the beginning of a text; None without letters.

    Japanese is written in Han, too: a tenth of kana tells it.

    >>> output_script("Guten Tag"), output_script("Привет, API"), output_script("東京は晴れ")
    ('latin', 'cyrillic', 'japanese')
    """
    sample = text[:_SAMPLE]
    if sample.isascii():
        return "latin" if sample.lower() != sample.upper() else None
    letters = list(filter(str.isalpha, sample))
    step = max(len(letters) // _LETTERS, 1)
    counts = Counter(_script(letter) for letter in letters[::step])
    if not counts:
        return None
    if counts["japanese"] * 10 > counts["han"]:
        counts["japanese"] += counts.pop("han", 0)
    return counts.most_common(1)[0][0]


def _script(letter: str) -> str:
    return _RANGES[bisect_right(_STARTS, ord(letter)) - 1][1]
