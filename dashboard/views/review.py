"""Is this output bad? The human-review queue."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard import connect, parts, words
from tidegauge import clock
from tidegauge.call import Call
from tidegauge.store import reviews, spans
from tidegauge.store.engine import read, write
from tidegauge.store.reviews import Progress, ReviewItem, Submitted, Verdict

_NOTE, _TOLD = "review_note", "_review_told"
_TRIES = 5  # on PostgreSQL a claim can miss items that others are claiming at this instant
_FOLDED_OVER = 20  # lines of a prompt
_REASONS = {
    "truncated": "The answer was cut off",
    "error": "The call failed",
    "extreme_length": "The answer is extremely long",
    "random": "Drawn at random, for comparison",
}
_VERDICTS = (
    ("1", "Real", Verdict.REAL_PROBLEM),
    ("2", "False alarm", Verdict.FALSE_ALARM),
    ("3", "Unsure", Verdict.UNSURE),
)


def show() -> None:
    """Draw the page: one item at a time."""
    now = clock.now()
    st.title("Review queue")
    reviewer = connect.settings().reviewer
    item, done = _next(reviewer, now)
    _head(done, item)
    _told()
    if item is None:
        _empty(done)
        return
    _keep_lease(item.item_id, reviewer)
    left, right = st.columns([3, 2])
    with left:
        _call(item)
    with right:
        _form(item)


def _next(reviewer: str, now: datetime) -> tuple[ReviewItem | None, Progress]:
    for _ in range(_TRIES):
        with write(connect.engine()) as db:
            item = reviews.claim(db, reviewer, now)
            done = reviews.progress(db, reviewer, now)
        if item is not None or not done.free:
            break
    return item, done


def _head(done: Progress, item: ReviewItem | None) -> None:
    text = f"{words.short(done.left)} left · {words.short(done.done_today)} done today by you"
    if item and item.lease_until:
        text += f" · this one is yours until {words.hour(item.lease_until)}"
    st.caption(words.md(text, words.SENTENCE))


def _told() -> None:
    told = st.session_state.pop(_TOLD, None)
    if told:
        st.info(words.md(told, words.SENTENCE))


def _empty(done: Progress) -> None:
    if done.left:
        st.info("All that is left is with other reviewers. What they skip comes back here.")
    else:
        share = words.number(done.real_week / done.done_week if done.done_week else None, "share")
        st.success(
            f"Nothing to review. {words.short(done.done_week)} done this week, "
            f"{words.md(share)} were real problems."
        )
    st.text(
        "New items come from cut answers, failed calls, extreme lengths and a small random sample."
    )
    if done.done_today:
        st.button("Undo the last verdict", key="undo_empty", shortcut="U", on_click=_undo)


def _call(item: ReviewItem) -> None:
    flagged = item.flagged
    st.subheader(words.md(_REASONS.get(flagged.reason, flagged.reason)))
    st.text(flagged.evidence)
    with read(connect.engine()) as db:
        trace = spans.trace(db, flagged.project, flagged.trace_id)
    call = next((one for one in trace if one.span_id == flagged.span_id), None)
    if call is None:
        st.info("The call itself is no longer stored; judge by the evidence, or skip.")
        return
    _about(call)
    st.markdown("**Output**")
    parts.messages(call.output)
    st.markdown("**Input**")
    parts.messages(call.input, folded_over=_FOLDED_OVER)
    with st.expander("About this call"):
        parts.table(parts.facts(call))


def _about(call: Call) -> None:
    st.caption(
        f"{words.md(call.service)} · {words.md(call.use_case)} · {words.md(call.model)} · "
        f"{words.moment(call.started_at)}"
    )


def _form(item: ReviewItem) -> None:
    st.subheader("Is this a real problem?")
    # a form: with plain buttons a note that is still being typed is lost when a key is pressed
    with st.form("verdict", border=False, enter_to_submit=False):
        for column, (key, label, verdict) in zip(st.columns(3), _VERDICTS, strict=True):
            column.form_submit_button(
                words.md(label),
                key=f"verdict-{key}",
                shortcut=key,
                on_click=_submit,
                args=(item.item_id, verdict),
                width="stretch",
            )
        st.text_area("Note (optional)", key=_NOTE, height=110)
        skip, undo = st.columns(2)
        skip.form_submit_button(
            "Skip", key="skip", shortcut="S", on_click=_skip, args=(item.item_id,), width="stretch"
        )
        undo.form_submit_button("Undo", key="undo", shortcut="U", on_click=_undo, width="stretch")
    st.caption("Keys work while the note is not being typed in; Tab leaves the note.")


def _submit(item_id: str, verdict: Verdict) -> None:
    note = st.session_state.get(_NOTE, "")
    with write(connect.engine()) as db:
        kept = reviews.submit(
            db, item_id, connect.settings().reviewer, verdict, note.strip(), clock.now()
        )
    st.session_state[_NOTE] = ""
    if kept is Submitted.SECOND_OPINION:
        st.session_state[_TOLD] = (
            "This item went to someone else; your answer was kept as a second opinion."
        )


def _skip(item_id: str) -> None:
    with write(connect.engine()) as db:
        reviews.skip(db, item_id, connect.settings().reviewer, clock.now())
    st.session_state[_NOTE] = ""


def _undo() -> None:
    reviewer = connect.settings().reviewer
    with write(connect.engine()) as db:
        item = reviews.undo(db, reviewer, clock.now())
        last = reviews.label_of(db, item.item_id, reviewer) if item else None
    if item is None:
        st.session_state[_TOLD] = "There is no verdict of yours to undo."
        return
    st.session_state[_NOTE] = last[1] if last else ""
    st.session_state[_TOLD] = "The last verdict was taken back; the item is yours again."


@st.fragment(run_every="60s")
def _keep_lease(item_id: str, reviewer: str) -> None:
    """Keep the item while the page is open, so that a long read loses nothing."""
    with write(connect.engine()) as db:
        kept = reviews.renew(db, item_id, reviewer, clock.now())
    if not kept:
        st.warning("This item went to someone else; your answer is kept as a second opinion.")
