from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench import cases, report
from bench.cases import OURS, Case, Killed, Sample
from bench.report import BEGIN, END, Findings, markdown, put_into

ON = {
    "cores": 2,
    "architecture": "x86_64",
    "python": "3.11.7",
    "fdatasync_ms": 0.2,
    "load_at_start": 1.0,
}
BODY = {"attributes": 29, "protobuf": 3368, "protobuf_gzip": 925, "json": 4419, "json_gzip": 940}
SAMPLE = Sample(
    spans=1000,
    put_off=0,
    acked_per_s=2000,
    committed_per_s=2000,
    p50_ms=10,
    p99_ms=20,
    cpu_us=100,
    database_cpu_us=None,
    peak_rss_mb=150,
    bytes_per_span=1400,
    load=1.5,
)
MINE = Case(OURS, "SQLite", "http", True, 50)
PEER = Case("MLflow", "SQLite", "http", True, 50)


def findings() -> Findings:
    return Findings({OURS: "0.1.0", "MLflow": "3"}, ON, BODY)


def line(text: str, start: str) -> list[str]:
    found = next(one for one in text.splitlines() if one.startswith(f"| {start}"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_ratio_is_taken_within_a_round() -> None:
    found = findings()
    found.samples[MINE] = {0: SAMPLE, 1: replace(SAMPLE, committed_per_s=1000)}
    found.samples[PEER] = {
        0: replace(SAMPLE, committed_per_s=200),
        1: replace(SAMPLE, committed_per_s=50),
    }
    text = markdown(found)
    assert line(text, OURS)[-1] == "15 (10 to 20)"
    assert line(text, "MLflow")[-1] == "-"


def test_a_round_that_failed_for_one_is_no_ratio() -> None:
    found = findings()
    found.samples[MINE] = {0: SAMPLE, 1: SAMPLE}
    found.samples[PEER] = {1: replace(SAMPLE, committed_per_s=500)}
    assert line(markdown(found), OURS)[-1] == "4"


def test_a_ratio_is_of_requests_of_one_size() -> None:
    found = findings()
    found.samples[MINE] = {0: SAMPLE}
    found.samples[replace(PEER, size=512)] = {0: SAMPLE}
    assert line(markdown(found), OURS)[-1] == "-"


def test_one_lost_span_is_not_durable() -> None:
    found = findings()
    found.killed[OURS, "SQLite"] = [Killed(500, 0), Killed(500, 0)]
    found.killed["Phoenix", "SQLite"] = [Killed(500, 0), Killed(500, 1)]
    text = markdown(found)
    assert line(text, OURS)[-3:] == ["1,000", "0", "yes"]
    assert line(text, "Phoenix")[-3:] == ["1,000", "1", "**no**"]


def test_every_round_is_in_the_json() -> None:
    found = findings()
    found.samples[MINE] = {0: SAMPLE, 2: SAMPLE}
    told = json.loads(json.dumps(found.as_json()))
    assert len(told["runs"][0]["rounds"]) == 2
    assert told["runs"][0]["size"] == 50


def test_the_usual_cases_differ_from_the_basic_one_in_one_way_each() -> None:
    chosen = list(cases.cases())
    assert len(chosen) == len(set(chosen)) == 16
    assert sum(case.basic for case in chosen) == 4
    assert len(list(cases.cases(full=True))) == 24


def test_the_machine_is_described_without_its_name() -> None:
    assert set(report.machine()) == set(ON)


def test_tables_take_the_place_of_the_old_ones_on_a_page() -> None:
    page = put_into(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new")
    assert page == f"before\n{BEGIN}\n\nnew\n{END}\nafter\n"
    assert put_into(page, "new") == page
    with pytest.raises(ValueError, match="has no"):
        put_into("no marks", "new")
