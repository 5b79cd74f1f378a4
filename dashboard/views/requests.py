"""Calls and their traces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import connect, parts, words
from tidegauge import clock
from tidegauge.call import Call
from tidegauge.score import Score
from tidegauge.store import scores, spans
from tidegauge.store.engine import read
from tidegauge.store.spans import Filter

_PAGE = 50
_TABLE_PX = 530  # 14 rows: the chosen call shows without much scrolling
_ONLY = ("all", "cut off", "failed")
_DEEPEST = 12  # levels of a trace that are indented


def show() -> None:
    """Draw the page: the table, and below it the call that was chosen."""
    now = clock.now()
    st.title("Requests")
    if not parts.has_spans(now):
        parts.empty_state()
        return
    wanted = _wanted(now)
    with read(connect.engine()) as db:
        total = spans.count(db, parts.current_scope().project, wanted)
    pages = max(1, -(-total // _PAGE))
    page = st.pagination(pages, key="page") if pages > 1 else 1
    st.caption(f"{words.plural(total, 'call')}, newest first")
    with read(connect.engine()) as db:
        found = spans.calls(
            db,
            parts.current_scope().project,
            wanted,
            newest_first=True,
            limit=_PAGE,
            offset=(page - 1) * _PAGE,
        )
    if not found:
        st.info("No calls fit the filters in this window.")
        return
    chosen = _table(found)
    if chosen is not None:
        _detail(chosen)


def _wanted(now: datetime) -> Filter:
    chosen = parts.current_scope()
    during = parts.shown_span(now)
    only = st.segmented_control("Show", list(_ONLY), default="all", key="only", bind="query-params")
    return Filter(
        since=during.since,
        until=during.until,
        service=chosen.service,
        environment=chosen.environment,
        use_case=chosen.use_case,
        model=chosen.model,
        truncated=True if only == "cut off" else None,
        failed=True if only == "failed" else None,
    )


def _table(found: Sequence[Call]) -> Call | None:
    linked = st.query_params.get("span")
    rows = [i for i, call in enumerate(found) if call.span_id == linked]
    event = parts.table(
        [parts.call_row(call) for call in found],
        height=_TABLE_PX,
        key=f"requests-{found[0].span_id}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": rows}},
        alt="Calls, newest first",
    )
    picked: list[int] = event.selection.rows
    if not picked or picked[0] >= len(found):
        return None
    chosen: Call = found[picked[0]]
    st.query_params["span"] = chosen.span_id
    return chosen


def _detail(call: Call) -> None:
    with read(connect.engine()) as db:
        trace = spans.trace(db, call.project, call.trace_id)
        own = scores.of_calls(db, [call]).get(call.trace_id + call.span_id, [])
        around = scores.of_around(db, call)
    st.subheader("The call")
    left, right = st.columns([3, 2])
    with left:
        st.markdown("**Input**")
        parts.messages(call.input, folded_over=40)
        st.markdown("**Output**")
        parts.messages(call.output)
    with right:
        parts.table(parts.facts(call))
    if judged := [*own, *around]:
        st.subheader("How it was judged")
        parts.table([score_row(one) for one in judged])
    st.subheader("Its trace")
    parts.table([_trace_row(one, depth) for one, depth in tree(trace)])
    with st.expander("All other attributes"):
        st.json(dict(call.attributes), expanded=False)


def score_row(one: Score) -> dict[str, str]:
    """Return one judgement as a row of text: of what is not known, a table would show "None"."""
    of = "session" if one.session_id else "trace" if one.trace_id and not one.span_id else "call"
    said = (one.annotator or "", one.label or "", one.error_type or "")
    annotator, label, error = map(words.plain, said)
    return {
        "Judged": words.plain(one.name),
        "Value": "" if one.value is None else f"{one.value:g}",
        "Label": label,
        "Failed": error,
        "Of": of,
        "By": annotator,
        "Told by": one.source.value,
        "At": words.moment(one.at),
    }


def tree(trace: Sequence[Call]) -> list[tuple[Call, int]]:
    """Return the spans of a trace, each after its parent, with its depth.

    A span whose parent was not received stands at the top; a ring of parents is cut.
    """
    known = {one.span_id for one in trace}
    children: dict[str | None, list[Call]] = {}
    for one in trace:
        parent = one.parent_span_id if one.parent_span_id in known else None
        children.setdefault(parent, []).append(one)
    out: list[tuple[Call, int]] = []
    seen: set[str] = set()
    waiting = [(one, 0) for one in reversed(children.get(None, []))]
    while waiting:
        one, depth = waiting.pop()
        if one.span_id in seen:
            continue
        seen.add(one.span_id)
        out.append((one, depth))
        waiting += [(child, depth + 1) for child in reversed(children.get(one.span_id, []))]
    return out + [(one, 0) for one in trace if one.span_id not in seen]


def _trace_row(one: Call, depth: int) -> dict[str, Any]:
    return {
        "Span": "\u2003" * min(depth, _DEEPEST) + words.plain(one.name or one.span_id),
        "Kind": "call" if one.not_counted is None else str(one.not_counted),
        "Model": words.plain(one.model) if one.not_counted is None else "",
        "Took": words.number(one.duration_s, "s"),
        "Input": words.number(one.input_tokens, "tokens"),
        "Output": words.number(one.output_tokens, "tokens"),
        "Error": words.plain(one.error_type or ""),
    }
