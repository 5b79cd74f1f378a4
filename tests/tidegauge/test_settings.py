"""Settings: from the environment, checked, never guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tidegauge.settings import BadSettings, Settings, data_folder, load, unknown_names


def test_the_defaults_bind_the_loopback_and_the_standard_ports() -> None:
    found = Settings()

    assert found.host == "127.0.0.1"
    assert (found.otlp_http_port, found.otlp_grpc_port, found.dashboard_port) == (4318, 4317, 8501)


def test_the_database_lies_in_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert Settings().database_url == f"sqlite:///{tmp_path}/tidegauge/tidegauge.db"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/ana")
    assert data_folder() == Path("/home/ana/.local/share/tidegauge")


def test_the_environment_is_read_whatever_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_OTLP_HTTP_PORT", "5000")
    monkeypatch.setenv("tidegauge_project", "shop")

    assert (Settings().otlp_http_port, Settings().project) == (5000, "shop")


def test_networks_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_WEBHOOK_ALLOW_NETWORKS", " 10.0.0.0/8, ,192.168.1.0/24")

    assert Settings().webhook_allow_networks == ("10.0.0.0/8", "192.168.1.0/24")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x/y"),
        ("OTLP_HTTP_PORT", "65536"),
        ("DASHBOARD_PORT", "-1"),
        ("ANALYSE_EVERY_S", "0"),
        ("MAX_BODY_BYTES", "1"),
        ("ANSWER_WITHIN_S", "9"),
        ("PROJECT", ""),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_value_out_of_range_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_{name}", value)

    with pytest.raises(ValidationError) as error:
        Settings()
    assert [problem["loc"] for problem in error.value.errors()] == [(name.lower(),)]


def test_the_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_WEBHOOK_SECRET", "whsec_sesame")

    assert "sesame" not in repr(Settings())


@pytest.mark.parametrize(
    ("host", "public", "expected"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:8501"),
        ("0.0.0.0", "", "http://127.0.0.1:8501"),  # noqa: S104
        ("10.0.0.5", "", "http://10.0.0.5:8501"),
        ("0.0.0.0", "https://tide.example/", "https://tide.example"),  # noqa: S104
    ],
)
def test_the_dashboard_has_an_address_that_can_be_opened(
    host: str, public: str, expected: str
) -> None:
    assert Settings(host=host, public_url=public).dashboard_url == expected


def test_misspelt_variables_are_found_and_those_of_the_tests_are_not() -> None:
    names = ["TIDEGAUGE_HOST", "tidegauge_hots", "TIDEGAUGE_TEST_POSTGRES_DSN", "PATH"]

    assert unknown_names(names) == ["tidegauge_hots"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTLP_HTTP_PORT", "x", "TIDEGAUGE_OTLP_HTTP_PORT: "),
        ("HOSTT", "x", "TIDEGAUGE_HOSTT: no such setting"),
        ("DATABASE_URL", "mysql://me:secret@host", "TIDEGAUGE_DATABASE_URL: "),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_{name}", value)
    with pytest.raises(BadSettings) as caught:
        load()
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_is_given_wins_and_nothing_given_changes_nothing() -> None:
    assert load(host="10.0.0.2", project=None) == Settings(host="10.0.0.2")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["collector", "analysis", "dashboard"])
def test_every_process_says_it_in_the_same_words(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", package],
        env={**os.environ, "TIDEGAUGE_HOSTT": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "TIDEGAUGE_HOSTT: no such setting; correct the name or unset it" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_value_is_the_default_but_not_for_a_text_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("READERS", "MAX_CONNECTIONS", "MAX_QUEUE_BYTES", "POLICY_FILE", "TLS_CERT_FILE")
    for name in (*names, "OTLP_HTTP_PORT", "WEBHOOK_URL", "CORS_ORIGINS"):
        monkeypatch.setenv(f"TIDEGAUGE_{name}", "")
    assert load() == Settings.model_validate({})
    assert (load().readers, load().policy_file, load().otlp_http_port) == (None, None, 4318)
    monkeypatch.setenv("TIDEGAUGE_PROJECT", "")
    with pytest.raises(BadSettings, match=r"TIDEGAUGE_PROJECT: .*at least 1 character"):
        load()


def test_a_queue_that_memory_cannot_hold_is_refused() -> None:
    assert load(max_queue_bytes=2**28, max_memory_bytes=2**28).queue_bytes == 2**28
    with pytest.raises(BadSettings, match=r"TIDEGAUGE_MAX_QUEUE_BYTES: .*MAX_MEMORY_BYTES"):
        load(max_queue_bytes=2**28 + 1, max_memory_bytes=2**28)
