"""The three processes on one machine: start, wait, restart what dies, stop all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from types import FrameType

CANNOT_START = 2  # the exit code of a process that refuses to start: restarting cannot help
_LONGEST_PAUSE_S = 30.0
_WELL_AFTER_S = 60.0  # a process that ran this long starts its pauses anew
_STOP_WITHIN_S = 8.0
_LOOK_EVERY_S = 0.2

Say = Callable[[str], None]


class CannotStart(RuntimeError):
    """Tidegauge cannot come up; the message says what is in the way and what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process: its name, its command, and how to see that it is ready."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]


@dataclass(slots=True)
class _Child:
    part: Part
    process: subprocess.Popen[str] | None = None
    reader: Thread | None = None
    started: float = 0.0  # monotonic, s
    due: float = 0.0  # monotonic, s: not started again before
    failures: int = 0
    was_ready: bool = False


@dataclass(slots=True)
class Supervisor:
    """Keep ``parts`` running. One thread owns it, apart from ``stopping``, which any may set."""

    environment: Mapping[str, str]
    say: Say  # our own words: a part has died, it is started again
    pass_on: Say  # what the parts print, each line with its part's name
    stopping: Event = field(default_factory=Event)
    _children: list[_Child] = field(default_factory=list)

    def start(self, part: Part) -> None:
        """Start ``part`` and watch it from now on."""
        child = _Child(part)
        self._children.append(child)
        self._spawn(child)

    def wait_ready(self, within_s: float = 60.0) -> None:
        """Wait until every part is ready or a stop was asked for.

        Raises CannotStart when one refuses to start or takes longer than ``within_s``.
        """
        end = time.monotonic() + within_s
        while not self.stopping.is_set() and not self._all_ready():
            if time.monotonic() > end:
                late = ", ".join(c.part.name for c in self._children if not c.was_ready)
                raise CannotStart(f"not ready after {within_s:.0f} s: {late}; see its lines above")
            self.look()
            self.stopping.wait(_LOOK_EVERY_S)

    def watch(self) -> None:
        """Restart what dies until ``stopping`` is set."""
        while not self.stopping.wait(_LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Look at every part once: note deaths, start again what is due."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._died(child, child.process.returncode)
            elif child.process is None and time.monotonic() >= child.due:
                self._spawn(child)

    def pids(self) -> dict[str, int]:
        """Return the process id of every part that runs."""
        return {c.part.name: c.process.pid for c in self._children if c.process is not None}

    def stop(self) -> None:
        """End every part: SIGTERM to all, SIGKILL after 8 s to those that stay."""
        self.stopping.set()
        running = [c.process for c in self._children if c.process is not None]
        for process in running:
            process.terminate()
        end = time.monotonic() + _STOP_WITHIN_S
        for process in running:
            try:
                process.wait(max(end - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self._children:
            _let_go(child)

    def _all_ready(self) -> bool:
        for child in self._children:
            if not child.was_ready and child.process is not None:
                child.was_ready = child.part.ready()
        return all(child.was_ready for child in self._children)

    def _spawn(self, child: _Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(  # noqa: S603  our own commands
            child.part.command,
            env=dict(self.environment),
            # Never written to: its end tells the child that this process is gone, even by kill -9.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C reaches this process only, which then stops the parts in good order.
            start_new_session=True,
        )
        child.reader = Thread(target=self._read, args=(child.part.name, child.process))
        child.reader.daemon = True
        child.reader.start()

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            # Read on when nobody takes the lines: a part with a full pipe would stand still.
            with suppress(OSError):
                self.pass_on(f"{name:<9} | {line.rstrip()}")

    def _died(self, child: _Child, code: int) -> None:
        if code == CANNOT_START and not child.was_ready:
            _let_go(child)  # its last line says why, and is printed before ours
            raise CannotStart(f"{child.part.name} refused to start; its line above says why")
        lived_s = time.monotonic() - child.started
        child.failures = 1 if lived_s > _WELL_AFTER_S else child.failures + 1
        pause = pause_s(child.failures)
        _let_go(child)
        child.process = None
        child.due = time.monotonic() + pause
        self.say(f"{child.part.name} ended ({_how(code)}); it is started again in {pause:.0f} s")


def _let_go(child: _Child) -> None:
    if child.process is None:
        return
    if child.reader is not None:
        child.reader.join(1.0)
    for pipe in (child.process.stdin, child.process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def pause_s(failures: int) -> float:
    """Return how long to wait before the next start, seconds.

    >>> [pause_s(n) for n in (1, 2, 3, 4, 5, 6, 60)]
    [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    """
    return min(2.0 ** min(failures - 1, 10), _LONGEST_PAUSE_S)


def stop_on_signals(stopping: Event) -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal set ``stopping``; call it before parts start."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)


def end_with_stdin() -> None:
    """End this process when its standard input ends, which is when its supervisor is gone."""

    def wait_for_the_end() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_STOP_WITHIN_S)
        os._exit(1)  # it did not stop by itself, and nobody is left to end it

    Thread(target=wait_for_the_end, daemon=True).start()
