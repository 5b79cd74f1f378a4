"""Fillings of one template, told from changes and experiments, on texts."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from analysis.slots import SLOT, Template, Use, templates, tokens_of, values_of
from tests.world import hex_id

RULES = "Answer in one short paragraph. Never promise a refund. Say when you do not know."
OTHER_RULES = "Answer in one short paragraph. Never offer a discount. Say when you do not know."
DAY, HOUR = 86_400, 3_600


def greeting(name: str, firm: str = "Acme", rules: str = RULES) -> str:
    return f"You help {name} of {firm} with their orders. {rules} Sign as the team of {firm}."


def use(text: str, first_s: int = 0, last_s: int = HOUR, apart: bytes = b"") -> Use:
    return Use(hex_id((text, apart), 16), tokens_of(text, apart), first_s, last_s)


def members(found: Iterable[Template]) -> set[frozenset[Use]]:
    return {frozenset(one.members) for one in found}


NAMES = [greeting("Alice Smith"), greeting("Bob Jones", "Initech"), greeting("Li", "Blue Sky Ltd")]


def test_names_that_are_filled_in_make_one_template() -> None:
    uses = [use(text) for text in NAMES]

    [found] = templates(uses)

    assert set(found.members) == set(uses)
    assert found.tokens.count(SLOT) == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_order_does_not_matter(seed: int) -> None:
    uses = [use(greeting(n, f), at, at + HOUR) for at, (n, f) in enumerate(_people(12))]
    expected = templates(uses)

    random.Random(seed).shuffle(uses)

    assert len(expected) == 1
    assert templates(uses) == expected


def test_a_new_value_fits_into_the_slots_and_a_new_wording_does_not() -> None:
    [found] = templates([use(text) for text in NAMES])

    assert values_of(found.tokens, tokens_of(greeting("Jean-Luc van den Berg", "X"))) is not None
    assert values_of(found.tokens, tokens_of(greeting("Jean", "X", OTHER_RULES))) is None
    assert values_of(found.tokens, tokens_of(greeting("word " * 13, "X"))) is None
    assert values_of(found.tokens, tokens_of("You help")) is None
    assert values_of(found.tokens, tokens_of(greeting("Jean", "X"), b"a tool")) is None


def test_two_variants_are_an_experiment() -> None:
    assert templates([use(NAMES[0]), use(NAMES[1])]) == []


def test_versions_that_follow_each_other_are_changes() -> None:
    words = ("kindly", "briefly", "in French", "like a pirate")
    versions = [greeting("the customer", rules=f"{RULES} Speak {word}.") for word in words]

    one_after_the_other = [use(t, n * DAY, (n + 1) * DAY - 1) for n, t in enumerate(versions)]
    # Each roll-out takes ten minutes, in which the old and the new one answer by turns.
    rolled_out = [use(t, n * DAY, (n + 1) * DAY + 600) for n, t in enumerate(versions)]

    assert templates(one_after_the_other) == []
    assert templates(rolled_out) == []


@pytest.mark.parametrize("rolling_s", [-1, 600])
def test_a_change_of_a_prompt_with_names_keeps_both_wordings_apart(rolling_s: int) -> None:
    before = [use(greeting(n, f), 0, DAY + rolling_s) for n, f in _people(4)]
    after = [use(greeting(n, f, OTHER_RULES), DAY, 2 * DAY) for n, f in _people(6)]

    assert members(templates([*before, *after])) == {frozenset(before), frozenset(after)}


def test_an_experiment_on_a_prompt_with_names_keeps_both_arms_apart() -> None:
    arm_a = [use(greeting(n, f)) for n, f in _people(5)]
    arm_b = [use(greeting(n, f, OTHER_RULES)) for n, f in _people(5)]

    assert members(templates([*arm_a, *arm_b])) == {frozenset(arm_a), frozenset(arm_b)}


def test_names_that_come_once_each_are_told_by_their_number() -> None:
    once = [use(greeting(n, f), at * HOUR, at * HOUR) for at, (n, f) in enumerate(_people(8))]

    assert members(templates(once)) == {frozenset(once)}
    assert templates(once[:7]) == []


def test_prompts_that_have_little_in_common_stay_apart() -> None:
    short = ["You help Alice Smith", "You help Bob Jones", "You help Li Wei"]
    different = [f"{RULES} {' '.join([word] * 40)}" for word in ("red", "green", "blue")]

    assert templates(map(use, short)) == []
    assert templates(map(use, different)) == []


def test_tools_that_differ_keep_prompts_apart() -> None:
    with_tools = [use(text, apart=tools) for text in NAMES for tools in (b"a", b"b")]

    assert len(members(templates(with_tools))) == 2
    assert templates([use(NAMES[0], apart=bytes([n])) for n in range(5)]) == []


def test_a_paragraph_that_is_filled_in_is_no_slot() -> None:
    texts = [f"{RULES * 9} Context: {' '.join([word] * 20)}." for word in ("red", "green", "blue")]

    assert templates(map(use, texts)) == []


def test_anything_is_compared_within_its_bounds() -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("ab. #0\0é\ud800", k=400)) for _ in range(30)]
    huge = [("the " * 50_000) + name for name in ("a", "b", "c")]

    assert templates(map(use, ["", " ", *texts])) == []
    assert templates(map(use, huge)) == []


def _people(count: int) -> list[tuple[str, str]]:
    first = ("Alice", "Bob", "Carol", "Dan", "Eve", "Fay", "Gus", "Hal", "Ina", "Jon", "Kim", "Lou")
    firms = ("Acme", "Initech", "Blue Sky Ltd", "Hooli", "Umbrella Corp", "Stark & Sons")
    return [(first[n], firms[n % len(firms)]) for n in range(count)]
