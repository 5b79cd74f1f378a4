"""Builds the dashboard's world through the store's own functions."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from analysis.rollup import roll
from tests.world import a_call, hex_id
from tidegauge.alert import Alert, Evidence, Links, Member, Notice, Severity, State, Text
from tidegauge.alert import alert_id as id_of
from tidegauge.bucket import Bucket, Measure, Measured
from tidegauge.call import Call, NotCounted
from tidegauge.clock import DAY, HOUR, MINUTE, floor
from tidegauge.finding import Change, Finding, Series, Signal, Verdict
from tidegauge.normal import HOURS_OF_PROFILE, Normal
from tidegauge.source import Source
from tidegauge.store import alerts, changes, jobs, ledger, normals, outbox, reviews, rollups, spans
from tidegauge.store.engine import Connection, Engine, write
from tidegauge.store.reviews import FlaggedItem

BOT = Series("default", "checkout-bot", "prod", "answer", "gpt-4o-mini")
SEARCH = Series("default", "search", "prod", "rewrite", "claude-3-5-haiku")
DIGEST = Series("default", "digest", "prod", "summarise", "gpt-4o")
USUAL = {BOT: (2.0, 430), SEARCH: (0.6, 60), DIGEST: (6.0, 900)}  # s, output tokens
RAISED = timedelta(minutes=47)  # before the end, the bot's answers got longer
HOSTILE = "![x](http://127.0.0.1:{port}/{name}.png) <img src=http://127.0.0.1:{port}/{name}.gif>"


def build(engine: Engine, now: datetime, *, per_minute: int = 1) -> None:
    """Fill an empty database: history as hours, the last seven hours as calls."""
    end = floor(now, MINUTE)
    recent = end - 7 * HOUR
    with write(engine) as db:
        rollups.register(db, USUAL, now - 14 * DAY)
        made = list(_calls(recent, end, per_minute))
        spans.insert(db, made, received_at=now - timedelta(seconds=4))
        _history(db, floor(recent, HOUR))
    roll(engine, now, max_series=100, limit=10_000)
    with write(engine) as db:
        _normals(db, now)
        _changes(db, end)
        _flags(db, made, now)
        _work(db, now)
        _alert(db, end)


def alert_of(now: datetime) -> Alert:
    """Return the world's one alert."""
    since = floor(now, MINUTE) - RAISED
    member = Member("output_tokens", BOT)
    text = Text(
        title="checkout-bot: outputs are 2.7x longer than usual",
        impact="1,200 of 1,260 calls since then are longer than usual; p95 latency is 2.6x.",
        evidence=(
            Evidence("Output tokens", "1,140 | 430 usual"),
            Evidence("Latency", "5.4 s | 2.0 s usual"),
            Evidence("Calls", "126"),
        ),
        likely_cause="Prompt checkout/answer went from version 91 to 92 at the same minute.",
        first_action="Take the prompt back to version 91, or ask whether longer answers are meant.",
        links=Links(alert="", chart="", runbook="", silence=""),
    )
    return Alert(
        alert_id=id_of(member.fingerprint, since),
        fingerprint=member.fingerprint,
        signal=member.signal,
        series=BOT,
        members=(member, Member("latency", BOT)),
        state=State.FIRING,
        severity=Severity.WARNING,
        opened_at=since + 10 * MINUTE,
        starts_at=since,
        updated_at=since + 10 * MINUTE,
        text=text,
    )


def _calls(since: datetime, until: datetime, per_minute: int) -> Iterator[Call]:
    dice = random.Random(7)
    minutes = int((until - since) / MINUTE)
    for series, (latency, tokens) in USUAL.items():
        for i in range(minutes * per_minute):
            at = since + i * MINUTE / per_minute
            longer = 2.65 if series is BOT and at >= until - RAISED else 1.0
            stretch = math.exp(dice.gauss(0, 0.25))
            yield _one(series, i, at, latency * longer * stretch, tokens * longer * stretch, dice)


def _one(
    series: Series, i: int, at: datetime, latency: float, tokens: float, dice: random.Random
) -> Call:
    cut = dice.random() < 0.01
    failed = dice.random() < 0.005
    return a_call(
        (series.service, i),
        started_at=at,
        duration_s=latency,
        service=series.service,
        environment=series.environment,
        use_case=series.use_case,
        request_model=series.model,
        output_tokens=None if failed else int(tokens),
        max_tokens=4096,
        truncated=None if failed else cut,
        finish_reasons=("length",) if cut else ("stop",),
        error_type="rate_limit" if failed else None,
        cost_usd=Decimal("0.0021"),
        input=[
            {"role": "system", "content": "You answer questions about orders."},
            {"role": "user", "content": f"Where is order {4000 + i}?"},
        ],
        output=[{"role": "assistant", "content": f"Order {4000 + i} left the warehouse and"}],
    )


def _history(db: Connection, until: datetime) -> None:
    first = until - 14 * DAY
    hours = int((until - first) / HOUR)
    made = [_hour(s, first + i * HOUR) for s in USUAL for i in range(hours)]
    rollups.replace(db, "default", 3600, [first + i * HOUR for i in range(hours)], made)


