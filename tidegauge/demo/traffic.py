"""What the simulated apps do: who calls when, how long it takes, and what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from tidegauge.demo import speech
from tidegauge.demo.speech import Script

HOUR = timedelta(hours=1)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How an app runs at one time; a fault is the step from one set-up to the next."""

    release: str
    prompt_version: str | None
    system: str
    max_tokens: int
    length: float = 1.0  # output tokens, as a factor of the app's usual


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One simulated app, before and after its fault."""

    service: str
    use_case: str
    model: str
    response_model: str
    script: Script
    before: Setup
    after: Setup
    fault: str  # in one sentence, for the demo's output
    fault_in_short: str
    rules: frozenset[str]  # the rules of alerts that may speak of it
    cause: str  # the word by which such an alert names the cause
    output_tokens: float  # median
    output_spread: float  # of ln tokens
    first_token_s: float  # median
    per_token_s: float  # median, seconds per output token
    streaming: bool
    calls_per_turn: tuple[int, int]  # fewest, most
    calls_per_hour: float  # mean over the history


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One model call as it happened, in nobody's dialect."""

    started_ns: int
    ended_ns: int
    setup: Setup
    question: str
    answer: str
    input_tokens: int
    output_tokens: int
    first_token_s: float
    truncated: bool
    failed: bool
    span_id: int
    response_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request to an app: a wrapper span with the model calls that it needed."""

    trace_id: int
    span_id: int
    session: str
    user: str
    calls: tuple[ModelCall, ...]

    @property
    def started_ns(self) -> int:
        """Return when the wrapper starts, ns since 1970."""
        return self.calls[0].started_ns - 2_000_000

    @property
    def ended_ns(self) -> int:
        """Return when the wrapper ends, ns since 1970."""
        return self.calls[-1].ended_ns + 2_000_000


_CHECKOUT = Setup(
    release="2026.11.2", prompt_version="91", system=speech.CHECKOUT.system, max_tokens=1500
)
_SUPPORT = Setup(
    release="8.3.0", prompt_version=None, system=speech.SUPPORT.system, max_tokens=1024
)
_BILLING = Setup(
    release="1.19.4", prompt_version=None, system=speech.BILLING.system, max_tokens=400
)

CHECKOUT_BOT = App(
    service="checkout-bot",
    use_case="checkout-assistant",
    model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    script=speech.CHECKOUT,
    before=_CHECKOUT,
    after=Setup(
        release=_CHECKOUT.release,
        prompt_version="92",
        system=speech.CHECKOUT.system_after,
        max_tokens=_CHECKOUT.max_tokens,
        length=2.7,
    ),
    fault="prompt version 91 -> 92 goes live; outputs get 2.7 times longer, latency follows",
    fault_in_short="outputs 2.7 times longer",
    rules=frozenset({"output_tokens", "latency"}),
    cause="prompt",
    output_tokens=110,
    output_spread=0.45,
    first_token_s=0.35,
    per_token_s=0.009,
    streaming=True,
    calls_per_turn=(2, 4),
    calls_per_hour=34,
)

SUPPORT_BOT = App(
    service="support-bot",
    use_case="answer-ticket",
    model="claude-haiku-4-5",
    response_model="claude-haiku-4-5-20251001",
    script=speech.SUPPORT,
    before=_SUPPORT,
    after=Setup(
        release="8.4.0", prompt_version=None, system=speech.SUPPORT.system_after, max_tokens=256
    ),
    fault="release 8.3.0 -> 8.4.0 sets max_tokens from 1024 to 256; three answers in ten are cut",
    fault_in_short="answers cut off",
    rules=frozenset({"truncation"}),
    cause="max_tokens",
    output_tokens=180,
    output_spread=0.68,
    first_token_s=0.55,
    per_token_s=0.007,
    streaming=False,
    calls_per_turn=(2, 4),
    calls_per_hour=34,
)

BILLING_BOT = App(
    service="billing-bot",
    use_case="explain-invoice",
    model="gpt-4.1-mini",
    response_model="gpt-4.1-mini-2025-04-14",
    script=speech.BILLING,
    before=_BILLING,
    after=Setup(
        release=_BILLING.release,
        prompt_version=None,
        system=speech.BILLING.system_after,
        max_tokens=_BILLING.max_tokens,
        length=0.69,
    ),
    fault="the system prompt changes silently: no deploy, no version; outputs get 31 % shorter",
    fault_in_short="prompt changed silently",
    rules=frozenset({"prompt", "output_tokens"}),
    cause="prompt",
    output_tokens=140,
    output_spread=0.42,
    first_token_s=0.4,
    per_token_s=0.008,
    streaming=False,
    calls_per_turn=(2, 4),
    calls_per_hour=34,
)

APPS = (CHECKOUT_BOT, SUPPORT_BOT, BILLING_BOT)


def rhythm(at: datetime) -> float:
    """Return the share of the mean traffic at ``at``: office hours are busy, weekends are not.

    >>> rhythm(datetime(2026, 1, 5, 14, tzinfo=UTC)) > 3 * rhythm(datetime(2026, 1, 5, 3, tzinfo=UTC))
    True
    """
    hour = at.hour + at.minute / 60
    day = math.exp(-(((hour - 13.5) / 4.8) ** 2))
    return (0.35 + 1.45 * day) * (0.6 if at.weekday() >= 5 else 1.16)


class Wander:
    """Slow ups and downs that belong to no hour: a mean-reverting walk around 1."""

    def __init__(self, random: Random, spread: float, memory: float = 0.8) -> None:
        """Start at 1; ``spread`` is the long-run deviation of the logarithm."""
        self._random, self._memory = random, memory
        self._step = spread * math.sqrt(1 - memory**2)
        self._log = 0.0

    def next(self) -> float:
        """Return the factor of the next hour."""
        self._log = self._memory * self._log + self._random.gauss(0, self._step)
        return math.exp(self._log)


def history(app: App, seed: int, since: datetime, until: datetime, scale: float) -> Iterator[Turn]:
    """Yield the turns of [since, until) in order of time; ``scale`` multiplies the traffic.

    The same seed and times give the same turns.
    """
    random = Random(f"{seed}/{app.service}/history/{since.timestamp()}")  # noqa: S311
    load, length, speed = Wander(random, 0.12), Wander(random, 0.03), Wander(random, 0.04)
    hour = since
    while hour < until:
        end = min(hour + HOUR, until)
        calls = app.calls_per_hour * scale * rhythm(hour) * load.next() * ((end - hour) / HOUR)
        turns = max(1, round(calls / _mean_calls(app)))
        wander = (length.next(), speed.next())
        starts = sorted(random.uniform(hour.timestamp(), end.timestamp()) for _ in range(turns))
        yield from (turn(app, app.before, random, _ns(start), wander) for start in starts)
        hour = end


def live(app: App, seed: int, since: datetime, calls_per_s: float) -> Iterator[Turn]:
    """Yield turns for ever from ``since`` on, with the app's fault."""
    random = Random(f"{seed}/{app.service}/live/{since.timestamp()}")  # noqa: S311
    at = since.timestamp()
    while True:
        at += random.expovariate(calls_per_s / _mean_calls(app))
        yield turn(app, app.after, random, _ns(at), (1.0, 1.0))


