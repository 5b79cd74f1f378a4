"""The demo from start to end: history, live traffic with three faults, and what on-call sees."""

from __future__ import annotations

import base64
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty
from threading import Lock

from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tidegauge import clock
from tidegauge.demo import apps, screen
from tidegauge.demo.receiver import Page, Receiver
from tidegauge.demo.traffic import APPS, App
from tidegauge.policy import Policy
from tidegauge.settings import Settings
from tidegauge.store import migrate, reviews
from tidegauge.store.engine import StoreBusy, open_engine, read
from tidegauge.supervise import CannotStart, Supervisor, stop_on_signals
from tidegauge.up import environment, free_port, parts

HISTORY = timedelta(days=14)
CALLS_PER_S = 3.0  # of each app's live traffic
_LOOK_EVERY_S = 0.5
#: A person does not want to wait an hour. Everything else is as in real use.
DEMO_POLICY = Policy(windows_min=(1, 5), settle_s=5, confirm_windows=1, calm_min=5, min_calls=40)
DEMO_POLICY_TOML = """\
[policy]
windows_min = [1, 5]
settle_s = 5
confirm_windows = 1
calm_min = 5
min_calls = 40
"""
ANALYSE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line."""

    minutes: float  # of live traffic
    history: bool
    keep: bool  # the data, and run on until Ctrl-C
    seed: int


@dataclass(slots=True)
class Watch:
    """What on-call has been told, and which faults that explains."""

    started_at: datetime
    told: dict[str, Page] = field(default_factory=dict)  # by the app's service

    def take(self, page: Page) -> None:
        """Note the first message that names an app's fault and its cause."""
        for app in APPS:
            if app.service not in self.told and explains(page, app):
                self.told[app.service] = page

    @property
    def missed(self) -> list[App]:
        """Return the apps whose fault nobody was told of."""
        return [app for app in APPS if app.service not in self.told]

    def after_s(self, app: App) -> float:
        """Return how long after the start of the live traffic on-call was told, seconds."""
        return self.told[app.service].at_s - self.started_at.timestamp()


def explains(page: Page, app: App) -> bool:
    """Return whether ``page`` is about the app's fault and names its cause."""
    data = page.data
    return (
        page.kind in ("alert.firing", "alert.updated")
        and data.get("service") == app.service
        and data.get("rule") in app.rules
        and app.cause in f"{data.get('title')} {data.get('likely_cause')}"
    )


