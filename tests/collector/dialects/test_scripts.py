# ruff: noqa: RUF001 - letters of many scripts
from __future__ import annotations

import pytest

from collector.dialects.scripts import SCRIPTS, output_script


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Good morning", "latin"),
        ("Großartig, naïve “quotes”", "latin"),
        ("Tiếng Việt", "latin"),
        ("Доброе утро, OpenAI", "cyrillic"),
        ("Καλημέρα", "greek"),
        ("早上好，世界", "han"),
        ("おはようございます、世界", "japanese"),
        ("東京タワーの高さ", "japanese"),
        ("안녕하세요", "hangul"),
        ("صباح الخير", "arabic"),
        ("שלום", "hebrew"),
        ("सुप्रभात", "devanagari"),
        ("สวัสดี", "thai"),
        ("𝔊𝔬𝔱𝔥𝔦𝔠", "other"),
        ("123 + 4 = 127 ✓", None),
        ("12.5", None),
        ("", None),
    ],
)
def test_the_script_of_most_letters_is_named(text: str, script: str | None) -> None:
    assert output_script(text) == script


def test_every_character_has_a_script() -> None:
    found = {output_script(chr(code)) for code in range(0, 0x110000, 7)}

    assert found - {None} <= SCRIPTS


def test_the_beginning_decides() -> None:
    assert output_script("да " * 500 + "yes " * 5_000) == "cyrillic"
