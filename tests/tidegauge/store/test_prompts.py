"""What is kept of prompts: when they were used, their templates, and calls to rename."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.world import NOON, a_call
from tidegauge.store import prompts, rollups, spans
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.prompts import Key, Seen
from tidegauge.store.times import to_s

GROUP = prompts.group_of("checkout-bot", "answer")
OTHER = prompts.group_of("checkout-bot", "plan")
AT = to_s(NOON)
CALL = (b"t" * 16, b"s" * 8)


def note(engine: Engine, first_s: int, last_s: int, *checksums: str) -> None:
    seen: dict[Key, Seen] = {(GROUP, one): Seen(first_s, last_s, *CALL) for one in checksums}
    with write(engine) as db:
        known = prompts.identities(db, "default", seen)
        prompts.note(db, "default", seen, known)


def join(engine: Engine, identity: str, *checksums: str) -> None:
    with write(engine) as db:
        found = prompts.variants(db, "default", GROUP, free=9, joined=9)
        members = [one for one in found if one.checksum in checksums]
        prompts.join(db, "default", GROUP, identity, (1, 0, 2**32 - 1), members, NOON)


def test_a_variant_spans_all_its_uses_in_whatever_order_they_are_noted(engine: Engine) -> None:
    for first, last in ((50, 60), (10, 20), (30, 40)):
        note(engine, first, last, "a")

    with read(engine) as db:
        [one] = prompts.variants(db, "default", GROUP, free=9, joined=9)
    assert (one.checksum, one.first_s, one.last_s) == ("a", 10, 60)
    assert (one.tokens, one.identity) == (None, None)


def test_a_group_is_fresh_until_it_is_looked_at_and_again_with_the_next_use(
    engine: Engine,
) -> None:
    note(engine, AT, AT, "a", "b")
    with write(engine) as db:
        prompts.keep_tokens(db, "default", GROUP, {"a": (1, 2), "b": ()})
        assert prompts.fresh_groups(db, 9) == [("default", GROUP)]
        prompts.looked_at(db, "default", GROUP)
        assert prompts.fresh_groups(db, 9) == []
    note(engine, AT, AT + 1, "a")
    with read(engine) as db:
        assert prompts.fresh_groups(db, 9) == [("default", GROUP)]
        found = prompts.variants(db, "default", GROUP, free=9, joined=9)
    assert {one.checksum: one.tokens for one in found} == {"a": (1, 2), "b": ()}


def test_a_template_names_its_members_and_makes_them_fresh_no_more(engine: Engine) -> None:
    note(engine, AT, AT, "a", "b")
    join(engine, "t", "a")
    note(engine, AT, AT + 1, "a")

    with read(engine) as db:
        keys = [(GROUP, "a"), (GROUP, "b"), (GROUP, "c"), (OTHER, "a")]
        assert prompts.identities(db, "default", keys) == {keys[0]: "t", keys[1]: None}
        assert prompts.own_names(db, "default", [(GROUP, "t"), (OTHER, "t")]) == {(GROUP, "t")}
        assert prompts.templates(db, "default", GROUP) == {"t": (1, 0, 2**32 - 1)}
        free = prompts.variants(db, "default", GROUP, free=9, joined=0)
        assert [one.checksum for one in free] == ["b"]


def test_no_more_prompts_wait_to_be_read_than_can_be(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "MOST_UNREAD", 2)
    note(engine, AT, AT, "a", "b", "c")
    note(engine, AT, AT + 5, "a", "d")

    with read(engine) as db:
        found = prompts.variants(db, "default", GROUP, free=9, joined=9)
    assert [(one.checksum, one.last_s) for one in found] == [("a", AT + 5), ("b", AT)]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_calls_are_renamed_slice_by_slice_and_their_minutes_counted_again(
    engine: Engine, limit: int
) -> None:
    calls = [
        a_call(n, prompt_checksum="a", started_at=NOON + n * timedelta(minutes=4)) for n in range(6)
    ]
    # Two in one second must not be parted by the limit.
    calls += [a_call("twin", prompt_checksum="a", started_at=calls[3].started_at)]
    calls += [a_call("b", prompt_checksum="b"), a_call("c", prompt_checksum="a", use_case="plan")]
    note(engine, AT, AT + 20 * 60, "a")
    with write(engine) as db:
        spans.insert(db, calls, received_at=NOON)
        rollups.clear_marks(db, rollups.stale_minutes(db, 99))
    join(engine, "t", "a")

    turns = 0
    with write(engine) as db:
        while prompts.projects_to_rename(db):
            prompts.rename_some(db, "default", slice_s=600, limit=limit)
            turns += 1
        renamed = spans.calls(db, "default")
        stale = rollups.stale_minutes(db, 99)

    names = {(one.use_case, one.prompt_checksum) for one in renamed}
    assert names == {("answer", "t"), ("answer", "b"), ("plan", "a")}
    assert [one.minute for one in stale] == [one.started_at for one in calls[:6]]
    assert turns >= 3


def test_what_is_not_used_is_forgotten(engine: Engine) -> None:
    note(engine, AT, AT, "old", "filling")
    note(engine, AT + 100, AT + 100, "new")
    join(engine, "t", "filling")
    with write(engine) as db:
        prompts.rename_some(db, "default", slice_s=600, limit=9)
        later = NOON + timedelta(seconds=50)
        assert prompts.forget(db, "default", NOON, later) == 1
        left = prompts.variants(db, "default", GROUP, free=9, joined=9)
        assert {one.checksum for one in left} == {"old", "new"}
        assert prompts.projects(db) == ["default"]
        assert prompts.forget(db, "default", later, later) == 2  # "old" and the template
        assert prompts.templates(db, "default", GROUP) == {}
