"""What the instrumentations leave out or get wrong, as a part of the System page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import parts, words
from tidegauge.audit import Audited, Level, Remark, problems

_MOST = 200  # rows; `tidegauge audit` has all
_ROW_PX = 92  # four lines: a cell of the usual height would cut every sentence
_TALLEST_PX = 620
# Together as wide as a page: what is to be done must not stand out of sight.
_WIDTHS = {
    name: st.column_config.TextColumn(width=pixels)
    for name, pixels in {
        "": 80,
        "Where": 190,
        "Share": 90,
        "What": 240,
        "How to mend it in the app": 290,
    }.items()
}


def draw(found: Sequence[Audited], cut: bool = False) -> None:
    """Draw the audit of the last 24 hours."""
    st.subheader("What the instrumentations leave out, last 24 hours")
    if not found:
        st.text(
            "No call was received in the last 24 hours, so there is nothing to audit. Once calls "
            "come, this says what each library does not tell, and how to change that in the app."
        )
        return
    said = [(one, remark) for one in found for remark in one.remarks]
    groups = words.plural(len(found), "group")
    number = problems(found)
    if number:
        st.warning(
            f"{words.plural(number, 'problem')} in {words.plural(len(found), 'group')} of service, "
            "library and model: "
            "a number is wrong, doubtful or missing.",
            icon=":material/warning:",
        )
    else:
        st.text(f"No number is missing or doubtful in {groups} of service, library and model.")
    if cut:
        st.text("There are more groups: only those with the most calls are looked at.")
    if not said:
        return
    ordered = sorted(said, key=lambda pair: pair[1].level is not Level.PROBLEM)
    parts.table(
        [row(one, remark) for one, remark in ordered[:_MOST]],
        column_config=_WIDTHS,
        row_height=_ROW_PX,
        height=min(_TALLEST_PX, _ROW_PX * min(len(said), _MOST) + 40),
        alt="What the instrumentations leave out",
    )
    if len(said) > _MOST:
        st.caption(f"{words.short(len(said) - _MOST)} more are not shown.")
    st.caption(
        "`tidegauge audit` prints the same, also for one service or a longer time. "
        "A note is good to know: often the library cannot do better."
    )


def row(one: Audited, remark: Remark) -> dict[str, Any]:
    """Return one remark as a row of text."""
    group = one.group
    library = " ".join(filter(None, (group.library, group.library_version))) or group.dialect
    where = [words.plain(part) for part in (group.service, group.model, library) if part]
    return {
        "": "▲ problem" if remark.level is Level.PROBLEM else "note",
        "Where": " · ".join(where),
        "Share": f"all {remark.of:,}" if remark.calls == remark.of else _share(remark),
        "What": words.plain(remark.meaning, words.SENTENCE),
        "How to mend it in the app": words.plain(remark.fix, words.SENTENCE),
    }


def _share(remark: Remark) -> str:
    return f"{remark.share:.1%} of {remark.of:,}"
