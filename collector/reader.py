"""The process that reads requests for a collector: python -m collector.reader DESCRIPTOR."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from collector import heap
from collector.limits import BadEncoding, BadOtlp, TooLarge
from collector.readers import Rulebook

LARGE = 512 * 1024  # bytes; after such a body the memory is given back


class Unreadable(Exception):
    """Reading failed in a way that nobody thought of. Its own words may hold content."""


def main() -> None:
    """Read what comes over the connection until the other end is closed."""
    # A Ctrl-C reaches the whole group; the collector finishes what it took, and needs us for it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    with suppress(EOFError, OSError):  # the collector has ended
        serve(connection)


def serve(connection: Connection) -> None:
    """Answer each job with its parcel, or with the error. Raises EOFError at the end."""
    book: Rulebook = connection.recv()
    read = book.reading()
    heap.give_back()
    heap.collect_seldom()
    while True:
        job = connection.recv()
        try:
            answer: object = read(job)
        except (TooLarge, BadEncoding, BadOtlp) as error:
            answer = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001
            answer = Unreadable(type(error).__name__)
        connection.send(answer)
        large = len(job.body) > LARGE
        del job, answer  # else they stay until the next request comes
        if large:
            heap.trim()


if __name__ == "__main__":
    main()
