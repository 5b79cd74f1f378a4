"""The widgets that several views share: filters, badges, charts, empty states, the stale bar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
import streamlit as st

from dashboard import charts, connect, queries, scope, words
from dashboard.charts import Story
from dashboard.look import Theme, theme
from dashboard.reads import Health
from dashboard.scope import WINDOWS, Scope, Span
from tidegauge import clock
from tidegauge.call import Call, UseCaseFrom
from tidegauge.clock import MINUTE, floor
from tidegauge.finding import Series, Signal
from tidegauge.store import spans
from tidegauge.store.engine import read

Colour = Literal["red", "orange", "green", "blue", "gray"]

#: Icon, word and colour of every state: the colour is never the only sign.
STATES: dict[str, tuple[str, str, Colour]] = {
    "firing": ("▲", "firing", "red"),
    "acknowledged": ("◆", "acknowledged", "orange"),
    "resolved": ("✓", "resolved", "green"),
    "moved": ("△", "moved", "orange"),
    "usual": ("✓", "usual", "green"),
    "learning": ("…", "learning", "gray"),
}
_FILTERS = (
    ("service", "Service"),
    ("environment", "Environment"),
    ("use_case", "Use case"),
    ("model", "Model"),
)
SCOPE, PAGES = "_scope", "_pages"  # what frame.py leaves for the views, in st.session_state
_ALL = "all"
_LATE_LOOKS = 3  # missed turns of the detectors before the page says so
_SURE_H = 7 * 24  # hours of history below which the usual range is called an estimate
_QUIET_MIN = 10  # minutes without a span before the page says so
_LONGEST_RANGE = timedelta(days=60)  # 1,440 hours: as many points as a chart may have
_LONGEST_TEXT = 20_000  # characters of one message that are sent to the browser


def sidebar(now: datetime) -> Scope:
    """Draw the filters, bound to the URL, and return what they say."""
    project = connect.settings().project
    known = queries.series_by_traffic(connect.settings().database_url, project, _minute(now))
    chosen: dict[str, str | None] = {}
    with st.sidebar:
        for field, label in _FILTERS:
            options = sorted({getattr(one, field) for one in known})
            picked = st.selectbox(words.md(label), [_ALL, *options], key=field, bind="query-params")
            chosen[field] = None if picked in (_ALL, None) else picked
        window = st.segmented_control(
            "Window", list(WINDOWS), default="24h", key="window", bind="query-params"
        )
    return Scope(project=project, window=window or "24h", **chosen)


def current_scope() -> Scope:
    """Return what the sidebar said in this run."""
    found: Scope = st.session_state[SCOPE]
    return found


def shown_span(now: datetime) -> Span:
    """Return the time the page is about: the range in the address, else the sidebar's window.

    Links from alerts carry absolute ranges: they must show the same days later.
    """
    asked = named_range(st.query_params.get("from"), st.query_params.get("to"), now)
    if asked is None:
        return scope.span(current_scope().window, now)
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.caption(f"From {words.moment(asked.since)} to {words.moment(asked.until)}")
    right.button("Back to the window", on_click=_forget_range, width="stretch")
    return asked


def named_range(since: str | None, until: str | None, now: datetime) -> Span | None:
    """Return the range that an address names; None where it names none, or nonsense."""
    try:
        asked = [datetime.fromisoformat(text or "") for text in (since, until)]
        start, end = (at.astimezone(UTC) for at in asked)
    except (ValueError, OverflowError):  # no time, or one outside what a datetime holds
        return None
    end = min(end, now)
    if start >= end or any(at.tzinfo is None for at in asked):
        return None
    return scope.between(max(start, end - _LONGEST_RANGE), end)


def _forget_range() -> None:
    for name in ("from", "to"):
        st.query_params.pop(name, None)


def link(label: str, page: str, **query: str) -> None:
    """Draw a link to another page of ours, with its query."""
    st.page_link(st.session_state[PAGES][page], label=words.md(label), query_params=query)


def scoped_series(now: datetime) -> list[Series]:
    """Return the series that the filters leave, the busiest first."""
    chosen = current_scope()
    known = queries.series_by_traffic(connect.settings().database_url, chosen.project, _minute(now))
    return [one for one in known if chosen.holds(one)]


def has_spans(now: datetime) -> bool:
    """Return whether the project has ever sent a call."""
    project = connect.settings().project
    return bool(queries.series_by_traffic(connect.settings().database_url, project, _minute(now)))


def state_text(state: str) -> str:
    """Return the icon and word of a state.

    >>> state_text("firing")
    '▲ firing'
    """
    icon, word, _ = STATES[state]
    return f"{icon} {word}"


def state_badge(state: str) -> None:
    """Draw a state as icon, word and colour."""
    icon, word, colour = STATES[state]
    st.badge(f"{words.md(icon)} {words.md(word)}", color=colour)


def series_name(series: Series) -> str:
    """Return a series in words; plain text, to be escaped where Markdown is drawn.

    >>> series_name(Series("p", "bot", "default", "answer", "gpt-4o"))
    'bot · answer · gpt-4o'
    """
    parts = [series.service, series.use_case, series.model]
    if series.environment != "default":
        parts.insert(1, series.environment)
    return " · ".join(words.plain(part) for part in parts)


def chart(story: Story, key: str, height: int = 260) -> None:
    """Draw a chart with its takeaway as its accessible name."""
    st.plotly_chart(
        charts.figure(story, page_theme(), height),
        key=key,
        config=charts.CONFIG,
        alt=charts.takeaway(story),
    )


def page_theme() -> Theme:
    """Return the colours of the theme that the browser shows."""
    return theme(st.context.theme.type)


def chart_key(stories: Sequence[Story]) -> None:
    """Say in words what the marks on the charts above mean."""
    said = ["line: typical call, by step"]
    if any(story.normal for story in stories):
        said.append("shaded: usual range of this hour")
        if any(one.normal.signal is Signal.LATENCY for one in stories if one.normal):
            said.append("of latency: for answers of usual length")
    if any(story.alerts for story in stories):
        said.append("orange: alert")
    if any(story.week_ago for story in stories):
        said.append("dotted grey: a week earlier")
    if any(story.changes for story in stories):
        said.append("◆ deploy, ● prompt, ■ model, ▲ parameter")
    st.caption(words.md(" · ".join([*said, "times in UTC"]), words.SENTENCE))


def call_row(call: Call) -> dict[str, Any]:
    """Return one call as a row of a table, without content."""
    return {
        "Time (UTC)": f"{call.started_at:%m-%d %H:%M:%S}",
        "Service": words.plain(call.service),
        "Use case": words.plain(call.use_case),
        "Model": words.plain(call.model),
        "Latency": words.number(call.duration_s, "s"),
        "Input": words.number(call.input_tokens, "tokens"),
        "Output": words.number(call.output_tokens, "tokens"),
        "Finish": words.plain(", ".join(call.finish_reasons)),
        "Flags": ", ".join(_flags(call)),
    }


def facts(call: Call) -> list[dict[str, str]]:
    """Return what is known of one call, name by name; what is not known is left out."""
    known = {
        "Started": words.moment(call.started_at),
        "Took": words.number(call.duration_s, "s"),
        "Service": call.service,
        "Version": call.service_version,
        "Environment": call.environment,
        "Use case": call.use_case,
        "named by": call.use_case_from and _NAMED_BY[call.use_case_from],
        "Model": call.model,
        "Answered by": call.response_model,
        "Provider": call.provider,
        "Input tokens": call.input_tokens,
        "of them cached": call.cached_input_tokens,
        "Output tokens": call.output_tokens,
        "of them reasoning": call.reasoning_tokens,
        "Token audit": _audit(call),
        "Limit (max_tokens)": call.max_tokens,
        "Temperature": call.temperature,
        "Finish": ", ".join(call.finish_reasons) or None,
        "Cut off": _cut_off(call),
        "Output": call.output_kind,
        "Valid JSON": None if call.output_valid is None else "yes" if call.output_valid else "no",
        "Repetition": None if call.repetition is None else f"{call.repetition:.0%}",
        "Error": call.error_type,
        "Attempts": call.attempts,
        "Prompt": call.prompt_name,
        "Prompt version": call.prompt_version,
        "Prompt checksum": call.prompt_checksum,
        "Cost": None if call.cost_usd is None else words.number(float(call.cost_usd), "usd"),
        "by the application": (
            None if call.app_cost_usd is None else words.number(float(call.app_cost_usd), "usd")
        ),
        "Library": " ".join(filter(None, (call.library, call.library_version))) or None,
        "Dialect": call.dialect,
        "Trace": call.trace_id,
        "Span": call.span_id,
    }
    return [
        {"What": name, "Value": words.plain(value)}
        for name, value in known.items()
        if value is not None
    ]


_NAMED_BY = {
    UseCaseFrom.SAID: "tidegauge.use_case",
    UseCaseFrom.PROMPT: "the prompt",
    UseCaseFrom.AGENT: "its agent or workflow",
    UseCaseFrom.PARENT: "an agent or workflow above it",
    UseCaseFrom.ROOT: "the root span",
}


def _audit(call: Call) -> str | None:
    if call.tokens_audit is None:
        return None
    rule = call.tokens_audit_rule
    return f"{call.tokens_audit}: {rule.replace('_', ' ')}" if rule else str(call.tokens_audit)


def _cut_off(call: Call) -> str | None:
    """Return whether an answer was cut, and on what that rests; of a hint alone, how sure it is."""
    if call.truncation_evidence is None:
        return None if call.truncated is None else "yes" if call.truncated else "no"
    said = "perhaps" if call.truncated is None else "yes" if call.truncated else "no"
    evidence = str(call.truncation_evidence).replace("_", " ")
    return f"{said}: {evidence} ({call.truncation_confidence:.0%} sure)"


def learning_note(story: Story) -> None:
    """Say how much the usual range rests on, where it is young."""
    if story.normal is None:
        st.caption("No usual range yet: it appears once enough hours were seen.")
    elif story.normal.hours < _SURE_H:
        st.caption(
            f"The usual range is an estimate: learned from "
            f"{words.plural(story.normal.hours, 'hour')}, of at least {words.short(_SURE_H)}."
        )


def empty_state() -> None:
    """Say that nothing has come in, and what to paste so that it does."""
    settings = connect.settings()
    with read(connect.engine()) as db:
        last = spans.last_received(db, settings.project)
    if last is not None:
        st.subheader("No calls counted yet")
        ago = words.ago(last, clock.now())
        st.text(
            f"Last span received: {ago}. The analyst counts calls every few seconds: if this stays, "
            "look whether 'tidegauge analyse' (or 'tidegauge up') runs."
        )
        return
    host = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::") else settings.host  # noqa: S104
    st.subheader("No spans yet")
    st.text("Last span received: never. Point an app's OTLP exporter at this address:")
    st.code(
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={settings.otlp_scheme}://{host}:{settings.otlp_http_port}\n"
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        "export OTEL_SERVICE_NAME=my-app\n"
        f"# or over gRPC: {settings.otlp_scheme}://{host}:{settings.otlp_grpc_port} and PROTOCOL=grpc",
        language="bash",
    )
    st.text("Any OpenTelemetry instrumentation of LLM calls works; no library of ours is needed.")


def stale_reasons(health: Health, now: datetime, look_every_s: float) -> list[str]:
    """Return why the page may show less than is happening; empty: it is up to date."""
    reasons = []
    if health.last_span is None or now - health.last_span > _QUIET_MIN * MINUTE:
        reasons.append(f"the last span came {words.ago(health.last_span, now)}")
    late = look_every_s * _LATE_LOOKS + 60
    if health.last_look is None or (now - health.last_look).total_seconds() > late:
        reasons.append(f"the detectors last looked {words.ago(health.last_look, now)}")
    return reasons


def stale_bar(health: Health, now: datetime) -> None:
    """Draw an amber bar where the page is not up to date."""
    reasons = stale_reasons(health, now, connect.settings().analyse_every_s)
    if reasons:
        st.warning(
            f"This page may be out of date: {words.md(' and '.join(reasons), words.SENTENCE)}."
        )


def messages(content: Any, *, folded_over: int | None = None) -> None:
    """Draw prompts or outputs: as text only, so that nothing in them can load or run."""
    text = as_text(content)
    if folded_over is not None and text.count("\n") >= folded_over:
        with st.expander(f"Show all {words.plural(text.count(chr(10)) + 1, 'line')}"):
            _code(text)
        return
    _code(text)


def as_text(content: Any) -> str:
    """Return messages as readable text: role by role, else indented JSON.

    >>> as_text([{"role": "user", "content": "hello"}])
    '[user]\\nhello'
    """
    if content is None:
        return "(not sent)"
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content and all(_is_message(one) for one in content):
        return "\n\n".join(f"[{one.get('role', '?')}]\n{_body(one)}" for one in content)
    return orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str).decode()


def table(rows: Sequence[dict[str, Any]], **options: Any) -> Any:
    """Draw rows as a table of plain text: names in it cannot become links or images."""
    return st.dataframe(list(rows), hide_index=True, width="stretch", **options)


def _minute(now: datetime) -> datetime:
    return floor(now, MINUTE)


def _code(text: str) -> None:
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}\n[cut for display]"
    st.code(cut, language=None, wrap_lines=True)


def _flags(call: Call) -> list[str]:
    flags = []
    if call.truncated:
        flags.append("cut off")
    if call.error_type is not None:
        flags.append(f"error {words.plain(call.error_type)}")
    if call.clock_invalid:
        flags.append("clock")
    return flags


def _is_message(one: Any) -> bool:
    return isinstance(one, dict) and ("content" in one or "parts" in one)


def _body(message: dict[str, Any]) -> str:
    parts = message.get("parts", message.get("content"))
    if isinstance(parts, str):
        return parts
    if isinstance(parts, list):
        return "\n".join(_part(part) for part in parts)
    return as_text(parts)


def _part(part: Any) -> str:
    if isinstance(part, dict):
        for name in ("content", "text"):
            if isinstance(part.get(name), str):
                return str(part[name])
    return part if isinstance(part, str) else as_text(part)
