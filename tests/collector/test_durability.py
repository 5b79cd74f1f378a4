"""What was acknowledged is there: after kill -9 of the collector, and after its database died."""

from __future__ import annotations

import itertools
import time

import httpx
import pytest

from bench.bodies import Body, Key, build
from bench.kill import kill_rounds
from bench.servers import Collector, Postgres
from tidegauge.store.engine import open_engine, read

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.mark.slow
def test_kill_9_under_load_loses_and_doubles_nothing(url: str) -> None:
    result = kill_rounds(url, rounds=2, seconds=1.0)
    assert result.acknowledged > 500
    assert result.lost == 0
    assert result.counted == result.stored
    assert result.stored == result.acknowledged


@pytest.mark.slow
def test_a_postgres_that_dies_and_returns_costs_nothing() -> None:
    seeds = itertools.count(1)
    acknowledged: set[Key] = set()
    with Postgres() as postgres, Collector(postgres.url, answer_within_s="2") as collector:
        with httpx.Client(base_url=f"http://{collector.http}", timeout=20) as client:

            def post(body: Body) -> httpx.Response:
                answer = client.post("/v1/traces", content=body.raw, headers=PROTOBUF)
                if answer.status_code == 200:
                    acknowledged.update(body.keys)
                return answer

            assert post(build(50, next(seeds))).status_code == 200
            postgres.kill()
            refused = build(50, next(seeds))
            for _ in range(3):
                began = time.monotonic()
                answer = post(refused)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert time.monotonic() - began < 5
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert any("writer" in reason for reason in ready.json()["reasons"])
            assert client.get("/healthz").status_code == 200

            postgres.start()
            assert post(refused).status_code == 200
            assert client.get("/readyz").json()["reasons"] == []
            assert 'reason="store_busy"' in client.get("/metrics").text
        code, log = collector.stop()
        assert code == 0
        assert "Traceback" not in log
        engine = open_engine(postgres.url)
        with read(engine) as db:
            rows = db.exec_driver_sql("SELECT trace_id, span_id FROM span").all()
        engine.dispose()
    assert acknowledged == {(bytes(trace), bytes(span)) for trace, span in rows}
    assert len(acknowledged) == 100
