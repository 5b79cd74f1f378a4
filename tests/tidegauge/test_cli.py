"""The command line as people and scripts use it: help, formats, exit codes, one-line errors."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite
from typer.testing import CliRunner, Result

from tests.alert_world import MIN, an_alert, fires, resolves
from tests.world import NOON, a_call
from tidegauge import clock
from tidegauge.call import NotCounted
from tidegauge.cli import app
from tidegauge.commands.calls import FIELDS
from tidegauge.store import alerts as store
from tidegauge.store import jobs, rollups, spans
from tidegauge.store.engine import Engine, open_engine, read, write
from tidegauge.store.migrate import state

VERBS = (
    "up",
    "demo",
    "collect",
    "analyse",
    "dashboard",
    "migrate",
    "check",
    "calls",
    "alerts",
    "ledger",
    "prices",
    "audit",
    "send-test",
)


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(app, words, env=env)


@pytest.fixture
def database(sqlite_engine: Engine, sqlite_url: str) -> str:
    calls = [
        a_call(1, cost_usd=Decimal("0.000123456"), finish_reasons=("length",)),
        a_call(2, service="billing-bot", started_at=NOON + timedelta(hours=1)),
        a_call(3, not_counted=NotCounted.WRAPPER, operation=None),
    ]
    with write(sqlite_engine) as db:
        spans.insert(db, calls, received_at=NOON)
    return sqlite_url


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = run(verb, "--help")

    assert result.exit_code == 0
    assert f"Example: tidegauge {verb}" in result.output


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"demo"}))
def test_every_verb_that_touches_the_store_takes_a_database_url(verb: str) -> None:
    assert "--database-url" in run(verb, "--help", COLUMNS="120").output


def test_the_version_is_printed() -> None:
    assert run("--version").output.startswith("tidegauge ")


def test_calls_as_jsonl_are_the_record_and_only_counted_calls(database: str) -> None:
    first, second = rows(run("calls", "--format", "jsonl", "--database-url", database))

    assert tuple(first) == FIELDS
    assert first["started_at"] == "2026-01-15T12:00:00Z"
    assert first["cost_usd"] == 0.000123456
    assert first["finish_reasons"] == ["length"]
    assert second["cost_usd"] is None


def test_calls_with_all_say_why_a_span_does_not_count(database: str) -> None:
    found = rows(run("calls", "--format", "jsonl", "--all", "--database-url", database))

    assert sorted(str(row["not_counted"]) for row in found) == ["None", "None", "wrapper"]


def test_calls_are_chosen_by_service_time_and_number(database: str) -> None:
    base = ("calls", "--format", "jsonl", "--database-url", database)

    assert [r["service"] for r in rows(run(*base, "--service", "billing-bot"))] == ["billing-bot"]
    assert len(rows(run(*base, "--since", "2026-01-15T12:30:00Z"))) == 1
    assert len(rows(run(*base, "--limit", "1"))) == 1


def test_calls_as_a_table_show_the_services(database: str) -> None:
    result = run("calls", "--database-url", database, COLUMNS="160")

    assert result.exit_code == 0
    assert "billing-bot" in result.output


def test_calls_are_chosen_by_their_age(sqlite_engine: Engine, sqlite_url: str) -> None:
    now = clock.now()
    with write(sqlite_engine) as db:
        old, new = (now - timedelta(hours=age) for age in (3, 1))
        calls = [a_call(1, started_at=old), a_call(2, started_at=new)]
        spans.insert(db, calls, received_at=now)

    found = rows(run("calls", "--format", "jsonl", "--since", "2h", "--database-url", sqlite_url))

    assert [row["span_id"] for row in found] == [a_call(2).span_id]


@pytest.mark.parametrize("verb", ["migrate", "check", "calls", "alerts", "analyse"])
def test_every_verb_sets_up_an_empty_database(sqlite_url: str, verb: str) -> None:
    once = ("--once",) if verb == "analyse" else ()

    result = run(verb, *once, "--database-url", sqlite_url)

    assert result.exception is None or isinstance(result.exception, SystemExit)
    engine = open_engine(sqlite_url)
    assert state(engine) == "current"
    engine.dispose()


@pytest.fixture
def alerted(sqlite_engine: Engine, sqlite_url: str) -> str:
    """Return a database with an alert that fires and one that is over."""
    firing, over = an_alert(NOON), an_alert(NOON, "latency")
    with write(sqlite_engine) as db:
        store.open_alert(db, fires(firing, NOON))
        store.open_alert(db, fires(over, NOON))
        assert store.change_alert(db, over, resolves(over, NOON + MIN), told=True)
    return sqlite_url


def test_alerts_as_jsonl_are_chosen_by_state(alerted: str) -> None:
    base = ("alerts", "--format", "jsonl", "--database-url", alerted)

    assert {row["state"] for row in rows(run(*base))} == {"firing", "resolved"}
    (firing,) = rows(run(*base, "--state", "firing"))
    assert (firing["rule"], firing["opened_at"]) == ("output_tokens", "2026-01-15T12:00:00Z")
    (over,) = rows(run(*base, "--state", "resolved"))
    assert (over["rule"], over["ends_at"]) == ("latency", "2026-01-15T12:01:00Z")
    assert rows(run(*base, "--state", "acknowledged")) == []
    assert len(rows(run(*base, "--limit", "1"))) == 1


def test_alerts_as_a_table_show_what_moved(alerted: str) -> None:
    said = run("alerts", "--state", "firing", "--database-url", alerted, COLUMNS="160").output

    assert "output length 1,140 tokens" in said
    assert "resolved" not in said


def test_a_state_that_is_none_is_refused(sqlite_url: str) -> None:
    assert run("alerts", "--state", "open", "--database-url", sqlite_url).exit_code == 2


def test_alerts_of_an_empty_database_are_no_lines(sqlite_url: str) -> None:
    assert rows(run("alerts", "--format", "jsonl", "--database-url", sqlite_url)) == []


def test_check_of_an_empty_database_cannot_tell(sqlite_url: str) -> None:
    result = run("check", "--database-url", sqlite_url)

    assert result.exit_code == 2
    assert "none has come in yet" in result.output


def test_check_after_a_span_and_a_look_says_that_all_is_well(
    sqlite_engine: Engine, sqlite_url: str
) -> None:
    now = clock.now()
    with write(sqlite_engine) as db:
        spans.insert(db, [a_call(started_at=now - timedelta(minutes=5))], received_at=now)
    look = run("analyse", "--once", "--database-url", sqlite_url)
    assert look.exit_code == 0, look.output

    result = run("check", "--database-url", sqlite_url, COLUMNS="120")

    assert result.exit_code == 0, result.output
    assert "job roll" in result.output


def test_check_says_that_no_span_came_for_too_long(database: str) -> None:
    assert run("check", "--database-url", database).exit_code == 1


def test_check_of_a_database_that_cannot_be_opened_says_no(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = run("check", "--database-url", f"sqlite:///{tmp_path / 'file' / 'x.db'}")

    assert result.exit_code == 1
    assert "cannot be written" in " ".join(result.output.split())


def one_line(result: Result) -> str:
    """Return the single line on standard error of a verb that could not run."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)  # told, not fallen over
    (line,) = result.stderr.splitlines()
    return str(line)


