"""Read the windows, ask every detector, hand the findings on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from analysis.detectors import DETECTORS
from analysis.judge import Gates
from analysis.learn import VERSION, Learned, restore
from analysis.tails import Tail, threshold
from analysis.windows import RATES, Window, settled, window
from tidegauge.bucket import Bucket
from tidegauge.clock import DAY, MINUTE
from tidegauge.finding import Finding, Series, Signal
from tidegauge.policy import Policy
from tidegauge.store import normals, rollups
from tidegauge.store.engine import Connection, Engine, read, write

_WEEK_MIN = 7 * 24 * 60
#: Windows of one length overlap from minute to minute: they are worth this many separate ones.
_OVERLAP = 2.0
_LONGEST_WAIT_S = 3600.0  # for slower calls still: an alert may not come hours late
_RATE_RATIO = 0.5  # a rate must also rise by half

Known = Mapping[tuple[Series, Signal], Learned]
Minutes = Mapping[Series, Sequence[Bucket]]


def detect(engine: Engine, policy: Policy, now: datetime) -> list[Finding]:
    """Return what every detector says of the last settled minutes, and keep it as the newest."""
    found: list[Finding] = []
    with read(engine) as db:
        projects = rollups.projects(db)
    for project in projects:
        with read(engine) as db:
            known = read_known(db, project)
            minutes = _recent(db, project, known, policy, now)
        findings = decide(known, minutes, policy, now)
        with write(engine) as db:
            normals.write_findings(db, findings)
            normals.forget_findings(db, project, now - DAY)
        found += findings
    return found


def read_known(db: Connection, project: str) -> dict[tuple[Series, Signal], Learned]:
    """Return what was learned of every series and signal, by this version of the method."""
    rows = normals.read_normals(db, project, VERSION)
    return {(n.series, n.signal): restore(n, state) for n, state in rows}


def wait_s(known: Known, series: Series) -> float:
    """Return how long after their start 99 % of the series' calls have ended, and so arrived.

    A minute looked at sooner holds its short calls only. 0 while nothing is known.
    """
    learned = known.get((series, Signal.LATENCY))
    return min((learned and learned.slow_s) or 0.0, _LONGEST_WAIT_S)


def _recent(
    db: Connection, project: str, known: Known, policy: Policy, now: datetime
) -> dict[Series, list[Bucket]]:
    longest = max([0.0, *(wait_s(known, one) for one, _ in known)])
    since = settled(now, policy.settle_s + longest) - max(policy.windows_min) * MINUTE
    until = settled(now, policy.settle_s)
    by_series: dict[Series, list[Bucket]] = defaultdict(list)
    for bucket in rollups.read_buckets(db, project, rollups.MINUTE_S, since, until, shapes=False):
        by_series[bucket.series].append(bucket)
    return by_series


def decide(known: Known, minutes: Minutes, policy: Policy, now: datetime) -> list[Finding]:
    """Return every detector's answer, for every series seen or learned and every window length."""
    series = sorted({one for one, _ in known} | set(minutes))
    channels = len(series) * len(DETECTORS) * len(policy.windows_min)
    budget = policy.alarms_per_week / max(channels, 1)
    findings = []
    for one in series:
        until = settled(now, policy.settle_s + wait_s(known, one))
        for length in policy.windows_min:
            seen = window(minutes.get(one, ()), one, until, length)
            findings += _ask(known, seen, length, policy, budget)
    return findings


def _ask(known: Known, now: Window, length: int, policy: Policy, budget: float) -> list[Finding]:
    findings = []
    for signal, ask in DETECTORS.items():
        learned = known.get((now.series, signal))
        gates = gates_of(policy, signal, learned.tail if learned else Tail(), length, budget)
        usual = learned.usual(now.middle, length) if learned else None
        findings.append(ask(usual, now, gates, signal))
    return findings


def gates_of(policy: Policy, signal: Signal, tail: Tail, length: int, budget: float) -> Gates:
    """Return what a window of ``length`` minutes must pass; ``budget`` is its alarms a week."""
    windows = _OVERLAP * _WEEK_MIN / length
    nats = threshold(tail, windows, budget)
    if signal in RATES:
        return Gates(
            min_calls=policy.min_calls,
            threshold=nats,
            ratio=_RATE_RATIO,
            points=policy.rate_effect_points,
        )
    effect = policy.latency_effect if signal is Signal.LATENCY else policy.tokens_effect
    return Gates(min_calls=policy.min_calls, threshold=nats, ratio=effect)
