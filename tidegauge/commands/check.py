"""``tidegauge check``: is everything well?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegauge.settings import Settings
from tidegauge.store import jobs, migrate, outbox, pages, rollups, sizes, spans, traces
from tidegauge.store.engine import Connection, StoreBusy, StoreUnusable, open_engine, read

_MANY_TRACES = 100_000  # marks; an analyst that runs settles some 10,000 a second
_MANY_STALE = 1000  # minutes; an analyst that runs is never this far behind for long
_MISSED_LOOKS = 10  # a job of every look that has not run for so many has stopped
_SLOW_LOOK = timedelta(minutes=1)  # a look may take this long, however often one is asked for
#: The jobs with a cadence of their own, and how long after their last run they count as stopped.
_STOPPED_AFTER = {
    "deliver": timedelta(minutes=5),
    "expire": timedelta(minutes=5),
    "tidy": timedelta(hours=3),
}


class Health(StrEnum):
    """Three answers: missing data passes no check."""

    WELL = "well"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one check says, and in which words."""

    name: str
    health: Health
    text: str


def check(settings: Settings, now: datetime, silent_after: timedelta) -> list[Answer]:
    """Return the answer of every check. A database that does not open ends the list."""
    try:
        migrate.upgrade(settings.database_url)
        engine = open_engine(settings.database_url, pool_size=1)
    except (StoreBusy, StoreUnusable) as error:
        return [Answer("database", Health.BAD, str(error))]
    try:
        schema = migrate.state(engine)
        with read(engine) as db:
            return [
                Answer("database", Health.WELL, f"answers, {size(pages.database_bytes(db))}"),
                *disk(sizes.disk_of(engine)),
                Answer("schema", Health.WELL if schema == "current" else Health.BAD, schema),
                last_span(db, settings.project, now, silent_after),
                *job_runs(db, now, timedelta(seconds=settings.analyse_every_s)),
                unsettled(db),
                stale(db),
                messages(db, now),
            ]
    except StoreBusy as error:
        return [Answer("database", Health.BAD, f"does not answer: {error}")]
    finally:
        engine.dispose()


def disk(seen: sizes.Disk | None) -> list[Answer]:
    """Say how full the disk of a SQLite file is; a database server sees to its own."""
    if seen is None:
        return []
    health = Health.BAD if seen.is_full else Health.WELL
    return [Answer("disk", health, f"{seen.used:.0%} used, {size(seen.free_bytes)} free")]


def last_span(db: Connection, project: str, now: datetime, silent_after: timedelta) -> Answer:
    """Say when the newest span came in."""
    at = spans.last_received(db, project)
    if at is None:
        return Answer("last span", Health.UNKNOWN, "none has come in yet; point an app here")
    health = Health.WELL if now - at <= silent_after else Health.BAD
    return Answer("last span", health, f"{_age(now - at)} ago")


def job_runs(db: Connection, now: datetime, every: timedelta) -> list[Answer]:
    """Say of each job how its newest run went and whether it still runs."""
    runs = jobs.last_runs(db, now)
    if not runs:
        return [Answer("jobs", Health.UNKNOWN, "none has run yet; start 'tidegauge analyse'")]
    return [_job(run, now, every) for run in runs]


def _job(run: jobs.Run, now: datetime, every: timedelta) -> Answer:
    name = f"job {run.job}"
    ago = f"{_age(now - run.started_at)} ago"
    if run.outcome == "failed":
        return Answer(name, Health.BAD, f"failed {ago}: {run.error or 'no reason was kept'}")
    if now - run.started_at > _STOPPED_AFTER.get(run.job, max(_MISSED_LOOKS * every, _SLOW_LOOK)):
        return Answer(name, Health.BAD, f"last ran {ago}; is 'tidegauge analyse' running?")
    return Answer(name, Health.WELL, f"{run.outcome or 'running'}, {ago}")


def unsettled(db: Connection) -> Answer:
    """Say how many traces wait to be put together; until then a call may be counted twice."""
    waiting = traces.count_unsettled(db)
    if waiting < _MANY_TRACES:
        return Answer("traces", Health.WELL, f"{waiting} wait to be put together")
    return Answer("traces", Health.BAD, f"{waiting} wait; the analyst is behind")


def stale(db: Connection) -> Answer:
    """Say how many minutes wait to be counted again."""
    waiting = rollups.count_stale(db)
    if waiting < _MANY_STALE:
        return Answer("stale minutes", Health.WELL, f"{waiting} wait to be counted")
    return Answer("stale minutes", Health.BAD, f"{waiting} wait; the analyst is behind")


def messages(db: Connection, now: datetime) -> Answer:
    """Say whether messages reach on-call."""
    places = outbox.endpoints(db)
    if not places:
        return Answer("messages", Health.WELL, "nobody is told: no webhook is set")
    dead, waiting = sum(one.dead for one in places), sum(one.waiting for one in places)
    trouble = [one.name for one in places if one.in_trouble(now)]
    text = f"{waiting} waiting, {dead} given up"
    if trouble:
        return Answer("messages", Health.BAD, f"{text}; not reached: {', '.join(trouble)}")
    return Answer("messages", Health.BAD if dead else Health.WELL, text)


def exit_code(answers: Sequence[Answer]) -> int:
    """Return 1 when something is bad, else 2 when something cannot be told, else 0."""
    seen = {answer.health for answer in answers}
    return 1 if Health.BAD in seen else 2 if Health.UNKNOWN in seen else 0


def show(answers: Sequence[Answer], console: Console) -> None:
    """Print the answers as a table."""
    colours = {Health.WELL: "green", Health.BAD: "bold red", Health.UNKNOWN: "yellow"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for answer in answers:
        colour = colours[answer.health]
        table.add_row(answer.name, Text(answer.health, style=colour), Text(answer.text))
    console.print(table)


def _age(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int) -> str:
    """Return bytes in MiB, in GiB where it is one or more.

    >>> size(12_400_000), size(73_414 * 2**20)
    ('11.8 MiB', '71.7 GiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