@pytest.mark.parametrize(
    ("words", "env", "part"),
    [
        (("migrate", "--database-url", "mysql://x"), {}, "TIDEGAUGE_DATABASE_URL: "),
        (("migrate",), {"TIDEGAUGE_HOSTT": "x"}, "TIDEGAUGE_HOSTT: no such setting"),
        (("migrate",), {"TIDEGAUGE_ANALYSE_EVERY_S": "soon"}, "(given: 'soon')"),
        (("up", "--otlp-http-port", "99999"), {}, "TIDEGAUGE_OTLP_HTTP_PORT"),
        (("up", "--database-url", "mysql://x"), {}, "must start with sqlite:/// or postgresql://"),
        (("migrate", "--database-url", "sqlite:////proc/x/y.db"), {}, "cannot be written"),
        (("calls", "--database-url", "sqlite:////proc/x/y.db"), {}, "cannot be written"),
        (
            ("migrate", "--database-url", "postgresql://nobody@127.0.0.1:1/none"),
            {},
            "the database does not answer: ",
        ),
    ],
)
def test_an_expected_error_is_one_line_and_exit_code_2(
    words: tuple[str, ...], env: dict[str, str], part: str
) -> None:
    assert part in one_line(run(*words, **env))


def test_neither_a_secret_nor_a_password_is_repeated_in_an_error() -> None:
    said = one_line(run("migrate", "--database-url", "mysql://me:pass-phrase@db/tide"))
    assert "pass-phrase" not in said

    env = {"TIDEGAUGE_WEBHOOK_SECRET": "sesame", "TIDEGAUGE_WEBHOOK_URL": "https://on.call/"}
    said = one_line(run("analyse", "--once", **env))
    assert "the webhook secret must be whsec_ and base64" in said
    assert "sesame" not in said


