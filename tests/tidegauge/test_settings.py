"""Settings: from the environment, checked, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tidegauge.settings import Settings, data_folder, unknown_names


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
