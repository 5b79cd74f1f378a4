"""The demo from start to end: history, live traffic with three faults, and what on-call sees."""

from __future__ import annotations

import base64
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Empty
from threading import Event, Lock

from pydantic import SecretStr
from rich.console import Console

from tidegauge import clock
from tidegauge.demo import screen, senders
from tidegauge.demo.receiver import Receiver
from tidegauge.demo.senders import AppEnded, Sender
from tidegauge.demo.watch import Kept, Progressed, Watch
from tidegauge.policy import Policy
from tidegauge.settings import Settings
from tidegauge.store import migrate, normals, reviews, spans
from tidegauge.store.engine import StoreBusy, open_engine, read
from tidegauge.supervise import CannotStart, Supervisor, stop_on_signals
from tidegauge.up import environment, parts, with_ports

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended
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
_LOOK_EVERY_S = 0.5
_LAST_LINES = 5  # of the parts, shown where they do not come up


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line."""

    minutes: float  # of live traffic
    history: bool
    keep: bool  # the data, and run on until Ctrl-C
    seed: int


@dataclass(frozen=True, slots=True)
class _Stage:
    """What runs while the demo goes on."""

    console: Console
    settings: Settings
    wish: Wish
    receiver: Receiver
    supervisor: Supervisor

    @property
    def stopping(self) -> Event:
        """Return what Ctrl-C sets."""
        return self.supervisor.stopping


def run(chosen: Settings, wish: Wish) -> int:
    """Run the demo. Return 0 when every fault was noticed and explained, 130 after Ctrl-C, else 1.

    Without a history nothing can move: then 0 says that the calls were taken in.
    Raises CannotStart when Tidegauge does not come up.
    """
    stopping = Event()
    stop_on_signals(stopping)  # first: from here on Ctrl-C leaves nothing behind
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="tidegauge-demo-"))
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        with Receiver(secret, time.time) as receiver:
            settings = settings_of(chosen, folder, receiver.url, secret)
            screen.welcome(console, settings, wish.minutes, history=wish.history)
            if wish.history:
                screen.differences(console, DEMO_POLICY, ANALYSE_EVERY_S)
            else:
                screen.without_history(console)
            migrate.upgrade(settings.database_url)
            with _running(settings, folder / "demo.log", console, stopping) as supervisor:
                code = _show(_Stage(console, settings, wish, receiver, supervisor))
            if code == INTERRUPTED:
                console.print("Stopped before the end.")
            return code
    finally:
        if wish.keep:
            console.print(f"The data are kept in {folder}", soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def settings_of(chosen: Settings, folder: Path, webhook: str, secret: str) -> Settings:
    """Return the demo's settings: a database and a policy of its own, on free ports."""
    policy = folder / "tidegauge.toml"
    policy.write_text(DEMO_POLICY_TOML, encoding="utf-8")
    return with_ports(chosen, replace_taken=True).model_copy(
        update={
            "database_url": f"sqlite:///{folder / 'demo.db'}",
            "policy_file": policy,
            "analyse_every_s": ANALYSE_EVERY_S,
            "webhook_url": webhook,
            "webhook_secret": SecretStr(secret),
            "webhook_allow_networks": ("127.0.0.0/8",),
            "public_url": "",
        }
    )


@contextmanager
def _running(
    settings: Settings, log: Path, console: Console, stopping: Event
) -> Iterator[Supervisor]:
    """Run collector, analyst and dashboard; their lines go to ``log``."""
    lock = Lock()
    with log.open("a", encoding="utf-8") as file:

        def write(line: str) -> None:
            with lock:
                file.write(line + "\n")
                file.flush()

        def say(line: str) -> None:
            console.print(line, markup=False)

        supervisor = Supervisor(environment(settings), say, pass_on=write, stopping=stopping)
        try:
            for part in parts(settings):
                supervisor.start(part)
            supervisor.wait_ready()
            yield supervisor
        except CannotStart:
            for line in log.read_text(encoding="utf-8").splitlines()[-_LAST_LINES:]:
                say(line)
            raise
        finally:
            supervisor.stop()


def _show(stage: _Stage) -> int:
    """Play the demo on a stage that is set; return the exit code."""
    wish = stage.wish
    history, seed = wish.history, wish.seed
    with senders.running(stage.settings, clock.now(), history=history, seed=seed) as running:
        try:
            progress = _history(stage, running)
            if history:
                screen.history(stage.console, progress)
            else:
                deque(progress, maxlen=0)  # wait until the apps are there
            if stage.stopping.is_set():
                return INTERRUPTED
            started_at = clock.now()
            senders.go_live(running, started_at)
            screen.live(stage.console, started_at, faults=history)
            watch = Watch(started_at.timestamp())
            _watch(stage, running, watch, until_s=(started_at + _minutes(wish)).timestamp())
        except AppEnded as error:
            stage.console.print(f"The demo cannot go on: {error}.", style="red", markup=False)
            return 1
        if stage.stopping.is_set():
            return INTERRUPTED
        return _finish(stage, running, watch)


def _minutes(wish: Wish) -> timedelta:
    return timedelta(minutes=wish.minutes)


def _history(stage: _Stage, running: Sequence[Sender]) -> Iterator[Progressed]:
    """Yield how far each app's history is in, and look after the parts meanwhile."""
    sent = dict.fromkeys((sender.app.service for sender in running), 0)
    for report in senders.reports(running, stage.stopping):
        stage.supervisor.look()
        if report is not None:
            sent[report.service] += report.spans
            yield Progressed(report.service, sent[report.service], report.share)


def _watch(
    stage: _Stage, running: Sequence[Sender], watch: Watch, *, until_s: float | None
) -> None:
    """Print every message as it arrives, until the time is over or a stop was asked for.

    Raises AppEnded.
    """
    while not stage.stopping.is_set() and (until_s is None or clock.now().timestamp() < until_s):
        stage.supervisor.look()
        senders.check_alive(running)
        try:
            page = stage.receiver.pages.get(timeout=_LOOK_EVERY_S)
        except Empty:
            continue
        watch.take(page)
        screen.page(stage.console, page, watch.after_s(page))


def _finish(stage: _Stage, running: Sequence[Sender], watch: Watch) -> int:
    """Sum up, run on where that is wished, and return the exit code."""
    console, url = stage.console, stage.settings.dashboard_url
    holds = kept(stage.settings)
    refused = stage.receiver.refused.qsize()
    if stage.wish.history:
        screen.faults(console, watch)
    screen.summary(console, url, watch.messages, refused, holds)
    if stage.wish.keep or sys.stdin.isatty():
        console.print(f"\nStill running: {url}   Ctrl-C ends it.", soft_wrap=True)
        _watch(stage, running, watch, until_s=None)
    return exit_code(watch, history=stage.wish.history, refused=refused, holds=holds)


def exit_code(watch: Watch, *, history: bool, refused: int, holds: Kept | None) -> int:
    """Return 0 when the demo showed what it promised, else 1."""
    if refused or holds is None or not holds.calls:
        return 1
    # Without a history nothing is usual yet, so there is nothing that a fault could be told from.
    return 1 if history and watch.missed else 0


def kept(settings: Settings) -> Kept | None:
    """Return what the database holds. If it does not answer, return None."""
    engine = open_engine(settings.database_url, pool_size=1)
    try:
        with read(engine) as db:
            found = normals.read_findings(db, settings.project)
            return Kept(
                calls=spans.count(db, settings.project),
                to_review=reviews.progress(db, settings.reviewer, clock.now()).left,
                verdicts=Counter(one.verdict for one in found),
            )
    except StoreBusy:
        return None
    finally:
        engine.dispose()
