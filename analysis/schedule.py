"""Every scheduled job on one page: name, cadence, function."""

from __future__ import annotations

import logging
import math
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from analysis import alerting, changes, prompts, retention
from analysis.alerts import deliver
from analysis.alerts.addresses import networks
from analysis.alerts.deliver import Place
from analysis.alerts.signature import BadSecret, key_of
from analysis.detect import detect
from analysis.learn import relearn
from analysis.rollup import roll
from analysis.sampling import Reviewing
from analysis.windows import settled
from tidegauge import clock, log, telemetry
from tidegauge.policy import Policy, read_policy
from tidegauge.pricing import Prices
from tidegauge.settings import Settings
from tidegauge.store import changes as watched
from tidegauge.store import jobs, ledger, outbox, rollups, traces
from tidegauge.store.engine import Engine, StoreBusy, open_engine, read, write
from tidegauge.store.jobs import LeaseLost
from tidegauge.store.migrate import upgrade

LEASE = "analyst"
LEASE_S = 15.0  # a stopped analyst's work is taken over after this long
_RENEW_S = 5.0
_DELIVER_S = 2.0
_TIDY_S = 3600.0
_EXPIRE_S = 10.0
_MINUTES_AT_ONCE = 1440  # one pass of roll
_KEEP_RUNS = timedelta(days=7)
_WAIT_FOR_STORE_S = 60.0  # at start; a database that comes up later than this is a mistake

_log = log.get("schedule")
_random = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every job is given."""

    engine: Engine
    policy: Policy
    base_url: str
    places: Mapping[str, Place]
    now: datetime
    clock: Callable[[], datetime]  # for deliver: each attempt is signed with its own time


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Its function returns how much it looked at."""

    name: str
    run: Callable[[Work], int]
    # A job that runs every few seconds and found nothing leaves a row only once a minute.
    often: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """How one run of a job went; ``error`` is the class of what stopped it."""

    job: str
    looked_at: int | None
    error: str | None = None


def _not_settled(error: Exception) -> None:
    """Say that a trace stays as its spans said; the error's text may hold content."""
    _log.error("trace not settled", error=type(error).__name__)


def _roll(work: Work) -> int:
    """Put traces together, then count stale minutes again; with them changes and calls to review."""
    cost = Prices(work.policy.prices).cost_usd
    traces.settle_due(work.engine, cost=cost, failed=_not_settled)
    with read(work.engine) as db:
        stale = rollups.count_stale(db)
    watchers = (prompts.Renaming(changes.watch), Reviewing(work.policy))
    return sum(
        roll(
            work.engine,
            work.now,
            max_series=work.policy.max_series,
            limit=_MINUTES_AT_ONCE,
            watchers=watchers,
        )
        for _ in range(math.ceil(stale / _MINUTES_AT_ONCE))
    )


def _slots(work: Work) -> int:
    """Find the prompts that are fillings of one template."""
    return prompts.find_slots(work.engine, work.now)


def _learn(work: Work) -> int:
    """Learn what is normal, where that is due: hourly, and when old calls have arrived."""
    return relearn(work.engine, work.policy, work.now)


def _detect(work: Work) -> int:
    """Ask every detector, and bring the alerts up to date."""
    findings = detect(work.engine, work.policy, work.now)
    alerting.judge(work.engine, findings, work.policy, work.base_url, work.now)
    with write(work.engine) as db:
        jobs.set_mark(db, "detect", settled(work.now, work.policy.settle_s))
    return len(findings)


def _deliver(work: Work) -> int:
    """Send the messages that are due."""
    return deliver.deliver(work.engine, work.places, work.clock, jitter=_random.random)


def _tidy(work: Work) -> int:
    """Forget job runs, hours watched for changes, prompts, sent messages and counts, if old."""
    unused = prompts.forget(work.engine, work.policy, work.now)
    with write(work.engine) as db:
        runs = unused + jobs.forget_runs(db, work.now - _KEEP_RUNS)
        runs += watched.forget_hours(db, work.now - changes.KEEP)
        runs += ledger.forget(db, work.now - ledger.KEEP)
        return runs + outbox.forget(db, work.now - deliver.KEEP)


def _expire(work: Work) -> int:
    """Delete content and numbers that are past their time, a few seconds' worth."""
    pace = retention.Pace(time.monotonic, time.sleep)
    return retention.expire(work.engine, work.policy, work.now, pace)


