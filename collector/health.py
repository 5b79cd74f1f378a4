"""Whether the collector can store spans now, and if not, why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from collector.digest import Digest
from collector.inflight import MOST_WAIT_S, InFlight
from collector.metrics import Metrics
from collector.writer import Writer
from tidegauge import log
from tidegauge.store import migrate, pages, sizes
from tidegauge.store.engine import Engine, StoreBusy, StoreUnusable, doubts, read, version
from tidegauge.store.sizes import Disk

ANSWER_WITHIN_S = 0.8  # of the database; whoever asks us gives up after a second
LOOK_EVERY_S = 5.0
STUCK_S = 10.0  # that the writer may work on one group
QUEUE_FULL = 0.9  # share of the bytes in flight
LOG_TOO_LARGE, LOG_LARGE = 2**30, 2**28  # bytes; a reader that never ends keeps the log from ending

KINDS = ("database", "schema", "writer", "disk", "queue", "wal", "durability")  # begin each text


@dataclass(frozen=True, slots=True)
class Health:
    """``reasons`` why the collector is not ready: none if it is. ``warnings`` of what is near."""

    database: str  # its name and version
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Told:
    """What the database said of itself."""

    name: str = "unknown"
    size: int | None = None  # bytes
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Doctor:
    """Asks the database how it is, one question at a time: a stuck one must not pile up threads."""

    def __init__(
        self, engine: Engine, writer: Writer, in_flight: InFlight, metrics: Metrics
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._in_flight = in_flight
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._asked: Future[_Told] | None = None
        self._told = _Told()
        self._last = Health("unknown", ("database: not asked yet",))
        self._logged = Health("", ())
        self._watch_numbers()

    async def examine(self) -> Health:
        """Return the state of the collector within a second, however long the database takes.

        What has changed since the last look is logged.
        """
        if self._asked is None or self._asked.done():
            self._asked = self._thread.submit(self._ask)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                self._told = told = await asyncio.wrap_future(self._asked)
        except TimeoutError:
            told = _Told(reasons=(f"database: no answer within {ANSWER_WITHIN_S:g} s",))
        disk, log_size = sizes.disk_of(self._engine), sizes.log_bytes(self._engine)
        bad_disk, near_disk = judge_disk(disk)
        bad_log, near_log = judge_log(log_size)
        reasons = [*told.reasons, *self._of_the_writer(), *bad_disk, *self._of_the_queue()]
        health = Health(told.name, (*reasons, *bad_log), (*told.warnings, *near_disk, *near_log))
        tell(self._logged, health)
        self._last = self._logged = health
        kinds = kinds_of((*health.reasons, *health.warnings))
        self._metrics.show_troubles({kind: kind in kinds for kind in KINDS})
        return health

    async def watch(self) -> None:
        """Look every few seconds, until cancelled, and say what was refused."""
        digest = Digest(self._metrics)
        try:
            while True:
                await self.examine()
                digest.tell_when_due()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            digest.tell()

    def close(self) -> None:
        """Ask nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self) -> _Told:
        try:
            schema = migrate.state(self._engine)
            name = version(self._engine)
            with read(self._engine) as db:
                size = pages.database_bytes(db)
            unsafe = doubts(self._engine)
        except (StoreBusy, StoreUnusable) as error:
            return _Told(reasons=(f"database: {error}",))
        except Exception as error:  # noqa: BLE001  (its words may hold anything)
            return _Told(reasons=(f"database: unexpected {type(error).__name__}",))
        wrong = () if schema == "current" else (f"schema: {schema}; run tidegauge migrate",)
        return _Told(name, size, wrong, tuple(f"durability: {why}" for why in unsafe))

    def _of_the_writer(self) -> list[str]:
        found = []
        if not self._writer.alive:
            found.append("writer: it has ended; restart the collector")
        if self._writer.trouble:
            found.append(f"writer: the last group was not stored: {self._writer.trouble}")
        if (busy_s := self._writer.busy_s()) > STUCK_S:
            found.append(f"writer: it has worked on one group for {busy_s:.0f} s")
        return found

    def _of_the_queue(self) -> list[str]:
        share, wait_s = self._in_flight.bytes / self._in_flight.most, self._in_flight.wait_s()
        if share >= QUEUE_FULL:
            return [f"queue: {share:.0%} of its bytes are taken; new requests are put off"]
        if wait_s > MOST_WAIT_S:
            return [f"queue: a request would wait {wait_s:.1f} s; new ones are put off"]
        return []

    def _watch_numbers(self) -> None:
        def disk(field: str) -> float:
            return _number(getattr(sizes.disk_of(self._engine), field, None))

        watch = self._metrics.watch
        watch("tidegauge_in_flight_bytes", lambda: self._in_flight.bytes)
        watch("tidegauge_in_flight_limit_bytes", lambda: self._in_flight.most)
        watch("tidegauge_ready", lambda: not self._last.reasons)
        watch("tidegauge_database_bytes", lambda: _number(self._told.size))
        watch("tidegauge_wal_bytes", lambda: _number(sizes.log_bytes(self._engine)))
        watch("tidegauge_disk_free_bytes", lambda: disk("free_bytes"))
        watch("tidegauge_disk_used_ratio", lambda: disk("used"))


def judge_disk(disk: Disk | None) -> tuple[list[str], list[str]]:
    """Return why a disk keeps us from storing, and what to warn of."""
    if disk is None or not (disk.is_full or disk.is_nearly_full):
        return [], []
    text = f"disk: {disk.used:.0%} used, {disk.free_bytes / 2**20:,.0f} MiB free; make room"
    return ([text], []) if disk.is_full else ([], [text])


def judge_log(size: int | None) -> tuple[list[str], list[str]]:
    """Return the same of the size of SQLite's log, bytes."""
    if size is None or size < LOG_LARGE:
        return [], []
    text = f"wal: {size / 2**20:,.0f} MiB; end the program that reads the database without a pause"
    return ([text], []) if size >= LOG_TOO_LARGE else ([], [text])


def kinds_of(texts: Iterable[str]) -> set[str]:
    """Return what reasons or warnings are about.

    >>> kinds_of(["disk: 96% used"])
    {'disk'}
    """
    return {text.partition(":")[0] for text in texts}


def tell(before: Health, now: Health) -> None:
    """Log a change of state, once: not that a number in its words has moved."""
    logger = log.get(__name__)
    if kinds_of(now.reasons) != kinds_of(before.reasons):
        if now.reasons:
            logger.warning("not ready", reasons=list(now.reasons))
        else:
            logger.info("ready again")
    if kinds_of(now.warnings) - kinds_of(before.warnings):
        logger.warning("ready, but", warnings=list(now.warnings))


def _number(known: float | None) -> float:
    return math.nan if known is None else known
