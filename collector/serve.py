"""The collector process: schema, store, writer, both edges; from start to a clean stop."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from functools import partial

import uvloop

from collector import edges, heap
from collector.auth import NoKey, Rule, open_gate, rule
from collector.capture import Plans
from collector.desk import Answer, Desk
from collector.health import Doctor
from collector.inflight import InFlight
from collector.joiner import Joiner
from collector.limits import Limits
from collector.metrics import Metrics
from collector.ports import PortTaken, listen
from collector.readers import Readers, Rulebook
from collector.signals import Signals
from collector.tls import Tls, TlsUnusable, files_of
from collector.writer import Writer
from tidegauge import clock, log, telemetry
from tidegauge.policy import BadPolicy, read_policy
from tidegauge.settings import Settings
from tidegauge.store import migrate
from tidegauge.store.engine import Engine, StoreBusy, StoreUnusable, open_engine
from tidegauge.telemetry import BadEndpoint

MAX_SPANS = 10_000  # in a request; more could not be stored before its sender gives up
PATIENCE_S = 8.0  # with one statement; the one writer waits no longer for a server that hangs
STOP_WITHIN_S = 9.5  # for everything; ten seconds after SIGTERM others send SIGKILL
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings) -> None:
    """Run the collector until SIGTERM or SIGINT; wait a minute for a database that starts.

    Where it cannot start it says why in one line on standard error and exits with code 2.
    """
    log.configure(settings.log_format, process="collector")
    early = _early_stop()
    try:
        files = files_of(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
        tls = Tls(files) if files else None
        policy = read_policy(settings.policy_file)
        salt = settings.content_salt.get_secret_value()
        bounds = Limits(body_bytes=settings.max_body_bytes, spans=MAX_SPANS)
        book = Rulebook(policy, salt, bounds)
        plans = Plans(policy, salt)
        migrate.upgrade_when_up(settings.database_url, early, _say_that_it_waits)
        engine = open_engine(settings.database_url, patience_s=PATIENCE_S)
        heap.give_back()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, engine, early, tls, plans, book))
    except (
        StoreUnusable,
        StoreBusy,
        PortTaken,
        NoKey,
        TlsUnusable,
        BadEndpoint,
        BadPolicy,
    ) as error:
        if early.is_set():
            return  # stopped while it waited for the database
        print(f"tidegauge collect: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _say_that_it_waits(why: str) -> None:
    log.get(__name__).warning("database does not answer yet", why=why, waits_s=migrate.WAIT_S)


def _say_who_may_send(settings: Settings, who: Rule) -> None:
    logger = log.get(__name__)
    if settings.insecure and who is Rule.OPEN:
        logger.warning("anybody who reaches this address may send", host=settings.host)
    else:
        logger.info("API keys", rule=str(who))


async def _serve(
    settings: Settings,
    engine: Engine,
    early: threading.Event,
    tls: Tls | None,
    plans: Plans,
    book: Rulebook,
) -> None:
    stop = _stop_signal(early)
    metrics = Metrics()
    who = rule(settings.host, require_keys=settings.require_keys, insecure=settings.insecure)
    gate = open_gate(engine, settings.host, who, clock=clock.now, metrics=metrics)
    with listen(settings.host, settings.otlp_http_port) as http_socket:
        telemetry.start(
            settings.telemetry_endpoint,
            "collector",
            sample=settings.telemetry_sample,
            own_ports=(http_socket.getsockname()[1], settings.otlp_grpc_port),
        )
        writer = Writer(engine, settings.project, clock=clock.now, metrics=metrics)
        readers = Readers(settings.reader_count, book)
        signals = Signals(
            engine,
            plan_of=plans.of,
            bounds=book.bounds,
            clock=clock.now,
            note=writer.note,
            metrics=metrics,
        )
        joiner = Joiner(engine, clock=clock.now, cost=plans.prices.cost_usd)
        desk = Desk(
            writer,
            InFlight(settings.queue_bytes),
            metrics,
            project=settings.project,
            gate=gate,
            over_limit=Answer.SLOWER if settings.over_limit_status == "429" else Answer.LATER,
            signals=signals,
            readers=readers,
            max_bytes=book.bounds.body_bytes,
            answer_within_s=settings.answer_within_s,
            clock=clock.now,
        )
        doctor = Doctor(engine, writer, desk.in_flight, metrics)
        stopped_at = time.monotonic()
        try:
            say = partial(_say_who_may_send, settings, who)
            stopped_at = await edges.run(settings, desk, doctor, http_socket, stop, tls, ready=say)
        finally:
            left_s = STOP_WITHIN_S - (time.monotonic() - stopped_at)
            joiner.close(1.0)
            await asyncio.to_thread(signals.close)
            await asyncio.to_thread(writer.close, max(left_s, 1.0))
            await asyncio.to_thread(readers.close)
            doctor.close()
            gate.close()
            engine.dispose()
            await asyncio.to_thread(telemetry.stop)


def _early_stop() -> threading.Event:
    """Return what a signal sets that comes before the event loop runs."""
    stop = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    return stop


def _stop_signal(early: threading.Event) -> asyncio.Event:
    stop = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if early.is_set():
        stop.set()
    return stop