def run(chosen: Settings, wish: Wish) -> int:
    """Run the demo. Return 0 when all three faults were noticed and explained, else 1.

    Raises CannotStart when Tidegauge does not come up.
    """
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="tidegauge-demo-"))
    try:
        with ExitStack() as stack:
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
            receiver = stack.enter_context(Receiver(secret, time.time))
            settings = settings_of(chosen, folder, receiver.url, secret)
            return _show(console, settings, wish, folder, receiver, stack)
    finally:
        if wish.keep:
            console.print(f"The data are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def settings_of(chosen: Settings, folder: Path, webhook: str, secret: str) -> Settings:
    """Return the demo's settings: a database and a policy of its own, on free ports."""
    policy = folder / "tidegauge.toml"
    policy.write_text(DEMO_POLICY_TOML, encoding="utf-8")
    names = ("otlp_http_port", "otlp_grpc_port", "dashboard_port")
    ports = {name: free_port(chosen.host, getattr(chosen, name)) for name in names}
    return chosen.model_copy(
        update={
            **ports,
            "database_url": f"sqlite:///{folder / 'demo.db'}",
            "policy_file": policy,
            "analyse_every_s": ANALYSE_EVERY_S,
            "webhook_url": webhook,
            "webhook_secret": SecretStr(secret),
            "webhook_allow_networks": ("127.0.0.0/8",),
            "public_url": "",
        }
    )


def _show(
    console: Console,
    settings: Settings,
    wish: Wish,
    folder: Path,
    receiver: Receiver,
    stack: ExitStack,
) -> int:
    screen.welcome(console, settings, wish.minutes, DEMO_POLICY, ANALYSE_EVERY_S)
    migrate.upgrade(settings.database_url)
    supervisor = stack.enter_context(_running(settings, folder / "demo.log", console))
    senders = stack.enter_context(_apps(settings, wish))
    if not _history(senders, console, supervisor):
        return 1
    started_at = clock.now()
    for sender in senders:
        sender.talk.send(started_at)
    screen.live(console, started_at)
    watch = Watch(started_at)
    end = started_at + timedelta(minutes=wish.minutes)
    _watch(watch, receiver, supervisor, console, until=end)
    screen.summary(console, settings, watch.told, started_at, flagged(settings, clock.now()))
    if wish.keep or (sys.stdin.isatty() and not supervisor.stopping.is_set()):
        console.print(f"\nStill running: {settings.dashboard_url}   Ctrl-C ends it.")
        _watch(watch, receiver, supervisor, console, until=None)
    return 1 if watch.missed else 0


@contextmanager
def _running(settings: Settings, log: Path, console: Console) -> Iterator[Supervisor]:
    """Run collector, analyst and dashboard; their lines go to ``log``."""
    lock = Lock()
    with log.open("a", encoding="utf-8") as file:

        def say(line: str) -> None:
            with lock:
                file.write(line + "\n")
                file.flush()
            if " | " not in line:  # the supervisor's own words: a part has died
                console.print(line, markup=False)

        supervisor = Supervisor(environment(settings), say)
        stop_on_signals(supervisor.stopping)
        try:
            for part in parts(settings):
                supervisor.start(part)
            try:
                supervisor.wait_ready()
            except CannotStart as error:
                lines = log.read_text(encoding="utf-8").splitlines()[-5:]
                raise CannotStart("\n".join([str(error), *lines])) from error
            yield supervisor
        finally:
            supervisor.stop()


@dataclass(frozen=True, slots=True)
class _Sender:
    """One app's process, and the line to it."""

    app: App
    process: BaseProcess
    talk: Connection


@contextmanager
def _apps(settings: Settings, wish: Wish) -> Iterator[list[_Sender]]:
    """Run the three apps, each in a process of its own, until the end of the block."""
    until = clock.now()
    senders = [_start(app, settings, wish, until) for app in APPS]
    try:
        yield senders
    finally:
        for sender in senders:
            sender.process.terminate()
            sender.process.join()
            sender.talk.close()


def _start(app: App, settings: Settings, wish: Wish, until: datetime) -> _Sender:
    # spawn: a forked child would share the gRPC threads and the signal handlers of this process
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    job = apps.Job(
        service=app.service,
        seed=wish.seed,
        http=f"http://{settings.host}:{settings.otlp_http_port}",
        grpc=f"http://{settings.host}:{settings.otlp_grpc_port}",
        since=until - HISTORY,
        until=until,
        scale=1.0 if wish.history else 0.0,
        calls_per_s=CALLS_PER_S,
    )
    process = context.Process(target=apps.run, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Sender(app, process, ours)


def _history(senders: Sequence[_Sender], console: Console, supervisor: Supervisor) -> bool:
    """Show how the history comes in; return whether all of it did."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("spans"), TimeElapsedColumn(), console=console) as bars:
        tasks = {
            sender.talk: bars.add_task(f"{sender.app.service:<13} two weeks", total=None)
            for sender in senders
        }
        open_lines = dict(tasks)
        while open_lines and not supervisor.stopping.is_set():
            supervisor.look()
            for line in wait(list(open_lines), timeout=_LOOK_EVERY_S):
                sent = _receive(line)
                if sent is None:
                    console.print("[red]An app could not send its history.[/] See above.")
                    return False
                done = bars.tasks[tasks[line]].completed + sent.spans  # type: ignore[index]
                total = max(done, round(done / sent.share)) if sent.share else None
                bars.update(tasks[line], completed=done, total=total)  # type: ignore[index]
                if sent.spans == 0:
                    del open_lines[line]  # type: ignore[arg-type]
    return not supervisor.stopping.is_set()


def _receive(line: object) -> apps.Sent | None:
    """Return an app's next report. If it has ended, return None."""
    try:
        sent: apps.Sent = line.recv()  # type: ignore[attr-defined]
    except (EOFError, ConnectionResetError):
        return None
    return sent


def _watch(
    watch: Watch,
    receiver: Receiver,
    supervisor: Supervisor,
    console: Console,
    *,
    until: datetime | None,
) -> None:
    """Print every message as it arrives, until the time is over or a stop was asked for."""
    while not supervisor.stopping.is_set() and (until is None or clock.now() < until):
        supervisor.look()
        try:
            page = receiver.pages.get(timeout=_LOOK_EVERY_S)
        except Empty:
            continue
        watch.take(page)
        screen.page(console, page, watch.started_at)


def flagged(settings: Settings, now: datetime) -> int | None:
    """Return how many calls wait for a reviewer. If the database does not answer, return None."""
    engine = open_engine(settings.database_url, pool_size=1)
    try:
        with read(engine) as db:
            return reviews.progress(db, settings.reviewer, now).left
    except StoreBusy:
        return None
    finally:
        engine.dispose()
