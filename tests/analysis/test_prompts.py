"""Fillings of one prompt under one checksum in the store, and real changes under their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from analysis import changes, prompts
from analysis.prompts import Renaming, find_slots, forget
from analysis.rollup import roll
from tests.world import a_call, hex_id
from tidegauge.call import Call, NotCounted
from tidegauge.policy import Policy, Project
from tidegauge.store import changes as found_changes
from tidegauge.store import rollups, spans
from tidegauge.store.engine import Connection, Engine, read, write
from tidegauge.store.schema import prompt_template, prompt_variant, span

MIN = timedelta(minutes=1)
RULES = "Answer in one short paragraph. Never promise a refund. Say when you do not know."
OTHER_RULES = "Answer in one short paragraph. Never offer a discount. Say when you do not know."
NAMES = ("Alice Smith", "Bob Jones", "Carol", "Dan van Dyk", "Eve Li", "Fay", "Gus Hall", "Ina")


def prompt(name: str, rules: str = RULES) -> str:
    return f"You help {name} of Acme with their orders. {rules}"


def asked(text: str, at: datetime, seed: object = 0, **fields: Any) -> Call:
    """Return a call with a system prompt, under the checksum that a collector gives it."""
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Where is it?"}]
    usual = {"input": messages, "prompt_checksum": hex_id(text, 16), "started_at": at}
    return a_call((text, at, seed), **(usual | fields))


def by_turns(texts: Sequence[str], since: datetime, count: int) -> list[Call]:
    """Return a call every ten seconds; who asks goes round."""
    ten = timedelta(seconds=10)
    return [asked(texts[n % len(texts)], since + n * ten) for n in range(count)]


def store(engine: Engine, calls: Sequence[Call], at: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, calls, received_at=at)


def look(engine: Engine, now: datetime) -> int:
    """Do what an analyst does: count, then compare."""
    roll(engine, now, max_series=100, limit=1440, watchers=[Renaming(changes.watch)])
    return find_slots(engine, now)


def settle(engine: Engine, now: datetime) -> None:
    """Look until nothing is left to do."""
    for _ in range(60):
        if not look(engine, now):
            with read(engine) as db:
                if rollups.count_stale(db) == 0:
                    return
    raise AssertionError("there is always something left to do")


def checksums(engine: Engine) -> dict[str, int]:
    with read(engine) as db:
        found: dict[str, int] = {}
        for name in db.execute(select(span.c.prompt_checksum)).scalars():
            found[name] = found.get(name, 0) + 1
    return found


def prompt_changes(engine: Engine, since: datetime) -> list[tuple[str | None, str]]:
    with read(engine) as db:
        found = found_changes.read_changes(db, "default", since)
    return [(one.before, one.after) for one in found if one.field == "prompt_checksum"]


def test_names_filled_in_are_one_prompt_also_in_calls_that_come_later(
    engine: Engine, now: datetime
) -> None:
    since = now - 60 * MIN
    store(engine, by_turns([prompt(name) for name in NAMES[:4]], since, 40), now)
    settle(engine, now)
    [(identity, count)] = checksums(engine).items()
    assert count == 40

    store(engine, by_turns([prompt(name) for name in NAMES], since + 10 * MIN, 40), now)
    settle(engine, now)

    assert checksums(engine) == {identity: 80}
    assert prompt_changes(engine, since) == []


def test_known_fillings_are_renamed_before_changes_are_looked_for(
    engine: Engine, now: datetime
) -> None:
    store(engine, by_turns([prompt(name) for name in NAMES[:4]], now - 60 * MIN, 40), now)
    settle(engine, now)
    [identity] = checksums(engine)
    shown: list[str] = []

    def then(db: Connection, project: str, calls: Any, now: datetime) -> None:
        shown.extend(row.prompt_checksum for rows in calls.values() for row in rows)

    store(engine, [asked(prompt(NAMES[1]), now, n) for n in range(5)], now)
    roll(engine, now + MIN, max_series=100, limit=9, watchers=[Renaming(then)])

    assert shown == [identity] * 5
    assert set(checksums(engine)) == {identity}


def test_a_changed_prompt_is_a_change_although_names_are_filled_in(
    engine: Engine, now: datetime
) -> None:
    since, switch = now - 120 * MIN, now - 60 * MIN
    store(engine, by_turns([prompt(name) for name in NAMES], since, 360), now)
    after = [prompt(name, OTHER_RULES) for name in NAMES]
    store(engine, by_turns(after, switch, 350), now)
    settle(engine, now)

    before_and_after = checksums(engine)
    assert sorted(before_and_after.values()) == [350, 360]
    [(before, now_used)] = prompt_changes(engine, since)
    assert {before, now_used} == set(before_and_after)


def test_a_prompt_replaced_by_another_keeps_both_checksums(engine: Engine, now: datetime) -> None:
    versions = [prompt("the customer", f"{RULES} Speak {word}.") for word in ("up", "low", "fast")]
    for n, text in enumerate(versions):
        store(engine, by_turns([text], now + (n * 60 - 180) * MIN, 100), now)
    settle(engine, now)

    assert set(checksums(engine)) == {hex_id(text, 16) for text in versions}
    assert len(prompt_changes(engine, now - 180 * MIN)) == 2


def test_an_experiment_of_two_keeps_both_checksums(engine: Engine, now: datetime) -> None:
    arms = [prompt("the customer"), prompt("the customer", OTHER_RULES)]
    store(engine, by_turns(arms, now - 60 * MIN, 100), now)
    settle(engine, now)

    assert set(checksums(engine)) == {hex_id(text, 16) for text in arms}


def test_use_cases_services_and_projects_are_apart(engine: Engine, now: datetime) -> None:
    texts = [prompt(name) for name in NAMES[:3]]
    homes = [{"use_case": "a"}, {"service": "b"}, {"project": "c"}]
    calls = [
        asked(text, now - (9 - n) * MIN, **home)
        for text, home in zip(texts, homes, strict=True)
        for n in range(3)
    ]
    store(engine, calls, now)
    settle(engine, now)

    assert set(checksums(engine)) == {hex_id(text, 16) for text in texts}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_and_the_batches_in_which_calls_come_do_not_matter(
    engine: Engine, now: datetime, seed: int
) -> None:
    since = now - 90 * MIN
    calls = by_turns([prompt(name) for name in NAMES], since, 80)
    calls += by_turns([prompt(name, OTHER_RULES) for name in NAMES], since + 30 * MIN, 80)
    random.Random(seed).shuffle(calls)
    for part in range(0, len(calls), 40):
        store(engine, calls[part : part + 40], now)
        look(engine, now)
    settle(engine, now)

    # The names that templates get may differ; what is one prompt and what is another may not.
    assert sorted(checksums(engine).values()) == [80, 80]


def test_a_template_that_grows_keeps_its_name(engine: Engine, now: datetime) -> None:
    smiths = [prompt(f"{name} Smith") for name in ("Alice", "Bob", "Carol")]
    store(engine, by_turns(smiths, now - 90 * MIN, 30), now)
    settle(engine, now)
    [identity] = checksums(engine)

    store(engine, by_turns([*smiths, prompt("Dan Jones")], now - 80 * MIN, 40), now)
    settle(engine, now)

    assert checksums(engine) == {identity: 70}


def test_a_checksum_written_again_is_renamed_again(engine: Engine, now: datetime) -> None:
    calls = by_turns([prompt(name) for name in NAMES[:4]], now - 60 * MIN, 40)
    store(engine, calls, now)
    settle(engine, now)
    [identity] = checksums(engine)

    with write(engine) as db:  # as whoever puts a trace together may do
        db.execute(span.update().values(prompt_checksum=calls[0].prompt_checksum))
        spans.mark_stale(db, [("default", spans.to_ns(one.started_at)) for one in calls])
    settle(engine, now)

    assert checksums(engine) == {identity: 40}


def test_spans_that_count_for_nothing_and_calls_without_a_prompt_stay(
    engine: Engine, now: datetime
) -> None:
    plain = [a_call(n, started_at=now - n * MIN) for n in range(3)]
    duplicate = asked(prompt("Zoe"), now - MIN, not_counted=NotCounted.DUPLICATE)
    store(engine, [*plain, duplicate], now)
    settle(engine, now)

    assert checksums(engine) == {None: 3, hex_id(prompt("Zoe"), 16): 1}


def test_without_content_nothing_can_be_compared(engine: Engine, now: datetime) -> None:
    calls = by_turns([prompt(name) for name in NAMES[:4]], now - 60 * MIN, 40)
    hidden = [a_call(n, started_at=one.started_at, prompt_checksum=one.prompt_checksum)
              for n, one in enumerate(calls)]  # fmt: skip
    store(engine, hidden, now)
    settle(engine, now)

    assert len(checksums(engine)) == 4


def test_one_run_does_a_bounded_piece_of_work_and_the_next_ones_the_rest(
    engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "READ", 3)
    monkeypatch.setattr(prompts, "RENAMED", 7)
    monkeypatch.setattr(prompts, "SLICE_S", 600)
    store(engine, by_turns([prompt(name) for name in NAMES], now - 60 * MIN, 80), now)

    assert look(engine, now) <= 3 + 7
    settle(engine, now)

    assert len(checksums(engine)) == 1


def test_only_hashes_are_kept_and_no_longer_than_the_content(engine: Engine, now: datetime) -> None:
    store(engine, by_turns([prompt(name) for name in NAMES[:4]], now - 60 * MIN, 40), now)
    settle(engine, now)
    policy = Policy(projects={"*": Project(content_days=2)})

    def rows() -> tuple[list[Any], list[Any]]:
        with read(engine) as db:
            variants = db.execute(select(prompt_variant)).all()
            return list(variants), list(db.execute(select(prompt_template)).all())

    variants, templates = rows()
    assert (len(variants), len(templates)) == (4, 1)
    assert not any("Alice" in repr(row) or b"Alice" in row.tokens for row in variants)
    assert forget(engine, policy, now + timedelta(days=1, hours=1)) == 4
    assert [len(some) for some in rows()] == [0, 1]
    assert forget(engine, policy, now + timedelta(days=3)) == 1
    assert [len(some) for some in rows()] == [0, 0]
