"""The simulated apps as child processes: started, heard, ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Event

from tidegauge.demo import apps
from tidegauge.demo.apps import Sent
from tidegauge.demo.traffic import APPS, App
from tidegauge.settings import Settings
from tidegauge.up import reachable

HISTORY = timedelta(days=14)
CALLS_PER_S = 3.0  # of each app's live traffic
_LOOK_EVERY_S = 0.5


class AppEnded(RuntimeError):
    """An app's process has ended by itself; the message names it."""


@dataclass(frozen=True, slots=True)
class Sender:
    """One app's process, and the line to it."""

    app: App
    process: BaseProcess
    talk: Connection


@contextmanager
def running(
    settings: Settings, until: datetime, *, history: bool, seed: int
) -> Iterator[list[Sender]]:
    """Run the three apps, each in a process of its own, until the end of the block.

    With ``history`` they first send the two weeks before ``until``.
    """
    jobs = [_job(app, settings, until, 1.0 if history else 0.0, seed) for app in APPS]
    senders: list[Sender] = []
    try:
        senders.extend(_start(job) for job in jobs)
        yield senders
    finally:
        for sender in senders:
            sender.process.terminate()
        for sender in senders:
            sender.process.join()
            sender.talk.close()


def _job(app: App, settings: Settings, until: datetime, scale: float, seed: int) -> apps.Job:
    host = reachable(settings.host)
    return apps.Job(
        service=app.service,
        seed=seed,
        http=f"http://{host}:{settings.otlp_http_port}",
        grpc=f"http://{host}:{settings.otlp_grpc_port}",
        since=until - HISTORY,
        until=until,
        scale=scale,
        calls_per_s=CALLS_PER_S,
    )


def _start(job: apps.Job) -> Sender:
    # spawn: a forked child would share the gRPC threads and the signal handlers of this process
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=apps.run, args=(job, theirs), daemon=True)
    # Ctrl-C is for this process to answer. A child keeps the mask that it was started with, so it
    # cannot be interrupted while Python still starts. The tracker first: its start lifts the mask.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return Sender(apps.app_of(job.service), process, ours)


def reports(senders: Sequence[Sender], stopping: Event) -> Iterator[Sent | None]:
    """Yield what the apps report until each has sent its history or a stop is asked for.

    None: nothing for half a second. Raises AppEnded.
    """
    waiting = {sender.talk: sender for sender in senders}
    while waiting and not stopping.is_set():
        ready = wait(list(waiting), _LOOK_EVERY_S)
        heard = [talk for talk in waiting if talk in ready]
        if not heard:
            yield None
        for talk in heard:
            sent = _receive(waiting[talk])
            if sent.spans == 0:
                del waiting[talk]
            yield sent


def _receive(sender: Sender) -> Sent:
    try:
        sent: Sent = sender.talk.recv()
    except (EOFError, ConnectionResetError) as error:
        raise AppEnded(f"{sender.app.service} could not send its history") from error
    return sent


def go_live(senders: Sequence[Sender], start: datetime) -> None:
    """Let every app begin its live traffic at ``start``. Raises AppEnded."""
    for sender in senders:
        try:
            sender.talk.send(start)
        except BrokenPipeError as error:
            raise AppEnded(f"{sender.app.service} has ended") from error


def check_alive(senders: Sequence[Sender]) -> None:
    """Raise AppEnded when an app's process has ended."""
    for sender in senders:
        if not sender.process.is_alive():
            raise AppEnded(f"{sender.app.service} has ended")
