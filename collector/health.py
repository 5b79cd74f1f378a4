"""Whether the collector can store spans now, and if not, why not."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from collector.writer import Writer
from tidegauge.store import migrate
from tidegauge.store.engine import Engine, StoreBusy, version

CHECK_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """``reasons`` why the collector is not ready: none if it is."""

    database: str  # its name and version
    reasons: tuple[str, ...]


class Doctor:
    """Asks the database how it is, one question at a time: a stuck one must not pile up threads."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")

    async def examine(self) -> Health:
        """Return the state of the collector, within a few seconds."""
        check = asyncio.get_running_loop().run_in_executor(self._thread, self._database)
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                database, reasons = await check
        except TimeoutError:
            database, reasons = "unknown", [f"database: no answer within {CHECK_WITHIN_S:g} s"]
        if not self._writer.alive:
            reasons.append("writer: it has ended; restart the collector")
        if self._writer.trouble:
            reasons.append(f"writer: the last group was not stored: {self._writer.trouble}")
        return Health(database, tuple(reasons))

    def close(self) -> None:
        """Ask nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _database(self) -> tuple[str, list[str]]:
        try:
            schema = migrate.state(self._engine)
            name = version(self._engine)
        except StoreBusy as error:
            return "unknown", [f"database: {error}"]
        wrong = [] if schema == "current" else [f"schema: {schema}; run tidegauge migrate"]
        return name, wrong
