"""What the demo prints: the start, each message as on-call sees it, and the summary."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tidegauge.demo.receiver import Page
from tidegauge.demo.senders import CALLS_PER_S
from tidegauge.demo.traffic import APPS
from tidegauge.demo.watch import Kept, Progressed, Watch
from tidegauge.finding import Verdict
from tidegauge.policy import Policy
from tidegauge.settings import Settings

_COLOURS = {"critical": "red", "error": "red", "warning": "yellow", "info": "blue"}
_WIDEST = 100  # columns; longer lines of text are hard to read


def welcome(console: Console, settings: Settings, minutes: float, *, history: bool) -> None:
    """Say what will happen and where to look."""
    http = f"http://{settings.host}:{settings.otlp_http_port}"
    grpc = f"http://{settings.host}:{settings.otlp_grpc_port}"
    console.print("[bold]Tidegauge demo[/]: three simulated apps, real OpenTelemetry exporters.\n")
    console.print(f"  Dashboard   {settings.dashboard_url}", soft_wrap=True)
    console.print(f"  OTLP        {http} (HTTP), {grpc} (gRPC)\n", soft_wrap=True)
    per_minute = sum(app.calls_per_hour for app in APPS) / len(APPS) / 60
    past = (
        f"two weeks of history at full speed (about {per_minute:.1f} calls a minute and app), then "
    )
    _say(
        console,
        f"You will see {past if history else ''}{minutes:g} minutes of live traffic"
        f" ({CALLS_PER_S:g} calls a second and app, so that nobody has to wait) with three faults:\n",
    )
    table = Table.grid(padding=(0, 2))
    for app in APPS:
        table.add_row(Text(f"  {app.service}", style="bold"), Text(app.fault))
    _say(console, table)
    _say(console, "")


def differences(console: Console, policy: Policy, every_s: float) -> None:
    """Say what differs from real use."""
    usual = Policy()
    _say(
        console,
        f"The demo looks every {every_s:g} s, at windows of"
        f" {' and '.join(map(str, policy.windows_min))} minutes, and needs {policy.min_calls}"
        f" calls and one window. Real use: every 60 s,"
        f" {', '.join(map(str, usual.windows_min))} minutes, {usual.min_calls} calls,"
        f" {usual.confirm_windows} windows in a row.\n",
        style="dim",
    )


def without_history(console: Console) -> None:
    """Say what cannot happen when nothing was learned."""
    _say(
        console,
        "You asked for no history. Nothing is learned then, so nothing is usual and nothing can"
        " have moved: the detectors answer 'unknown', the first prompt ever seen is no change, and"
        " on-call is not told. What you can watch: calls, tokens and cost come in, and odd outputs"
        " wait for a reviewer.\n",
        style="yellow",
    )


def _say(console: Console, what: str | Table, style: str = "") -> None:
    console.print(what, style=style, width=min(console.width, _WIDEST))


def history(console: Console, progress: Iterable[Progressed]) -> None:
    """Show how the history comes in, one bar an app, until all of it is there."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("spans"), TimeElapsedColumn(), console=console) as bars:
        tasks = {
            app.service: bars.add_task(f"{app.service:<13} two weeks", total=None, visible=False)
            for app in APPS
        }
        for one in progress:
            total = max(one.spans, round(one.spans / one.share)) if one.share else None
            seen = one.spans > 0
            bars.update(tasks[one.service], completed=one.spans, total=total, visible=seen)


def live(console: Console, started_at: datetime, *, faults: bool) -> None:
    """Say that the live traffic begins."""
    waiting = " Waiting for the first settled minute ..." if faults else ""
    text = f"\nLive since {started_at:%H:%M:%S} UTC, all three faults are in.{waiting}\n"
    _say(console, text, style="bold")


def page(console: Console, one: Page, after_s: float) -> None:
    """Print one message as on-call sees it, ``after_s`` seconds after the live traffic began."""
    data = one.data
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("impact", Text(str(data.get("impact", ""))))
    for row in data.get("evidence", []):
        table.add_row(Text(str(row["name"])), Text(str(row["text"])))
    table.add_row("likely cause", Text(str(data.get("likely_cause", ""))))
    table.add_row("first action", Text(str(data.get("first_action", "")), style="bold"))
    table.add_row("open", Text(str(data.get("links", {}).get("alert", ""))))
    severity = str(data.get("severity", ""))
    head = f"{one.kind} · {severity} · {after_s:.0f} s after the start · signature verified"
    console.print(
        Panel(
            Group(Text(str(data.get("title", "")), style="bold"), Text(""), table),
            title=head,
            title_align="left",
            border_style="green" if one.kind == "alert.resolved" else _COLOURS.get(severity, ""),
            box=box.ROUNDED,
            width=min(console.width, _WIDEST),
        )
    )


def faults(console: Console, watch: Watch) -> None:
    """Print which faults were noticed, how late, and in which words."""
    table = Table("app", "fault", "told after", "in these words", box=box.SIMPLE, pad_edge=False)
    for column in table.columns[:3]:
        column.no_wrap = True
    for app in APPS:
        found = watch.told.get(app.service)
        after = f"{watch.after_s(found):.0f} s" if found else "NOT NOTICED"
        title = str(found.data.get("title", "")) if found else ""
        table.add_row(
            app.service,
            app.fault_in_short,
            Text(after, style="green" if found else "bold red"),
            Text(title.removeprefix(f"{app.service}: ")),
        )
    _say(console, table)


def summary(
    console: Console, dashboard_url: str, messages: int, refused: int, holds: Kept | None
) -> None:
    """Print what on-call got, what the detectors say now, and what waits for a reviewer."""
    table = Table.grid(padding=(0, 2))
    signatures = "every signature verified" if not refused else f"{refused} REFUSED: bad signature"
    table.add_row("Messages to on-call", f"{messages}, {signatures}" if messages else "none")
    if holds is None:
        table.add_row("Database", Text("did not answer", style="bold red"))
    else:
        answers = ", ".join(f"{holds.verdicts.get(one, 0)} {one.value}" for one in Verdict)
        table.add_row("Calls stored", f"{holds.calls:,}")
        table.add_row("The newest look", f"{answers} (signals)")
        waiting = Text(f"{holds.to_review} calls   {dashboard_url}/review", overflow="fold")
        table.add_row("Waiting for a reviewer", waiting)
    console.print(table)
