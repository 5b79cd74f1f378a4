"""What both edges share: a request to its receipt, and every error to what its sender should do."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from collector.answers import Signal
from collector.auth import Gate, Unauthenticated, WrongScope
from collector.hints import Hints
from collector.inflight import Held, InFlight, Overloaded
from collector.limits import BadEncoding, BadOtlp, TooLarge
from collector.metrics import Metrics
from collector.parcel import Parcel
from collector.rates import OverLimit, Rates
from collector.readers import Job, Readers
from collector.retry import Retry
from collector.sender import Sender
from collector.signals import Signals
from collector.writer import Receipt, Writer
from tidegauge import log, telemetry
from tidegauge.source import Source
from tidegauge.store.engine import StoreBusy


class Answer(StrEnum):
    """What a refusal asks of the sender."""

    BAD = "bad"  # send something else
    TOO_LARGE = "too_large"  # send less at once
    UNSUPPORTED = "unsupported"  # send it in another form
    UNKNOWN = "unknown"  # send a valid key
    FORBIDDEN = "forbidden"  # send a key that may do this
    SLOWER = "slower"  # send the same again, and less often
    LATER = "later"  # send the same again


AGAIN = (Answer.LATER, Answer.SLOWER)  # what is sent again is no loss


class Refusal(Exception):
    """A request is not stored. ``reason`` is one of a fixed few words, for the counters.

    ``retry_after_s`` is for the answers in AGAIN. More than 5 and clients drop their batch at once.
    """

    def __init__(
        self, answer: Answer, reason: str, message: str, *, retry_after_s: int = 1
    ) -> None:
        super().__init__(message)
        self.answer = answer
        self.reason = reason
        self.retry_after_s = retry_after_s


class Desk:
    """Takes requests from both edges and counts what becomes of them."""

    def __init__(
        self,
        writer: Writer,
        in_flight: InFlight,
        metrics: Metrics,
        *,
        project: str,
        gate: Gate,
        signals: Signals,
        readers: Readers,
        max_bytes: int,
        answer_within_s: float,
        clock: Callable[[], datetime],
        over_limit: Answer = Answer.LATER,
    ) -> None:
        self.metrics = metrics
        self.in_flight = in_flight
        self.max_bytes = max_bytes
        self.writer = writer
        self._project = project
        self._gate = gate
        self._rates = Rates(time.monotonic)
        self._retry = Retry(time.monotonic)
        self._hints = Hints()
        self._over_limit = over_limit
        self._readers = readers
        self._answer_within_s = answer_within_s
        self._clock = clock
        self._signals = signals

    def admit(self, headers: Mapping[str, str]) -> Sender:
        """Return who sends a request, from its headers or gRPC metadata.

        Called before anything of the body is read. Raises what refusal_of() can name.
        """
        user_agent = headers.get("user-agent", "")
        key = self._gate.admit(headers)
        if key is None:
            return Sender(self._project, user_agent=user_agent)
        try:
            self._rates.check(key)
        except OverLimit as over:
            self.metrics.add("tidegauge_over_limit_total", key=key.key_id)
            raise Refusal(
                self._over_limit, "over_limit", str(over), retry_after_s=over.retry_after_s
            ) from None
        return Sender(key.project, key.key_id, user_agent)

    async def export(
        self, body: bytes, held: Held, sender: Sender, *, json: bool, encoding: str | None
    ) -> Receipt:
        """Return once the spans of ``body`` are committed. Raises what refusal_of() can name."""
        quiet = telemetry.is_own(sender.user_agent)
        with telemetry.step("request", quiet=quiet, bytes=len(body), json=json) as request:
            reading = request.step("read")
            receipt = await self._stored(body, held, sender, reading, json=json, encoding=encoding)
            request.since("commit", reading.ended_ns)
            request.note(rejected=len(receipt.rejected))
            return receipt

    async def _stored(
        self,
        body: bytes,
        held: Held,
        sender: Sender,
        reading: telemetry.Step,
        *,
        json: bool,
        encoding: str | None,
    ) -> Receipt:
        self._rates.charge(sender.key_id, size=len(body))

        def read_and_charge(read: Callable[[], Parcel]) -> Parcel:
            with reading:
                parcel = read()
                spans = len(parcel.rows) + len(parcel.rejected)
                reading.note(spans=spans)
            self._rates.charge(sender.key_id, spans=spans)
            return parcel

        job = Job(body, json, encoding, sender, self._clock())
        receipt = self.in_flight.queue(
            held, lambda: self.writer.put(self._readers.begin(job, read_and_charge), held)
        )
        # A request that was answered "later" may still be committed: sent again, it changes nothing.
        async with asyncio.timeout(self._answer_within_s):
            stored = await asyncio.wrap_future(receipt)
        return replace(stored, warnings=self._hints.due(sender, stored.warnings, self._clock()))

    async def keep(
        self,
        signal: Signal,
        body: bytes,
        held: Held,
        sender: Sender,
        *,
        json: bool,
        encoding: str | None,
    ) -> Receipt:
        """Return once what we keep of logs or metrics is committed. Raises like export()."""
        self._rates.charge(sender.key_id, size=len(body))
        receipt = self._signals.put(signal, body, held, sender, json=json, encoding=encoding)
        async with asyncio.timeout(self._answer_within_s):
            return await asyncio.wrap_future(receipt)

    def refuse(
        self, protocol: str, signal: str, error: Exception, sender: Sender | None = None
    ) -> Refusal:
        """Return what to answer to ``error``, counted and, where it is our fault, logged.

        ``sender``: who was admitted before it happened, None: nobody was.
        """
        refusal = refusal_of(error)
        # One key that sends too much must not make all others wait for longer.
        if refusal.answer is Answer.LATER and refusal.reason != "over_limit":
            refusal.retry_after_s = max(refusal.retry_after_s, self._retry.after_s())
        self.count(protocol, signal, refusal.answer)
        self.metrics.add("tidegauge_refusals_total", reason=refusal.reason)
        if refusal.answer not in AGAIN:
            self.writer.note(f"refused:{refusal.reason}", source=_known(error, sender))
        if refusal.reason == "unexpected":
            log.get(__name__).error("unexpected", error=type(error).__name__, at=_place(error))
        # An error holds the frames it went through, they the body and the receipt, that the error:
        # such a circle would keep the memory until Python's collector happens to look.
        traceback.clear_frames(error.__traceback__)
        return refusal

    def count(self, protocol: str, signal: str, answer: str) -> None:
        """Count an answered request."""
        self.metrics.add(
            "tidegauge_requests_total", protocol=protocol, signal=signal, answer=answer
        )


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
        case Unauthenticated():
            return Refusal(Answer.UNKNOWN, "unauthenticated", str(error))
        case WrongScope():
            return Refusal(Answer.FORBIDDEN, "wrong_scope", str(error))
        case Overloaded():
            return Refusal(Answer.LATER, "overloaded", str(error))
        case StoreBusy():
            return Refusal(Answer.LATER, "store_busy", "the database does not answer now")
        case TimeoutError():
            return Refusal(Answer.LATER, "too_slow", "the database did not commit in time")
    return Refusal(Answer.LATER, "unexpected", "an unexpected error; it was logged")


def _known(error: Exception, sender: Sender | None) -> Source | None:
    """Return whose key it is; not what a sender says of itself: that may be anything."""
    if isinstance(error, WrongScope):
        return Source(error.key.project, error.key.key_id)
    return Source(sender.project, sender.key_id) if sender and sender.key_id else None


def wrong_part(refusal: Refusal) -> str:
    """Return the part of a request that is wrong; empty if that is not why it was refused."""
    if refusal.answer is not Answer.BAD:
        return ""
    return "content-encoding" if refusal.reason == "bad_encoding" else "body"


def _place(error: Exception) -> str:
    """Return where an error was raised. Not its message: that may hold content."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
