from __future__ import annotations

from collector.dialects.beside import BESIDE, attributes_of
from tests.collector.dialects.spans import a_raw_span, an_event


def test_attributes_whose_text_is_in_the_messages_are_not_kept_twice() -> None:
    raw = a_raw_span({"gen_ai.output.messages": "[]", "mine": 1})

    assert attributes_of(raw, frozenset({"gen_ai.output.messages"})).keys() == {"mine", BESIDE}
    assert "gen_ai.output.messages" in attributes_of(raw, frozenset())


def test_what_is_no_attribute_stands_under_one_name_of_ours() -> None:
    raw = a_raw_span({"kind": "mine"}, links=2, status=2, status_message="no", dropped_events=1)

    kept = attributes_of(raw, frozenset())

    assert kept["kind"] == "mine"
    assert kept[BESIDE] == {
        "resource": {},
        "scope": {"name": "", "version": ""},
        "kind": 3,
        "links": 2,
        "status": {"code": 2, "message": "no"},
        "dropped_events": 1,
    }


def test_events_that_only_tell_of_a_chunk_or_repeat_the_messages_are_left_out() -> None:
    events = (
        an_event("llm.content.completion.chunk"),
        an_event("gen_ai.choice", {"message": "hi"}),
        an_event("exception", {"exception.type": "x"}),
    )
    raw = a_raw_span(events=events)

    def kept(consumed: set[str]) -> list[str]:
        beside = attributes_of(raw, frozenset(consumed))[BESIDE]
        return [event["name"] for event in beside["events"]]

    assert kept({"gen_ai.input.messages"}) == ["exception"]
    assert kept(set()) == ["gen_ai.choice", "exception"]


def test_pieces_of_a_stream_whose_answer_is_gathered_are_left_out() -> None:
    events = (
        an_event("mlflow.chunk.item.0", {"mlflow.chunk.value": "{}"}),
        an_event("gen_ai.developer.message", {"content": "Be brief."}),
        an_event("mine", {"a": 1}),
    )
    raw = a_raw_span(events=events)

    kept = attributes_of(raw, frozenset({"gen_ai.input.messages"}))[BESIDE]

    assert [event["name"] for event in kept["events"]] == ["mine"]
