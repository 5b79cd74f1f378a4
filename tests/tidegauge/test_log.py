"""Logs: one format for a whole process, on standard error, from every thread."""

from __future__ import annotations

import io
import json
import sys
from threading import Thread

import pytest

from tidegauge import log

EARLY = log.get("early")  # as every module does: before configure() is called


def test_a_logger_made_before_the_configuration_follows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("json", process="collect")
    EARLY.info("started", port=4318)
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "started",
        "level": "info",
        "module": "early",
        "port": 4318,
        "process": "collect",
    }


def test_lines_of_other_threads_name_the_process_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", process="analyse")
    thread = Thread(target=lambda: log.get("worker").warning("late"))
    thread.start()
    thread.join()
    assert json.loads(capsys.readouterr().err)["process"] == "analyse"


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text", process="analyse")
    EARLY.info("alert opened", alert="A-1")
    assert "alert opened" in capsys.readouterr().err


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken())
    log.configure("json", process="collect")
    EARLY.error("nobody reads this")
    log.configure("text", process="collect")
    EARLY.error("nor this")