#: One after the other: each needs what the one before it wrote. Every settings.analyse_every_s.
LOOK = (
    Job("roll", _roll),
    Job("prompts", _slots, often=True),
    Job("learn", _learn),
    Job("detect", _detect),
)
#: Every _DELIVER_S seconds.
SEND = (Job("deliver", _deliver, often=True),)
#: Every _TIDY_S seconds.
TIDY = (Job("tidy", _tidy),)
#: Every _EXPIRE_S seconds: at any time it deletes as much as has come in.
EXPIRE = (Job("expire", _expire, often=True),)


class NotMyTurn(Exception):
    """Another analyst holds the lease and works on this database."""


def run_once(engine: Engine, settings: Settings, policy: Policy, now: datetime) -> list[Done]:
    """Run every job once, up to ``now``, as the one analyst; raises NotMyTurn where one works.

    Raises BadSecret or BadNetwork for a webhook that cannot be used.
    """
    places = places_of(settings)
    turn = Turn(engine, places)
    if not turn.take():
        raise NotMyTurn("another analyst works on this database; stop it first")
    try:
        telemetry.start(settings.telemetry_endpoint, "analyst")
        work = _work(turn, settings, policy, now, lambda: now)
        return [run_job(job, work, lambda: now) for job in (*LOOK, *SEND, *TIDY, *EXPIRE)]
    finally:
        turn.release()
        telemetry.stop()


def run_job(job: Job, work: Work, tell_time: Callable[[], datetime]) -> Done:
    """Run one job and keep how it went. Whatever stops it stops this run only.

    Raises LeaseLost, after which nothing more may be written.
    """
    try:
        if not job.often:
            with write(work.engine) as db:
                jobs.start(db, job.name, work.now)
        with telemetry.step(f"job {job.name}") as own:
            done = Done(job.name, job.run(work))
            own.note(looked_at=done.looked_at)
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001 - the loop of this process: the next run tries again
        done = Done(job.name, None, type(error).__name__)
        # The error's text may hold content; its place in the code does not.
        _log.error("job failed", job=job.name, error=done.error, where=_where(error))
    _keep(job, done, work, tell_time())
    return done


def _keep(job: Job, done: Done, work: Work, now: datetime) -> None:
    try:
        if job.often and not done.looked_at and done.error is None and _fresh(job, work):
            return
        with write(work.engine) as db:
            if job.often:
                jobs.start(db, job.name, work.now)
            looked_at = done.looked_at
            jobs.finish(db, job.name, work.now, now, looked_at=looked_at, error=done.error)
    except StoreBusy as error:
        _log.warning("job run not recorded", job=job.name, reason=str(error))


def _fresh(job: Job, work: Work) -> bool:
    """Return whether the last recorded run is less than a minute old."""
    with read(work.engine) as db:
        last = jobs.last_ok(db, job.name, work.now)
    return last is not None and timedelta() <= work.now - last < clock.MINUTE


def _where(error: Exception) -> str:
    trace, place = error.__traceback__, "unknown"
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


class Turn:
    """Whether this analyst may work: it holds the lease, and the engine its writes go through."""

    def __init__(self, engine: Engine, places: Mapping[str, Place]) -> None:
        """Wait for a turn on ``engine``; ``places`` become its endpoints when it comes."""
        self.engine: Engine | None = None  # fenced; None: another analyst works
        self.places = places
        self._plain = engine
        self._holder = f"{socket.gethostname()}/{uuid.uuid4().hex[:12]}"
        self._token: int | None = None

    def take(self) -> bool:
        """Take the lease, or prolong it; return whether it is ours."""
        with write(self._plain) as db:
            now = jobs.database_time(db)
            token = jobs.take_lease(db, LEASE, self._holder, now, LEASE_S)
            if token is not None and token != self._token:
                outbox.register(db, _addresses(self.places))
        if token != self._token:
            _log.info("works" if token else "stands by", token=token)
            self.engine = jobs.fenced(self._plain, LEASE, token) if token else None
            self._token = token
        return token is not None

    def lose(self) -> None:
        """Stop working: another analyst has taken over."""
        self.engine, self._token = None, None

    def release(self) -> None:
        """Hand the lease back, so that another analyst need not wait for it to lapse."""
        self.lose()
        with write(self._plain) as db:
            jobs.release_lease(db, LEASE, self._holder)