def turn(app: App, setup: Setup, random: Random, started_ns: int, wander: Sequence[float]) -> Turn:
    """Return one turn that starts at ``started_ns``; its calls follow one another."""
    calls: list[ModelCall] = []
    at = started_ns
    for _ in range(random.randint(*app.calls_per_turn)):
        calls.append(model_call(app, setup, random, at, wander))
        at = calls[-1].ended_ns + int(random.uniform(0.005, 0.08) * _SECOND_NS)
    return Turn(
        trace_id=random.getrandbits(128) | 1,
        span_id=random.getrandbits(64) | 1,
        session=f"s-{random.getrandbits(32):08x}",
        user=f"u-{random.randrange(2000)}",
        calls=tuple(calls),
    )


def model_call(
    app: App, setup: Setup, random: Random, started_ns: int, wander: Sequence[float]
) -> ModelCall:
    """Return one model call: it answers, is cut at the limit, or (1 in 200) fails."""
    length, speed = wander
    failed = random.random() < 0.005
    wanted = random.lognormvariate(math.log(app.output_tokens), app.output_spread)
    wanted = max(8, round(wanted * length * setup.length))
    truncated = wanted > setup.max_tokens
    tokens = min(wanted, setup.max_tokens)
    first = random.lognormvariate(math.log(app.first_token_s * speed), 0.25)
    rest = tokens * random.lognormvariate(math.log(app.per_token_s * speed), 0.12)
    duration = random.uniform(0.05, 0.4) if failed else first + rest
    asked = speech.question(app.script, random)
    return ModelCall(
        started_ns=started_ns,
        ended_ns=started_ns + int(duration * _SECOND_NS),
        setup=setup,
        question=asked,
        answer="" if failed else speech.answer(app.script, random, tokens, cut=truncated),
        input_tokens=(len(setup.system) + len(asked)) // speech.CHARACTERS_PER_TOKEN + 8,
        output_tokens=tokens,
        first_token_s=first,
        truncated=truncated,
        failed=failed,
        span_id=random.getrandbits(64) | 1,
        response_id=f"{random.getrandbits(96):024x}",
    )


def _mean_calls(app: App) -> float:
    return sum(app.calls_per_turn) / 2


def _ns(at: float) -> int:
    return int(at * _SECOND_NS)


def utc(timestamp: float) -> datetime:
    """Return seconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(timestamp, UTC)
