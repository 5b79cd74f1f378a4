"""A small named world of findings, changes and alerts, and a receiver that verifies signatures."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tidegauge.alert import (
    PROMPT,
    Alert,
    Evidence,
    Links,
    Member,
    Notice,
    Severity,
    State,
    Text,
    alert_id,
)
from tidegauge.finding import Change, Finding, Series, Signal, Verdict

SECRET = "whsec_" + base64.b64encode(b"a key of at least 24 bytes").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of 24 bytes or more").decode()
BOT = Series("default", "checkout-bot", "prod", "answer", "gpt-4o-mini")
MIN = timedelta(minutes=1)

_USUAL: dict[Signal, tuple[float, float]] = {  # usual, moved
    Signal.LATENCY: (3.0, 4.2),
    Signal.OUTPUT_TOKENS: (430.0, 1140.0),
    Signal.INPUT_TOKENS: (400.0, 520.0),
    Signal.TRUNCATION: (0.006, 0.18),
    Signal.ERRORS: (0.004, 0.25),
}


def a_finding(
    signal: Signal,
    verdict: Verdict,
    until: datetime,
    *,
    series: Series = BOT,
    minutes: int = 5,
    calls: int = 4077,
    **fields: Any,
) -> Finding:
    """Return what a detector says of the ``minutes`` before ``until``."""
    usual, moved = _USUAL[signal]
    known: dict[str, Any] = {}
    if verdict is not Verdict.UNKNOWN:
        known = {
            "now": moved if verdict is Verdict.MOVED else usual,
            "usual": usual,
            "usual_low": usual * 0.9,
            "usual_high": usual * 1.1,
            "strength": 20.0 if verdict is Verdict.MOVED else 0.5,
        }
    return Finding(
        series=series,
        signal=signal,
        verdict=verdict,
        why="a test says so",
        since=until - minutes * MIN,
        until=until,
        calls=calls,
        **(known | fields),
    )


def moved(signal: Signal, until: datetime, **fields: Any) -> Finding:
    return a_finding(signal, Verdict.MOVED, until, **fields)


def usual(signal: Signal, until: datetime, **fields: Any) -> Finding:
    return a_finding(signal, Verdict.USUAL, until, **fields)


def unknown(signal: Signal, until: datetime, **fields: Any) -> Finding:
    return a_finding(signal, Verdict.UNKNOWN, until, **fields)


def a_change(kind: str, at: datetime, **fields: Any) -> Change:
    """Return a change of ``kind``: prompt, parameter, deploy, model, provider, or silent."""
    values: dict[str, tuple[str, str, str]] = {
        "prompt": ("prompt_version", "91", "92"),
        "parameter": ("max_tokens", "1024", "256"),
        "deploy": ("service_version", "1.4.0", "1.5.0"),
        "model": ("response_model", "gpt-a", "gpt-b"),
        "provider": ("provider", "openai", "azure"),
        "silent": ("prompt_checksum", "9ab2c0ffee41", "5d1c0ffeee0"),
    }
    name, before, after = values[kind]
    given: dict[str, Any] = {
        "series": BOT,
        "kind": "prompt" if kind == "silent" else kind,
        "at": at,
        "field": name,
        "before": before,
        "after": after,
        "silent": kind == "silent",
    }
    return Change(**(given | fields))


TEXT = Text(
    title="checkout-bot: output length 1,140 tokens, 2.7x normal",
    impact="All calls.",
    evidence=(Evidence("Output length", "1,140 tokens (normal 430 tokens)"),),
    likely_cause="Likely the prompt.",
    first_action="Roll it back.",
    links=Links(alert="http://t/a", chart="http://t/c", runbook="http://t/r", silence="http://t/s"),
)


def an_alert(at: datetime, signal: str = "output_tokens", **fields: Any) -> Alert:
    """Return an alert that opened at ``at`` and fires."""
    series = fields.pop("series", BOT)
    member = Member(signal, series)
    given: dict[str, Any] = {
        "alert_id": alert_id(member.fingerprint, at),
        "fingerprint": member.fingerprint,
        "signal": signal,
        "series": series,
        "members": (member,),
        "state": State.FIRING,
        "severity": Severity.WARNING,
        "opened_at": at,
        "starts_at": at,
        "updated_at": at,
        "text": TEXT,
    }
    return Alert(**(given | fields))


def a_prompt_alert(at: datetime, **fields: Any) -> Alert:
    return an_alert(at, PROMPT, **fields)


def fires(alert: Alert, at: datetime) -> Notice:
    return Notice(kind="alert.firing", at=at, reason="first_notification", alert=alert)


def updates(alert: Alert, at: datetime) -> Notice:
    return Notice(
        kind="alert.updated",
        at=at,
        reason="severity_rose",
        alert=replace(alert, sequence=alert.sequence + 1, updated_at=at),
    )


def resolves(alert: Alert, at: datetime) -> Notice:
    over = replace(
        alert, state=State.RESOLVED, sequence=alert.sequence + 1, updated_at=at, ends_at=at
    )
    return Notice(kind="alert.resolved", at=at, reason="back_to_usual", alert=over)


@dataclass
class Receiver:
    """What a webhook receiver has been sent, and what it answers next."""

    url: str = ""
    answers: list[tuple[int, Mapping[str, str], bytes]] = field(default_factory=list)
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def then(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Answer the next request like this; the last answer is repeated."""
        self.answers.append((status, headers or {}, body))

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.seen]


@contextmanager
def a_receiver(*statuses: int) -> Iterator[Receiver]:
    """Run a real HTTP server on a free loopback port that keeps what it is sent."""
    receiver = Receiver()
    for status in statuses:
        receiver.then(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
            answers = receiver.answers
            status, headers, answer = (
                (200, {}, b"ok")
                if not answers
                else answers.pop(0)
                if len(answers) > 1
                else answers[0]
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook?team=a"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
