"""The options that several verbs share, and the settings they make."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from tidegauge.settings import load as settings

__all__ = [
    "AlertState",
    "DashboardPort",
    "DatabaseUrl",
    "EndWithStdin",
    "Format",
    "GrpcPort",
    "Host",
    "HttpPort",
    "Insecure",
    "duration",
    "moment",
    "settings",
]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="sqlite:///PATH or postgresql://...; an empty one is set up. "
        "Default: TIDEGAUGE_DATABASE_URL, else a file in the user's data folder.",
        show_default=False,
    ),
]
Host = Annotated[
    str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)
]
HttpPort = Annotated[
    int | None, typer.Option(help="Port of OTLP over HTTP (4318).", show_default=False)
]
GrpcPort = Annotated[
    int | None, typer.Option(help="Port of OTLP over gRPC (4317).", show_default=False)
]
DashboardPort = Annotated[
    int | None, typer.Option(help="Port of the dashboard (8501).", show_default=False)
]
Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Take spans without a key on any address, from anybody."),
]
#: A child ends with its supervisor, even when that one is killed: its standard input ends then.
EndWithStdin = Annotated[bool, typer.Option("--end-with-stdin", hidden=True)]

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_LONGEST = timedelta(days=3660)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSONL = "jsonl"


class AlertState(StrEnum):
    """The states an alert can be in; the words of tidegauge.alert.State."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


def duration(text: str) -> timedelta:
    """Return the length of time that ``text`` means, which may not be nothing.

    >>> duration("90d")
    datetime.timedelta(days=90)
    """
    found = _AGO.fullmatch(text.strip())
    try:
        length = timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else None
    except OverflowError:
        length = None
    if not length or length > _LONGEST:
        raise typer.BadParameter(
            f"'{text}' is no length of time; use 30m, 12h, 90d or 52w, at most ten years"
        )
    return length


def moment(text: str, now: datetime) -> datetime:
    """Return the time that ``text`` means: ISO 8601 (UTC unless it says), or so long before now.

    >>> moment("2h", datetime(2026, 1, 5, 10, tzinfo=UTC)).isoformat()
    '2026-01-05T08:00:00+00:00'
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"'{text}' is no time; use ISO 8601 (2026-11-23T05:00:00Z) or an age (30m, 2h, 7d)"
        ) from None
