"""Processes that read requests: the interpreter lock lets one process use one core only.

The writer stores requests in the order in which they came, and asks for each when it is its turn;
the readers work ahead of it, but only so far: what is read takes several times the memory.
"""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

from collector.capture import Plans
from collector.inflight import Overloaded
from collector.intake import take_in
from collector.limits import Limits
from collector.parcel import Parcel, parcel_of
from collector.sender import Sender
from tidegauge import log
from tidegauge.policy import Policy

AHEAD = 2  # requests that are read and not yet taken by the writer, beside one a reader
START_AGAIN_S = 1.0  # between two starts of a process that ends again and again
END_WITHIN_S = 5.0


class Job(NamedTuple):
    """One request, as its edge hands it over."""

    body: bytes
    json: bool
    encoding: str | None
    sender: Sender
    received_at: datetime


class Rulebook(NamedTuple):
    """What a reader has to know of the settings."""

    policy: Policy
    salt: str
    bounds: Limits

    def reading(self) -> Callable[[Job], Parcel]:
        """Return what reads a job."""
        plans = Plans(self.policy, self.salt)

        def read(job: Job) -> Parcel:
            return parcel_of(
                take_in(
                    job.body,
                    json=job.json,
                    encoding=job.encoding,
                    sender=job.sender,
                    plan=plans.of(job.sender.project),
                    received_at=job.received_at,
                    bounds=self.bounds,
                )
            )

        return read


class Reading(Protocol):
    """A request that is being read, or will be."""

    def is_ready(self) -> bool:
        """Return whether take() returns at once."""

    def take(self) -> Parcel:
        """Return what was read. Raises what reading it raised."""

    def drop(self) -> None:
        """Say that nobody waits for it any more; in the place of take()."""


Wrap = Callable[[Callable[[], Parcel]], Parcel]  # calls what it is given


class Here:
    """Reads on the thread that takes it."""

    def __init__(self, read: Callable[[], Parcel]) -> None:
        self._read = read

    def is_ready(self) -> bool:
        """Return True: there is nobody to wait for."""
        return True

    def take(self) -> Parcel:
        """Read."""
        return self._read()

    def drop(self) -> None:
        """Do nothing: nothing was begun."""


class _There:
    """Is read by a process, as soon as there is room for what it reads."""

    def __init__(self, job: Job, wrap: Wrap, room: threading.Semaphore) -> None:
        self.job = job
        self.wrap = wrap
        self.done: Future[Parcel] = Future()
        self._room = room

    def is_ready(self) -> bool:
        return self.done.done()

    def take(self) -> Parcel:
        try:
            return self.done.result()
        finally:
            self._room.release()

    def drop(self) -> None:
        if not self.done.cancel():
            self.done.add_done_callback(lambda _: self._room.release())


class Readers:
    """So many processes that read; 0: requests are read where they are written."""

    def __init__(self, count: int, book: Rulebook) -> None:
        self._read = book.reading()  # also checks the rules before any process needs them
        self._queue: queue.SimpleQueue[_There | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(count + AHEAD)
        self._processes = [_Process(book) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=[process], name="reader", daemon=True)
            for process in self._processes
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, job: Job, wrap: Wrap) -> Reading:
        """Return a reading of a job; ``wrap`` is called around it, where it is read."""
        if not self._processes:
            return Here(lambda: wrap(lambda: self._read(job)))
        there = _There(job, wrap, self._room)
        self._queue.put(there)
        return there

    def pids(self) -> Sequence[int]:
        """Return the processes that read."""
        return [process.pid for process in self._processes]

    def close(self) -> None:
        """End the processes; call it once the writer has taken all that was begun."""
        for _ in self._threads:
            self._queue.put(None)
        for thread, process in zip(self._threads, self._processes, strict=True):
            thread.join(END_WITHIN_S)
            process.end()

    def _run(self, process: _Process) -> None:
        while (there := self._queue.get()) is not None:
            self._room.acquire()  # the writer gives it back; this thread may wait for it
            if not there.done.set_running_or_notify_cancel():
                self._room.release()
                continue
            try:
                job = there.job
                there.done.set_result(there.wrap(lambda job=job: process.read(job)))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001  (whoever takes it is told)
                # The frames it came through hold the body, and it would hold them.
                there.done.set_exception(error.with_traceback(None))


class _Process:
    """One reader and the connection to it; started again when it ends."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book
        self._started_at = 0.0
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, job: Job) -> Parcel:
        """Return what the process reads. Raises what it raised, Overloaded if it ended."""
        try:
            self._connection.send(job)
            answer = self._connection.recv()
        except (EOFError, OSError):
            log.get(__name__).error("a reader has ended, another one starts", pid=self.pid)
            self._start_again()
            raise Overloaded("the process that read this request has ended") from None
        if isinstance(answer, Exception):
            raise answer
        parcel: Parcel = answer
        return parcel

    def end(self) -> None:
        """End the process: it stops when nobody holds the other end."""
        self._connection.close()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start_again(self) -> None:
        self.end()
        time.sleep(max(0.0, START_AGAIN_S - (time.monotonic() - self._started_at)))
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                [sys.executable, "-m", "collector.reader", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._started_at = time.monotonic()
        self._connection = Connection(ours.detach())
        self._connection.send(self._book)
