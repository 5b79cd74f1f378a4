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
from contextlib import suppress
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
READ_WITHIN_S = 10.0  # a request is answered after 5; the slowest body takes 2


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
        self.job: Job | None = job  # None once it is read: it holds the body
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
        self._closed = threading.Event()
        self._processes = [_Process(book, self._closed) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._run, args=[process], name="reader", daemon=True)
            for process in self._processes
        ]
        if self._processes:
            self._threads.append(threading.Thread(target=self._watch, name="readers", daemon=True))
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
        """End the processes at once; call it when the writer has ended: nothing waits for them."""
        self._closed.set()
        for process in self._processes:
            process.kill()
        for _ in self._threads:
            self._queue.put(None)

    def _watch(self) -> None:
        """Kill a process that hangs: all that comes after its request waits for it."""
        while not self._closed.wait(1.0):
            for process in self._processes:
                if process.busy_s() > READ_WITHIN_S:
                    process.kill()

    def _run(self, process: _Process) -> None:
        while True:
            # First the room, then the request: one that was taken from the queue and waited for room
            # might never get any, while the writer waits for it, and all room is held by later ones.
            self._room.acquire()
            there = self._queue.get()
            if there is None:
                return
            self._read_there(there, process)
            del there  # it holds the body, and what was read of it

    def _read_there(self, there: _There, process: _Process) -> None:
        job, there.job = there.job, None
        if job is None or not there.done.set_running_or_notify_cancel():
            self._room.release()
            return
        try:
            there.done.set_result(there.wrap(lambda: process.read(job)))
        except Exception as error:  # noqa: BLE001  (whoever takes it is told)
            # The frames it came through hold the body, and it would hold them.
            there.done.set_exception(error.with_traceback(None))


class _Process:
    """One reader and the connection to it; started again when it ends."""

    def __init__(self, book: Rulebook, closed: threading.Event) -> None:
        self._book = book
        self._closed = closed
        self._started_at = 0.0
        self._busy_since: float | None = None
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, job: Job) -> Parcel:
        """Return what the process reads. Raises what it raised, Overloaded if it ended."""
        self._busy_since = time.monotonic()
        try:
            self._connection.send(job)
            answer = self._connection.recv()
        except (EOFError, OSError):
            if not self._closed.is_set():
                log.get(__name__).error("a reader has ended, another one starts", pid=self.pid)
            self._start_again()
            raise Overloaded("the process that read this request has ended") from None
        finally:
            self._busy_since = None
        if isinstance(answer, Exception):
            raise answer
        parcel: Parcel = answer
        return parcel

    def busy_s(self) -> float:
        """Return for how long it has read its present request, seconds."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def kill(self) -> None:
        """End the process: it keeps nothing."""
        self._process.kill()
        self._process.wait()

    def _start_again(self) -> None:
        self.kill()
        self._connection.close()
        if self._closed.is_set():
            return
        time.sleep(max(0.0, START_AGAIN_S - (time.monotonic() - self._started_at)))
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                [sys.executable, "-m", "collector.reader", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for the collector, which still needs it
            )
        self._started_at = time.monotonic()
        self._connection = Connection(ours.detach())
        with suppress(OSError):  # it has ended already: the first request finds out
            self._connection.send(self._book)
