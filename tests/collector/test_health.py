from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import psutil
import pytest
from pysqlite3 import dbapi2 as sqlite

from bench.servers import Postgres
from collector.health import KINDS, Doctor, Health, judge_disk, judge_log, kinds_of, tell
from collector.inflight import Held, InFlight
from collector.intake import Batch
from collector.metrics import Metrics
from collector.parcel import parcel_of
from collector.readers import Here
from collector.writer import Writer
from tests.processes import until
from tests.world import a_call
from tidegauge import log
from tidegauge.store import migrate, sizes
from tidegauge.store.contents import to_json
from tidegauge.store.engine import Engine, StoreBusy, open_engine, write
from tidegauge.store.sizes import Disk

ROOM = 1000


@dataclass
class Ward:
    doctor: Doctor
    writer: Writer
    in_flight: InFlight
    metrics: Metrics

    def examine(self) -> Health:
        return asyncio.run(self.doctor.examine())

    def number(self, name: str, **labels: str) -> float:
        return self.metrics.value(name, **labels)


Admit = Callable[[Engine], Ward]


@pytest.fixture
def admit(now: datetime) -> Iterator[Admit]:
    wards: list[Ward] = []

    def make(engine: Engine) -> Ward:
        metrics, in_flight = Metrics(), InFlight(ROOM)
        writer = Writer(engine, "p", clock=lambda: now, metrics=metrics)
        wards.append(Ward(Doctor(engine, writer, in_flight, metrics), writer, in_flight, metrics))
        return wards[-1]

    yield make
    for ward in wards:
        ward.writer.close(20)
        ward.doctor.close()


def test_a_sound_collector_is_ready_and_knows_its_sizes(engine: Engine, admit: Admit) -> None:
    ward = admit(engine)
    assert ward.number("tidegauge_ready") == 0  # not asked yet
    health = ward.examine()
    assert (health.reasons, [kind for kind in kinds_of(health.warnings) if kind != "disk"]) == (
        (),
        [],
    )
    assert health.database.startswith(("SQLite", "PostgreSQL"))
    assert ward.number("tidegauge_ready") == 1
    assert ward.number("tidegauge_database_bytes") > 10_000
    lite = engine.dialect.name == "sqlite"
    assert (ward.number("tidegauge_disk_free_bytes") > 0) is lite  # NaN is no number
    assert (0 <= ward.number("tidegauge_disk_used_ratio") <= 1) is lite
    assert (ward.number("tidegauge_wal_bytes") >= 0) is lite


def test_a_schema_that_is_not_ours_is_a_reason(sqlite_url: str, admit: Admit) -> None:
    engine = open_engine(sqlite_url)
    assert admit(engine).examine().reasons == ("schema: empty; run tidegauge migrate",)
    engine.dispose()


def test_r30_a_full_queue_is_a_reason_until_there_is_room(
    sqlite_engine: Engine, admit: Admit
) -> None:
    ward = admit(sqlite_engine)
    held = ward.in_flight.open()
    held.add(950)
    (reason,) = ward.examine().reasons
    assert reason == "queue: 95% of its bytes are taken; new requests are put off"
    assert ward.number("tidegauge_trouble", kind="queue") == 1
    assert ward.number("tidegauge_in_flight_bytes") == 950
    held.release()
    assert ward.examine().reasons == ()
    assert ward.number("tidegauge_trouble", kind="queue") == 0


def test_r30_a_writer_that_cannot_store_is_a_reason_until_it_can(
    sqlite_engine: Engine, sqlite_url: str, admit: Admit, now: datetime
) -> None:
    ward = admit(sqlite_engine)

    def put(seed: int) -> None:
        call = a_call(seed, project="p", started_at=now)
        batch = Batch([call], (), 10, contents=[to_json(call)])
        ward.writer.put(Here(lambda: parcel_of(batch)), Held(InFlight(ROOM))).result(20)

    lock = sqlite.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        put(1)
    assert kinds_of(ward.examine().reasons) == {"writer"}
    assert ward.number("tidegauge_failed_commits_total", reason="store_busy") == 1
    lock.close()
    put(1)
    assert ward.examine().reasons == ()
    ward.writer.close(20)
    assert ward.examine().reasons == ("writer: it has ended; restart the collector",)