def places_of(settings: Settings) -> dict[str, Place]:
    """Return where on-call is told; raises BadSecret or BadNetwork. Without an address, nowhere."""
    if not settings.webhook_url:
        return {}
    secret = settings.webhook_secret.get_secret_value()
    if not secret.strip():
        raise BadSecret("TIDEGAUGE_WEBHOOK_URL is set, but TIDEGAUGE_WEBHOOK_SECRET is not")
    allow = networks(settings.webhook_allow_networks)
    # Two secrets, separated by a space, while one takes the other's place.
    keys = tuple(key_of(one) for one in secret.split())
    return {"webhook": Place(url=settings.webhook_url, keys=keys, allow=allow)}


def serve(settings: Settings, stop: threading.Event | None = None) -> None:
    """Run every job at its cadence until ``stop`` (or SIGTERM, SIGINT); then finish and return.

    Raises what makes a start impossible: StoreUnusable, StoreBusy, BadPolicy, BadSecret,
    BadNetwork, BadEndpoint.
    """
    log.configure(settings.log_format, process="analyse")
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a long run makes it warn each tick
    policy, places = read_policy(settings.policy_file), places_of(settings)
    telemetry.start(settings.telemetry_endpoint, "analyst")
    stop = stop or _stop_on_signals()
    _wait_for_store(settings.database_url, stop)
    engine = open_engine(settings.database_url)
    turn = Turn(engine, places)
    scheduler = _scheduler(turn, settings, policy)
    scheduler.start()
    stop.wait()
    scheduler.shutdown(wait=True)  # a run that has begun is finished, not cut
    _give_back(turn)
    engine.dispose()
    telemetry.stop()


def _scheduler(turn: Turn, settings: Settings, policy: Policy) -> BackgroundScheduler:
    """Return the ticks. APScheduler keeps no state: what was done stands in job_run."""
    scheduler = BackgroundScheduler(
        timezone=UTC,
        # A late tick still runs, once; one that is still running is not started twice.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    ready = threading.Event()  # nothing is looked at before the first try for the lease

    def renew() -> None:
        try:
            turn.take()
        except StoreBusy as error:
            _log.warning("lease not renewed", reason=str(error))
        finally:
            ready.set()

    def tick(group: Sequence[Job]) -> None:
        ready.wait(LEASE_S)
        _tick(group, turn, settings, policy)

    at_once = clock.now()
    scheduler.add_job(renew, "interval", seconds=_RENEW_S, next_run_time=at_once)
    for group, every_s in (
        (LOOK, settings.analyse_every_s),
        (SEND, _DELIVER_S),
        (TIDY, _TIDY_S),
        (EXPIRE, _EXPIRE_S),
    ):
        scheduler.add_job(tick, "interval", args=(group,), seconds=every_s, next_run_time=at_once)
    return scheduler


def _tick(group: Sequence[Job], turn: Turn, settings: Settings, policy: Policy) -> None:
    """Run a group of jobs, one after the other, if it is this analyst's turn."""
    for job in group:
        if turn.engine is None:
            return
        try:
            run_job(job, _work(turn, settings, policy, clock.now(), clock.now), clock.now)
        except LeaseLost:
            _log.warning("another analyst has taken over", job=job.name)
            turn.lose()


def _work(
    turn: Turn,
    settings: Settings,
    policy: Policy,
    now: datetime,
    tell_time: Callable[[], datetime],
) -> Work:
    if turn.engine is None:
        raise LeaseLost("no lease")
    return Work(
        engine=turn.engine,
        policy=policy,
        base_url=settings.dashboard_url,
        places=turn.places,
        now=now,
        clock=tell_time,
    )


def _wait_for_store(url: str, stop: threading.Event) -> None:
    """Bring the schema up to date; give a database that is still starting a minute."""
    waited, pause = 0.0, 1.0
    while True:
        try:
            return upgrade(url)
        except StoreBusy as error:
            if waited >= _WAIT_FOR_STORE_S or stop.is_set():
                raise
            _log.warning("database does not answer yet", reason=str(error), again_in_s=pause)
        stop.wait(pause)
        waited, pause = waited + pause, min(2 * pause, 10.0)


def _give_back(turn: Turn) -> None:
    try:
        turn.release()
    except StoreBusy as error:
        _log.warning("lease not handed back", reason=str(error), lapses_in_s=LEASE_S)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _addresses(places: Mapping[str, Place]) -> dict[str, str]:
    return {name: place.address_hash for name, place in places.items()}
