"""A disk that fails, is full, or a file that another process holds."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from bench.clusters import Cluster
from bench.disk_faults import (
    Filled,
    NeedsRoot,
    dead_disk,
    fill,
    held,
    lock,
    small_disk,
    sweep_postgres,
    sweep_sqlite,
    tables_on,
)
from bench.kill import stored_and_counted
from bench.server_faults import endless
from bench.servers import Collector
from tests.faults.conftest import Bodies, open_folder


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_r03_whichever_call_fails_a_request_is_stored_or_told_to_come_again(
    shim_library: Path, tmp_path: Path, bodies: Bodies, error: int
) -> None:
    swept = sweep_sqlite(shim_library, tmp_path / "db", bodies(120, 4), error)
    assert swept.points >= 10  # as many calls as it takes to store one request, then none fails
    assert set(swept.answers) <= {200, 503}
    assert swept.answers[503] >= 10
    assert swept.recovered == sum(swept.answers.values())
    assert swept.lost == 0
    assert swept.whole
    assert swept.alive


@pytest.mark.slow
def test_r03_whichever_call_of_postgres_fails_the_same_holds(
    shim_library: Path, bodies: Bodies
) -> None:
    swept = sweep_postgres(shim_library, bodies(4, 4), errno.EIO)
    assert swept.points >= 1
    assert set(swept.answers) <= {200, 503}
    assert swept.recovered == sum(swept.answers.values())
    assert swept.lost == 0
    assert swept.whole
    assert swept.alive


def test_r03_a_dead_disk_is_told_at_once_and_a_live_one_is_used_again(
    shim_library: Path, tmp_path: Path, bodies: Bodies
) -> None:
    refused, last = dead_disk(shim_library, tmp_path / "db", bodies(4, 4))
    assert [(one.status, one.retry_after) for one in refused] == [(503, "1")] * 3
    assert last.status == 200


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a folder on a file system as large as the test says, for root only."""
    try:
        with open_folder() as place, small_disk(place / "disk", request.param) as folder:
            yield folder
    except NeedsRoot as why:  # nobody else may mount; a dead disk is tested without
        pytest.skip(str(why))


def is_well(filled: Filled) -> None:
    assert filled.acknowledged > 0
    assert filled.statuses == {503}
    assert filled.retry_after == {"1"}
    assert filled.refused_in_s < 1
    assert any("disk full" in reason for reason in json.loads(filled.reasons)["reasons"])
    assert filled.recovered_s < 10
    assert filled.lost == 0
    assert filled.whole


@pytest.mark.parametrize("disk", ["3m"], indirect=True)
def test_r04_a_full_disk_is_named_and_left_as_soon_as_it_grows(disk: Path) -> None:
    is_well(fill(f"sqlite:///{disk / 't.db'}", disk, endless(spans=50)))


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["12m"], indirect=True)
def test_r04_a_full_disk_of_postgres_is_named_and_left_as_soon_as_it_grows(disk: Path) -> None:
    with Cluster() as cluster, tables_on(cluster, disk) as url:
        is_well(fill(url, disk, endless(spans=100)))


def test_r05_senders_of_a_locked_database_are_put_off_in_time_and_pile_nothing_up(
    tmp_path: Path, bodies: Bodies
) -> None:
    locked = lock(tmp_path / "t.db", 2.5, bodies(60, 10), answer_within_s="1")
    assert locked.refused >= 8
    assert locked.statuses == {503}
    assert locked.slowest_s < 2
    assert locked.threads <= 2
    assert locked.memory_mb < 30
    assert locked.healed_s < 5
    assert locked.lost == 0


def test_r05_a_real_sdk_delivers_after_the_unlock(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with Collector(f"sqlite:///{path}", answer_within_s="0.5") as collector:
        exporter = OTLPSpanExporter(endpoint=f"http://{collector.http}/v1/traces")
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        with held(path, 2.0):
            for number in range(20):
                provider.get_tracer("t").start_span(f"chat {number}").end()
            began = time.monotonic()
            flush = threading.Thread(target=provider.force_flush)
            flush.start()
            flush.join(30)
        assert time.monotonic() - began > 1  # it was put off at least once
        provider.shutdown()
        stored, _ = stored_and_counted(f"sqlite:///{path}")
        assert len(stored) == 20
