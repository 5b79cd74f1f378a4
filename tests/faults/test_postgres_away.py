"""A PostgreSQL that restarts, dies, is replaced, hangs or is far away."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bench.clusters import Cluster
from bench.proxy import Proxy
from bench.server_faults import Outage, die, failover, outage, restart, slow
from tidegauge.store.engine import StoreBusy, doubts, open_engine, read, write


def is_well(seen: Outage) -> None:
    assert seen.acknowledged > 0
    assert seen.lost == 0
    assert seen.double == 0
    assert seen.refused > 0
    assert seen.statuses == {503}
    assert seen.retry_after == {"1"}
    assert seen.slowest_s <= 5.5
    assert seen.whole


@pytest.mark.slow
@pytest.mark.parametrize("hit", [restart, die])
def test_r06_a_postgres_that_ends_under_load_costs_nothing(hit: Callable[[Cluster], None]) -> None:
    seen = outage(hit, away_s=1.0, load_s=0.7)
    is_well(seen)
    assert seen.healed_s <= 5


@pytest.mark.slow
def test_r07_writes_go_on_at_the_promoted_standby() -> None:
    seen = failover(load_s=0.7, away_s=0.5)
    is_well(seen)
    assert seen.healed_s <= 15


@pytest.mark.slow
def test_r08_a_slow_database_costs_time_a_silent_one_is_given_up() -> None:
    seen = slow()
    assert seen.near_status == 200
    assert seen.far_status == seen.swallowed_status == 503
    assert max(seen.far_s, seen.swallowed_s) <= 5.5
    assert seen.noticed_s <= 15
    assert seen.healed_s <= 5
    assert seen.lost == 0


def test_r08_a_silent_server_is_given_up_and_used_again_when_it_speaks() -> None:
    with Cluster() as cluster, Proxy(cluster.port) as proxy:
        engine = open_engine(
            f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres", patience_s=0.5
        )

        def be_cut_off() -> None:
            with write(engine) as db:
                db.exec_driver_sql("SELECT 1")
                proxy.swallow(True)
                db.exec_driver_sql("SELECT 1")

        began = time.monotonic()
        with pytest.raises(StoreBusy, match=r"no answer within 3\.5 s"):
            be_cut_off()
        assert time.monotonic() - began < 6
        proxy.swallow(False)
        with write(engine) as db:
            assert db.exec_driver_sql("SELECT 1").scalar_one() == 1
        engine.dispose()


def test_r07_a_connection_to_a_demoted_primary_is_not_kept() -> None:
    with Cluster() as cluster:
        engine = open_engine(cluster.url, pool_size=1)
        with write(engine) as db:
            first = db.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            db.exec_driver_sql("SET SESSION default_transaction_read_only = on")
        with pytest.raises(StoreBusy), write(engine) as db:
            db.exec_driver_sql("CREATE TABLE t (a int)")
        with write(engine) as db:
            assert db.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != first
            db.exec_driver_sql("CREATE TABLE t (a int)")
        engine.dispose()


def test_r02_a_server_that_does_not_sync_is_doubted_and_its_commits_are_waited_for() -> None:
    with Cluster(options={"fsync": "off", "synchronous_commit": "off"}) as cluster:
        engine = open_engine(cluster.url)
        assert doubts(engine) == ["PostgreSQL runs with fsync = off: switch it on"]
        with read(engine) as db:
            assert db.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        engine.dispose()
