"""Review: one item at a time, one key a verdict."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import Show
from tidegauge.store import reviews
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.reviews import Verdict
from tidegauge.store.schema import review_item, review_label


def held_by(store: Engine, who: str = "ana") -> str | None:
    with read(store) as db:
        mine = select(review_item.c.item_id).where(review_item.c.lease_by == who)
        return db.execute(mine).scalar_one_or_none()


def press(page: AppTest, key: str) -> AppTest:
    return page.button(key=key).click().run()


def test_the_item_is_shown_with_its_reason_evidence_and_text(show: Show) -> None:
    page = show("review")
    assert not page.exception
    assert page.subheader[0].value == "The answer was cut off"
    assert page.text[0].value.startswith("Cut off after ")
    output, given = page.code[0].value, page.code[1].value
    assert output.startswith("[assistant]\nOrder")
    assert given.startswith("[system]\nYou answer questions")


def test_a_verdict_is_kept_with_its_note_and_the_next_item_comes(show: Show, store: Engine) -> None:
    page = show("review")
    first = held_by(store)
    page.text_area(key="review_note").set_value(" cut mid-word ")
    press(page, "verdict-1")
    assert first is not None
    with read(store) as db:
        assert reviews.label_of(db, first, "ana") == (Verdict.REAL_PROBLEM, "cut mid-word")
    assert held_by(store) not in (None, first)
    assert page.text_area(key="review_note").value == ""
    assert "1 done today by you" in page.caption[0].value


def test_undo_brings_back_the_item_and_its_note(show: Show, store: Engine) -> None:
    page = show("review")
    first = held_by(store)
    page.text_area(key="review_note").set_value("not sure about this")
    press(page, "verdict-3")
    press(page, "undo")
    assert held_by(store) == first
    assert page.text_area(key="review_note").value == "not sure about this"


def test_undo_with_nothing_to_undo_says_so(show: Show) -> None:
    page = press(show("review"), "undo")
    assert page.info[0].value == "There is no verdict of yours to undo\\."


def test_skip_shows_another_item(show: Show, store: Engine) -> None:
    page = show("review")
    first = held_by(store)
    press(page, "skip")
    assert held_by(store) not in (None, first)


def test_a_verdict_on_an_item_that_went_to_another_is_a_second_opinion(
    show: Show, store: Engine, moment: datetime
) -> None:
    page = show("review")
    first = held_by(store)
    soon = int((moment + timedelta(seconds=200)).timestamp())
    with write(store) as db:
        theirs = update(review_item).where(review_item.c.item_id == first)
        db.execute(theirs.values(lease_by="ben", lease_until_s=soon))
    press(page, "verdict-2")
    assert "kept as a second opinion" in page.info[0].value
    with read(store) as db:
        assert db.execute(select(review_label.c.reviewer)).scalars().all() == ["ana"]


def test_when_all_is_done_the_page_says_what_was_done(
    show: Show, store: Engine, moment: datetime
) -> None:
    with write(store) as db:
        while (item := reviews.claim(db, "ana", moment)) is not None:
            reviews.submit(db, item.item_id, "ana", Verdict.REAL_PROBLEM, "", moment)
    page = show("review")
    assert "Nothing to review" in page.success[0].value
    assert "100\\.0 % were real problems" in page.success[0].value


def test_when_others_hold_all_that_is_left_the_page_says_so(
    show: Show, store: Engine, moment: datetime
) -> None:
    with write(store) as db:
        db.execute(
            update(review_item).values(lease_by="ben", lease_until_s=int(moment.timestamp()) + 250)
        )
    assert "with other reviewers" in show("review").info[0].value
