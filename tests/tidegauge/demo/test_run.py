"""The whole demo as a person starts it: three faults, three pages, exit code 0."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.ports import free_ports
from tidegauge.demo.receiver import Page
from tidegauge.demo.run import DEMO_POLICY, DEMO_POLICY_TOML, explains
from tidegauge.demo.traffic import APPS, CHECKOUT_BOT, SUPPORT_BOT
from tidegauge.policy import policy_of


def test_the_policy_that_the_demo_announces_is_the_one_it_runs_with() -> None:
    assert policy_of(tomllib.loads(DEMO_POLICY_TOML)["policy"]) == DEMO_POLICY


def page(kind: str = "alert.firing", **data: str) -> Page:
    usual = {
        "service": CHECKOUT_BOT.service,
        "rule": min(CHECKOUT_BOT.rules),
        "title": "",
        "likely_cause": f"... {CHECKOUT_BOT.cause} ...",
    }
    return Page({"type": kind, "data": usual | data}, True, 0.0)


def test_a_page_counts_only_for_its_app_its_rule_and_with_the_cause_named() -> None:
    assert explains(page(), CHECKOUT_BOT)
    assert not explains(page(), SUPPORT_BOT)
    assert not explains(page(rule="errors"), CHECKOUT_BOT)
    assert not explains(page(likely_cause="No cause found."), CHECKOUT_BOT)
    assert not explains(page("alert.resolved"), CHECKOUT_BOT)


@pytest.mark.slow
def test_the_demo_notices_all_three_faults_and_fills_the_review_queue() -> None:
    http, grpc, dashboard = free_ports(3)
    command = [sys.executable, "-m", "tidegauge", "demo", "--minutes", "2.5"]
    command += ["--otlp-http-port", str(http), "--otlp-grpc-port", str(grpc)]
    command += ["--dashboard-port", str(dashboard)]

    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT NOTICED" not in done.stdout
    assert all(app.service in done.stdout for app in APPS)
    assert "signature verified" in done.stdout
    waiting = int(done.stdout.split("Waiting for a reviewer: ")[1].split()[0])
    assert waiting > 0