def _hour(series: Series, at: datetime) -> Bucket:
    dice = random.Random(f"{series.service}{at}")
    latency, tokens = USUAL[series]
    calls = int(60 * (1 + 0.6 * math.sin((at.hour - 9) / 24 * 2 * math.pi)))
    stretch = [math.exp(dice.gauss(0, 0.25)) for _ in range(calls)]
    return Bucket(
        series=series,
        start=at,
        calls=calls,
        errors=dice.randint(0, 1),
        truncated=dice.randint(0, 1),
        truncation_known=calls,
        cost_usd=0.0021 * calls,
        cost_known=calls,
        measures={
            Measure.LATENCY: Measured.of(latency * x for x in stretch),
            Measure.OUTPUT_TOKENS: Measured.of(tokens * x for x in stretch),
            Measure.INPUT_TOKENS: Measured.of(400.0 for _ in stretch),
        },
    )


def _normals(db: Connection, now: datetime) -> None:
    learned: list[tuple[Normal, dict[str, float]]] = []
    for series, (latency, tokens) in USUAL.items():
        for signal, level in ((Signal.LATENCY, latency), (Signal.OUTPUT_TOKENS, tokens)):
            learned.append((_normal(series, signal, math.log(level), 0.06, now), {}))
        for signal in (Signal.TRUNCATION, Signal.ERRORS):
            learned.append((_normal(series, signal, 0.01, 0.004, now), {}))
    normals.write_normals(db, learned)
    normals.write_findings(
        db, [_finding(one, now) for one, _ in learned if one.signal is not Signal.ERRORS]
    )


def _normal(series: Series, signal: Signal, level: float, sd: float, now: datetime) -> Normal:
    log_scale = signal in (Signal.LATENCY, Signal.OUTPUT_TOKENS)
    ups = (0.04 * math.sin(hour / 24 * 2 * math.pi) for hour in range(HOURS_OF_PROFILE))
    profile = tuple(level + up if log_scale else level * (1 + up) for up in ups)
    return Normal(
        series=series,
        signal=signal,
        learned_at=now,
        hours=330,
        log_scale=log_scale,
        profile=profile,
        wander_sd=sd,
    )


def _finding(normal: Normal, now: datetime) -> Finding:
    until = floor(now, MINUTE) - MINUTE
    moved = normal.series is BOT and normal.signal is Signal.OUTPUT_TOKENS
    usual = normal.usual(until)
    return Finding(
        series=normal.series,
        signal=normal.signal,
        verdict=Verdict.MOVED if moved else Verdict.USUAL,
        why="outside its usual range" if moved else "inside its usual range",
        since=until - 15 * MINUTE,
        until=until,
        calls=15,
        now=usual * (2.65 if moved else 1.0),
        usual=usual,
    )


def _changes(db: Connection, end: datetime) -> None:
    raised = end - RAISED
    version = _change(BOT, "deploy", raised - 25 * MINUTE, "service_version", "4f2c19", "4f2c1a")
    prompt = _change(BOT, "prompt", raised, "prompt_version", "91", "92")
    model = _change(SEARCH, "model", end - 3 * HOUR, "request_model", "haiku-3", "haiku-3-5")
    changes.write_changes(db, [version, prompt, model])


def _change(series: Series, kind: str, at: datetime, field: str, before: str, after: str) -> Change:
    return Change(series=series, kind=kind, at=at, field=field, before=before, after=after)


def _flags(db: Connection, made: list[Call], now: datetime) -> None:
    cut = [call for call in made if call.truncated]
    reviews.flag(
        db,
        [
            FlaggedItem(
                project="default",
                trace_id=call.trace_id,
                span_id=call.span_id,
                reason="truncated",
                evidence=f"Cut off after {call.output_tokens:,} tokens of at most 4,096.",
                probability=None,
                priority=3.0 - i / 100,
                service=call.service,
                call_started_at=call.started_at,
            )
            for i, call in enumerate(cut)
        ],
        now - 20 * MINUTE,
    )


def _work(db: Connection, now: datetime) -> None:
    sdk, agent = "python/opentelemetry 1.45.2", "OTel-OTLP-Exporter-Python/1.45.2"
    bot, search, digest = (Source("default", "", s.service, sdk, agent) for s in USUAL)
    counts = {(one, "accepted"): 7 * 60 for one in (bot, search, digest)}
    more = {(bot, "duplicate"): 3, (bot, "rejected:bad_span_id"): 1, (digest, "late"): 2}
    ledger.record(db, now - timedelta(seconds=4), counts | more)
    for job, looked in (("rollup", 42), ("detect", 36), ("deliver", 0)):
        jobs.start(db, job, now - timedelta(seconds=40))
        jobs.finish(
            db, job, now - timedelta(seconds=40), now - timedelta(seconds=39), looked_at=looked
        )
    outbox.register(db, {"oncall": "https://oncall.example/hook"})


def _alert(db: Connection, now: datetime) -> None:
    one = alert_of(now)
    alerts.open_alert(
        db, Notice(kind="alert.firing", at=one.opened_at, reason="first_notification", alert=one)
    )


def a_trace(now: datetime, **fields: object) -> list[Call]:
    """Return a trace of an agent around one call; ``fields`` change the call."""
    trace = hex_id("agent-trace", 32)
    root = a_call(
        "root",
        trace_id=trace,
        name="invoke_agent helper",
        started_at=now - 2 * MINUTE,
        duration_s=3.0,
        not_counted=NotCounted.WRAPPER,
    )
    call = a_call(
        "leaf",
        trace_id=trace,
        parent_span_id=root.span_id,
        started_at=now - 2 * MINUTE,
        **fields,
    )
    return [root, call]