def test_r30_health_answers_within_a_second_while_the_database_hangs(admit: Admit) -> None:
    with Postgres() as postgres:
        migrate.upgrade(postgres.url)
        engine = open_engine(postgres.url)
        ward = admit(engine)
        assert ward.examine().reasons == ()
        server = psutil.Process(postgres._process.pid)
        backends = [server, *server.children(recursive=True)]
        for one in backends:
            os.kill(one.pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                began = time.monotonic()
                reasons = ward.examine().reasons
                assert time.monotonic() - began < 1
                assert reasons == ("database: no answer within 0.8 s",)
            assert ward.number("tidegauge_trouble", kind="database") == 1
        finally:
            for one in backends:
                os.kill(one.pid, signal.SIGCONT)
        assert until(lambda: ward.examine().reasons == (), 10)
        ward.writer.close(20)
        engine.dispose()


@pytest.mark.parametrize(
    ("used", "unhealthy", "near"),
    [(0.84, False, False), (0.86, False, True), (0.96, True, False)],
)
def test_a_disk_that_fills_is_warned_of_and_then_a_reason(
    used: float, unhealthy: bool, near: bool
) -> None:
    reasons, warnings = judge_disk(Disk(3 * 2**20, used))
    assert (bool(reasons), bool(warnings)) == (unhealthy, near)
    assert all("3 MiB free" in text for text in reasons + warnings)


def test_a_disk_that_is_not_ours_to_see_is_no_trouble() -> None:
    assert judge_disk(None) == judge_log(None) == ([], [])


def test_a_log_that_never_ends_is_warned_of_and_then_a_reason() -> None:
    assert judge_log(2**28 - 1) == ([], [])
    assert [bool(texts) for texts in judge_log(2**28)] == [False, True]
    assert [bool(texts) for texts in judge_log(2**30)] == [True, False]


def test_the_size_of_the_log_is_that_of_its_file(sqlite_engine: Engine) -> None:
    with write(sqlite_engine) as db:
        db.exec_driver_sql("INSERT INTO pending VALUES ('a', 1, 1, 1)")
    assert (sizes.log_bytes(sqlite_engine) or 0) > 1000


def test_a_change_of_state_is_one_line_and_a_changed_number_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("json", process="test")
    good = Health("x", ())
    full, fuller = (Health("x", (f"disk: {used}% used",)) for used in (96, 97))
    near = Health("x", (), ("disk: 86% used",))
    for before, now in [(good, good), (good, near), (near, full), (full, fuller), (fuller, good)]:
        tell(before, now)
    events = [line.split('"event": "')[1].split('"')[0] for line in _lines(capsys)]
    assert events == ["ready, but", "not ready", "ready again"]


def test_every_kind_of_trouble_is_told_as_a_number(sqlite_engine: Engine, admit: Admit) -> None:
    ward = admit(sqlite_engine)
    ward.examine()
    text = ward.metrics.render().decode()
    assert all(f'tidegauge_trouble{{kind="{kind}"}} ' in text for kind in KINDS)


def test_the_watch_looks_by_itself(
    sqlite_url: str, admit: Admit, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("json", process="test")
    engine = open_engine(sqlite_url)  # without a schema
    ward = admit(engine)

    async def a_while() -> None:
        async with asyncio.timeout(20):
            watching = asyncio.create_task(ward.doctor.watch())
            while not ward.number("tidegauge_trouble", kind="schema"):
                await asyncio.sleep(0.01)
            ward.metrics.add("tidegauge_refusals_total", reason="bad_otlp")
            watching.cancel()
            await asyncio.wait([watching])

    asyncio.run(a_while())
    engine.dispose()
    lines = _lines(capsys)
    assert any("not ready" in line for line in lines)
    assert any("bad_otlp" in line for line in lines)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()
