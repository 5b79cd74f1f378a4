"""The audit on the System page, and scores on the Requests page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dashboard.audit import row
from tests.dashboard.conftest import Show
from tests.world import a_call
from tidegauge.audit import Audited, Group, Level, Remark
from tidegauge.score import Score, ScoreSource
from tidegauge.store import scores, spans
from tidegauge.store.engine import Engine, write


def test_what_is_missing_is_a_table_with_remedies(
    show: Show, store: Engine, moment: datetime
) -> None:
    calls = [
        a_call(n, started_at=moment, service="silent", streaming=True, output_tokens=None)
        for n in range(3)
    ]
    with write(store) as db:
        spans.insert(db, calls, received_at=moment - timedelta(seconds=1))
    page = show("system")
    assert not page.exception
    (table,) = [one.value for one in page.dataframe if "How to mend it in the app" in one.value]
    first = table.iloc[0]
    assert first["Share"] == "all 3"
    assert first["Where"].startswith("silent · gpt-4o-mini")
    assert "include_usage" in first["How to mend it in the app"]
    assert any("problem" in one.value for one in page.warning)


def test_without_calls_it_says_what_will_stand_here(show: Show, empty: str) -> None:
    page = show("system", url=empty)
    assert any("nothing to audit" in one.value for one in page.text)


def test_a_row_holds_no_markup_of_a_sender() -> None:
    group = Group("a\u202eb", "genai", None, None, "m" * 999)
    one = Audited(group=group, calls=4, remarks=())
    remark = Remark(rule="r", level=Level.NOTE, calls=1, of=4, meaning="x", fix="y")
    made = row(one, remark)
    assert "\u202e" not in made["Where"]
    assert len(made["Where"]) < 250
    assert made["Share"] == "25.0% of 4"


def test_a_call_shows_how_it_was_judged(show: Show, store: Engine, moment: datetime) -> None:
    call = a_call("judged", started_at=moment, session_id="visit-7")
    of: dict[str, Any] = {"project": "default", "source": ScoreSource.EVENT, "at": moment}
    found = [
        Score(name="tone", trace_id=call.trace_id, span_id=call.span_id, value=0.5, **of),
        Score(name="csat", session_id="visit-7", label="good", **of),
    ]
    with write(store) as db:
        spans.insert(db, [call], received_at=moment)
        scores.insert(db, map(scores.values_of, found), received_at=moment)
    page = show("requests", span=call.span_id, window="1h")
    assert not page.exception
    (table,) = [one.value for one in page.dataframe if "Judged" in one.value]
    assert list(table["Judged"]) == ["tone", "csat"]
    assert list(table["Of"]) == ["call", "session"]
    assert list(table["Value"]) == ["0.5", ""]
