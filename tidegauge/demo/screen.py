"""What the demo prints: the start, each message as on-call sees it, and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidegauge.demo.receiver import Page
from tidegauge.demo.traffic import APPS
from tidegauge.policy import Policy
from tidegauge.settings import Settings

_COLOURS = {"critical": "red", "error": "red", "warning": "yellow", "info": "blue"}


def welcome(
    console: Console, settings: Settings, minutes: float, policy: Policy, every_s: float
) -> None:
    """Say what will happen, where to look, and what differs from real use."""
    usual = Policy()
    http = f"http://{settings.host}:{settings.otlp_http_port}"
    grpc = f"http://{settings.host}:{settings.otlp_grpc_port}"
    console.print("[bold]Tidegauge demo[/]: three simulated apps, real OpenTelemetry exporters.\n")
    console.print(f"  Dashboard   {settings.dashboard_url}")
    console.print(f"  OTLP        {http} (HTTP), {grpc} (gRPC)\n")
    console.print(
        "First two weeks of history at full speed (about 0.8 calls a minute and app), then"
        f" {minutes:g} minutes of live traffic (3 calls a second and app, so that nobody has to"
        " wait) with three faults:"
    )
    for app in APPS:
        console.print(f"  - [bold]{app.service}[/]: {app.fault}")
    console.print(
        f"\nThe demo looks every {every_s:g} s, at windows of"
        f" {' and '.join(map(str, policy.windows_min))} minutes, and needs {policy.min_calls}"
        f" calls and one window. Real use: every 60 s,"
        f" {', '.join(map(str, usual.windows_min))} minutes, {usual.min_calls} calls,"
        f" {usual.confirm_windows} windows in a row.\n",
        style="dim",
    )


def live(console: Console, started_at: datetime) -> None:
    """Say that the live traffic begins."""
    console.print(
        f"\n[bold]Live[/] since {started_at:%H:%M:%S} UTC, all three faults are in. Waiting for the"
        " first settled minute ...\n"
    )


def page(console: Console, one: Page, started_at: datetime) -> None:
    """Print one message as on-call sees it."""
    data = one.data
    after = one.at_s - started_at.timestamp()
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
    head = f"{one.kind} · {severity} · {after:.0f} s after the start · signature verified"
    console.print(
        Panel(
            Group(Text(str(data.get("title", "")), style="bold"), Text(""), table),
            title=head,
            title_align="left",
            border_style="green" if one.kind == "alert.resolved" else _COLOURS.get(severity, ""),
            box=box.ROUNDED,
        )
    )


def summary(
    console: Console,
    settings: Settings,
    told: Mapping[str, Page],
    started_at: datetime,
    flagged: int | None,
) -> None:
    """Print which faults were noticed, how late, and where to go on."""
    table = Table("fault", "on-call was told", "in these words", box=box.SIMPLE)
    for app in APPS:
        found = told.get(app.service)
        after = f"after {found.at_s - started_at.timestamp():.0f} s" if found else "NOT NOTICED"
        table.add_row(
            f"{app.service}: {app.fault}",
            Text(after, style="green" if found else "bold red"),
            Text(str(found.data.get("title", "")) if found else ""),
        )
    console.print(table)
    waiting = "unknown, the database did not answer" if flagged is None else f"{flagged} calls"
    console.print(f"Waiting for a reviewer: {waiting}   {settings.dashboard_url}/review")
