"""Structured logs, the same in every process. Never content, never keys."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger


class _Sink:
    """A stream whose reader may be gone, or whose disk may be full.

    A line that cannot be written is lost. Raised where it was logged, the error would end what the
    process is there for.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(log_format: str = "text", *, process: str) -> None:
    """Send every log line of this process to standard error, as text or as JSON lines."""

    # As a processor: a context variable would be known to the thread that set it alone.
    def name_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, "process": process}

    renderer = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            name_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Sink(sys.stderr))),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of one module. It follows a later configure(), unlike one of bind()."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(module=name)
    return logger
