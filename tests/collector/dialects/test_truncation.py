# ruff: noqa: RUF001 - letters of many scripts
from __future__ import annotations

import pytest

from collector.dialects.output_checks import Look, look_at
from collector.dialects.truncation import Ending, ends_mid_sentence, has_open_fence, truncation
from tidegauge.call import CONFIDENCE, Evidence

PROSE = (
    "The tide rises twice a day, pulled by the moon. A gauge on the quay writes its height every "
    "six minutes, so that the harbour master can"
)
JSON = '{"city": "Paris", "population": 21'


def look(text: str | None, *, asked_json: bool = False) -> Look:
    output = None if text is None else [{"role": "assistant", "content": text}]
    return look_at(output, asked_json=asked_json, choices=1)


def judged(end: Ending, text: str | None = None) -> tuple[bool | None, Evidence | None]:
    return truncation(end, look(text), asked_json=False)


@pytest.mark.parametrize(
    ("end", "text", "cut", "evidence"),
    [
        (Ending(("length",)), None, True, Evidence.FINISH_REASON),
        (Ending(("stop",)), None, False, Evidence.FINISH_REASON),
        (Ending(("tool_call",), 20, 20), JSON, False, Evidence.FINISH_REASON),
        (Ending((), 20, 20), None, True, Evidence.LIMIT_REACHED),
        (Ending(("unknown",), 20, 21), None, True, Evidence.LIMIT_REACHED),
        (Ending((), 20, 19), None, None, None),
        (Ending((), 20, 40, choices=2), None, None, None),
        (Ending(()), JSON, True, Evidence.UNCLOSED_JSON),
        (Ending(()), "Here it is:\n```python\nprint(", True, Evidence.UNCLOSED_FENCE),
        (Ending(()), PROSE, None, Evidence.MID_SENTENCE),
        (Ending((), streaming=True), PROSE, None, Evidence.MID_SENTENCE),
        (Ending((), streaming=True), None, None, Evidence.STREAM_WITHOUT_USAGE),
        (Ending((), streaming=True, used=7), None, None, None),
        (Ending(()), "All is said.", None, None),
    ],
)
def test_the_surest_evidence_decides(
    end: Ending, text: str | None, cut: bool | None, evidence: Evidence | None
) -> None:
    assert judged(end, text) == (cut, evidence)


def test_an_answer_is_said_to_be_cut_from_a_confidence_of_four_fifths_on() -> None:
    for evidence, text in [
        (Evidence.UNCLOSED_JSON, JSON),
        (Evidence.UNCLOSED_FENCE, "a\n```\nb"),
        (Evidence.MID_SENTENCE, PROSE),
    ]:
        cut, said = judged(Ending(()), text)

        assert said is evidence
        assert (cut is True) == (CONFIDENCE[evidence] >= 0.8)


def test_stop_is_believed_unless_all_tokens_were_used_and_the_text_has_no_end() -> None:
    assert judged(Ending(("stop",), 20, 19), JSON) == (False, Evidence.FINISH_REASON)
    assert judged(Ending(("stop",), 20, 20), JSON) == (True, Evidence.UNCLOSED_JSON)
    assert judged(Ending(("stop",), 20, 20), PROSE) == (True, Evidence.LIMIT_REACHED)
    assert judged(Ending(("stop",), 20, 20), "Done.") == (False, Evidence.FINISH_REASON)


def test_what_a_client_stopped_or_an_error_ended_was_not_cut_by_the_model() -> None:
    for text in (JSON, PROSE, None):
        assert judged(Ending(("error",), streaming=True, stopped=True), text) == (None, None)


def test_a_text_that_a_limit_cut_on_its_way_says_nothing() -> None:
    padded = '{"a": "' + "x" * (1_024 - 7)

    assert judged(Ending((), whole=False), JSON) == (None, None)
    assert judged(Ending(()), padded) == (None, None)
    assert judged(Ending(()), padded + "x")[1] is Evidence.UNCLOSED_JSON
    # The attribute with the messages itself was cut.
    assert judged(Ending(()), '[{"role": "assistant", "parts": [{"type": "te') == (None, None)


def test_text_that_only_begins_with_a_bracket_is_no_json() -> None:
    assert judged(Ending(()), "[Note] all is well") == (None, None)
    assert judged(Ending(()), "{name}, hello") == (None, None)
    assert judged(Ending(()), "[1, 2") == (None, None)
    asked = truncation(Ending(()), look("[1, 2", asked_json=True), asked_json=True)
    assert asked == (True, Evidence.UNCLOSED_JSON)


def test_a_fence_is_open_until_it_is_closed() -> None:
    assert has_open_fence("```json\n{}")
    assert not has_open_fence("```json\n{}\n```")
    assert not has_open_fence("write ``` to open a block")


@pytest.mark.parametrize(
    "ending",
    [
        "can read it.",
        'can read it."',
        "can read it (and so can you)",
        "can read it\n\nBest regards,\nJane",
        "can read it, see https://example.com/tides/of/the/harbour",
        "can:\n- read it\n- tell the pilots of the next high water",
        "can read it 😀",
        "can read it after 1953",
    ],
)
def test_ends_of_prose_are_known(ending: str) -> None:
    assert not ends_mid_sentence(PROSE.removesuffix("can") + ending)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE + " read it,",
        "潮は一日に二度満ちる。" * 12
        + "港の記録係は六分ごとに高さを書き留めるので、船長はそれを見て出港の時刻を決めることができ、また翌日の",
        "Прилив бывает дважды в день. " * 5 + "Смотритель порта записывает его высоту каждые шесть",
    ],
)
def test_prose_that_breaks_off_is_known_in_any_script(text: str) -> None:
    assert ends_mid_sentence(text)


def test_a_script_without_marks_is_not_judged() -> None:
    assert not ends_mid_sentence("น้ำขึ้นวันละสองครั้ง" * 20)