@pytest.mark.parametrize("words", [("up",), ("analyse",), ("analyse", "--once")])
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[policy]\nmin_cals = 5\n", "unknown key 'min_cals'"),
        ("[policy]\nmin_calls = 'many'\n", "'min_calls' must look like 200, not 'many'"),
        ("[policy\n", "cannot be read as TOML"),
        (None, "cannot be read as TOML"),
    ],
)
def test_a_bad_policy_stops_the_start(
    tmp_path: Path, sqlite_url: str, words: tuple[str, ...], text: str | None, part: str
) -> None:
    policy = tmp_path / "tidegauge.toml"
    if text is not None:
        policy.write_text(text)

    result = run(*words, "--database-url", sqlite_url, TIDEGAUGE_POLICY_FILE=str(policy))

    assert part in one_line(result)


@pytest.fixture
def newer(sqlite_engine: Engine, sqlite_url: str) -> str:
    """Return a database that a later version has written."""
    with sqlite.connect(sqlite_url.removeprefix("sqlite:///")) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    return sqlite_url


@pytest.mark.parametrize("verb", ["up", "dashboard", "migrate", "calls", "alerts"])
def test_a_schema_newer_than_the_code_is_refused(newer: str, verb: str) -> None:
    assert "newer than this Tidegauge" in one_line(run(verb, "--database-url", newer))


def process(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegauge", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("verb", ["collect", "analyse"])
def test_a_process_alone_refuses_a_newer_schema_too(newer: str, verb: str) -> None:
    ports = ("--otlp-http-port", "0", "--otlp-grpc-port", "0") if verb == "collect" else ()

    done = process(verb, "--database-url", newer, *ports)

    (line,) = done.stderr.splitlines()
    assert (done.returncode, "newer than this Tidegauge" in line) == (2, True)


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("collect", "--otlp-http-port"),
        ("collect", "--otlp-grpc-port"),
        ("dashboard", "--dashboard-port"),
        ("up", "--otlp-http-port"),
        ("up", "--otlp-grpc-port"),
        ("up", "--dashboard-port"),
    ],
)
def test_a_port_in_use_is_one_line_and_exit_code_2(sqlite_url: str, verb: str, option: str) -> None:
    options = {
        "collect": ("--otlp-http-port", "--otlp-grpc-port"),
        "dashboard": ("--dashboard-port",),
        "up": ("--otlp-http-port", "--otlp-grpc-port", "--dashboard-port"),
    }[verb]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = [word for o in options for word in (o, str(port) if o == option else "0")]

        done = process(verb, "--database-url", sqlite_url, *ports)

    (line,) = done.stderr.splitlines()
    assert (done.returncode, f"127.0.0.1:{port}" in line) == (2, True), done.stderr


def test_a_time_that_is_none_is_refused(sqlite_url: str) -> None:
    result = run("calls", "--since", "yesterday-ish", "--database-url", sqlite_url)

    assert result.exit_code == 2
    assert "yesterday-ish" in result.stderr


def test_analyse_at_a_time_needs_once(sqlite_url: str) -> None:
    result = run("analyse", "--at", "2026-01-15T12:00:00Z", "--database-url", sqlite_url)

    assert result.exit_code == 2


def test_analyse_once_looks_as_if_it_were_the_given_time(database: str) -> None:
    at = (NOON + timedelta(minutes=90)).isoformat()

    done = run("analyse", "--once", "--at", at, "--database-url", database)

    assert done.exit_code == 0, done.output
    assert "roll: ok, looked at 2" in done.output.splitlines()
    engine = open_engine(database)
    with read(engine) as db:
        assert {one.started_at for one in jobs.last_runs(db)} == {NOON + timedelta(minutes=90)}
        buckets = rollups.read_buckets(
            db, "default", rollups.MINUTE_S, NOON, NOON + timedelta(hours=2)
        )
    engine.dispose()
    assert sum(bucket.calls for bucket in buckets) == 2


def test_migrate_loads_neither_the_dashboard_nor_the_statistics(sqlite_url: str) -> None:
    code = """
import sys
from tidegauge.cli import app
app(["migrate", "--database-url", sys.argv[1]], standalone_mode=False)
heavy = {"streamlit", "plotly", "scipy", "numpy", "pandas", "grpc", "uvicorn", "genai_prices"}
print(sorted(heavy & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, sqlite_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines() == ["The schema is up to date.", "[]"]


def test_a_reader_that_goes_away_leaves_no_traceback(
    sqlite_engine: Engine, sqlite_url: str
) -> None:
    with write(sqlite_engine) as db:
        spans.insert(db, [a_call(n, output="x" * 500) for n in range(900)], received_at=NOON)
    command = [sys.executable, "-m", "tidegauge", "calls", "--format", "jsonl"]
    command += ["--database-url", sqlite_url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == ""
