"""What both edges share: a request to its receipt, and every error to what its sender should do."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial

from collector.answers import Signal
from collector.inflight import Held, InFlight, Overloaded
from collector.intake import take_in
from collector.limits import BadEncoding, BadOtlp, Limits, TooLarge
from collector.metrics import Metrics
from collector.redact import Rules
from collector.sender import Sender
from collector.writer import Receipt, Writer
from tidegauge import log
from tidegauge.store.engine import StoreBusy


class Answer(StrEnum):
    """What a refusal asks of the sender."""

    BAD = "bad"  # send something else
    TOO_LARGE = "too_large"  # send less at once
    UNSUPPORTED = "unsupported"  # send it in another form
    UNKNOWN = "unknown"  # send a valid key
    FORBIDDEN = "forbidden"  # send a key that may do this
    LATER = "later"  # send the same again


class Refusal(Exception):
    """A request is not stored. ``reason`` is one of a fixed few words, for the counters."""

    def __init__(self, answer: Answer, reason: str, message: str) -> None:
        super().__init__(message)
        self.answer = answer
        self.reason = reason


class Desk:
    """Takes requests from both edges and counts what becomes of them."""

    def __init__(
        self,
        writer: Writer,
        in_flight: InFlight,
        metrics: Metrics,
        *,
        project: str,
        rules: Rules,
        bounds: Limits,
        answer_within_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self.metrics = metrics
        self.in_flight = in_flight
        self.max_bytes = bounds.body_bytes
        self.writer = writer
        self._project = project
        self._take_in = partial(take_in, rules=rules, bounds=bounds)
        self._answer_within_s = answer_within_s
        self._clock = clock
        self._warned: set[Signal] = set()

    def admit(self, headers: Mapping[str, str]) -> Sender:
        """Return who sends a request, from its headers or gRPC metadata. Raises Refusal.

        Called before anything of the body is read.
        """
        return Sender(self._project, user_agent=headers.get("user-agent", ""))

    async def export(
        self, body: bytes, held: Held, sender: Sender, *, json: bool, encoding: str | None
    ) -> Receipt:
        """Return once the spans of ``body`` are committed. Raises what refusal_of() can name."""
        read = partial(
            self._take_in,
            body,
            sender=sender,
            json=json,
            encoding=encoding,
            received_at=self._clock(),
        )
        receipt = self.writer.put(read, held)
        # A request that was answered "later" may still be committed: sent again, it changes nothing.
        async with asyncio.timeout(self._answer_within_s):
            return await asyncio.wrap_future(receipt)

    def refuse(self, protocol: str, signal: str, error: Exception) -> Refusal:
        """Return what to answer to ``error``, counted and, where it is our fault, logged."""
        refusal = refusal_of(error)
        self.count(protocol, signal, refusal.answer)
        self.metrics.add("tidegauge_refusals_total", reason=refusal.reason)
        if refusal.answer != Answer.LATER:  # what is sent again is no loss
            self.writer.note(f"refused:{refusal.reason}")
        if refusal.reason == "unexpected":
            log.get(__name__).error("unexpected", error=type(error).__name__, at=_place(error))
        return refusal

    def count(self, protocol: str, signal: str, answer: str) -> None:
        """Count an answered request."""
        self.metrics.add(
            "tidegauge_requests_total", protocol=protocol, signal=signal, answer=answer
        )

    def not_stored_yet(self, signal: Signal) -> str:
        """Return a warning for a signal that we take and drop; once, as some clients log each."""
        if signal in self._warned:
            return ""
        self._warned.add(signal)
        log.get(__name__).warning("signal is accepted but not stored yet", signal=signal)
        return f"{signal} are accepted, but Tidegauge does not store them yet"


def refusal_of(error: Exception) -> Refusal:
    """Return what an error means for the sender. What we do not know is temporary: data may be good.

    >>> refusal_of(StoreBusy("locked")).answer, refusal_of(KeyError("x")).reason
    (<Answer.LATER: 'later'>, 'unexpected')
    """
    match error:
        case Refusal():
            return error
        case TooLarge():
            return Refusal(Answer.TOO_LARGE, "too_large", str(error))
        case BadEncoding(unknown=True):
            return Refusal(Answer.UNSUPPORTED, "unknown_encoding", str(error))
        case BadEncoding():
            return Refusal(Answer.BAD, "bad_encoding", str(error))
        case BadOtlp():
            return Refusal(Answer.BAD, "bad_otlp", str(error))
        case Overloaded():
            return Refusal(Answer.LATER, "overloaded", str(error))
        case StoreBusy():
            return Refusal(Answer.LATER, "store_busy", "the database does not answer now")
        case TimeoutError():
            return Refusal(Answer.LATER, "too_slow", "the database did not commit in time")
    return Refusal(Answer.LATER, "unexpected", "an unexpected error; it was logged")


def _place(error: Exception) -> str:
    """Return where an error was raised. Not its message: that may hold content."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
